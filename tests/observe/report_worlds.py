"""A record of some days, written as the daemon writes it, and the report of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from enforcer.observe.audit import Event, values
from enforcer.observe.audit_files import AuditLog, records
from enforcer.observe.audit_verify import verify_directory
from enforcer.observe.report import Report, build
from enforcer.observe.views import utc_text

NOW = datetime(2026, 10, 15, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EVIL = "<script>document.title='owned'</script><img src=http://192.0.2.1/x>"


def row(measure: str, verdict: str, packets: int, octets: int) -> dict[str, Any]:
    parts = {"family": "ipv4", "category": "software-house"}
    return {"measure": measure, "verdict": verdict, **parts, "packets": packets, "bytes": octets}


def opening(window: str, starts_at: datetime, ends_at: datetime, **more: Any) -> dict[str, Any]:
    return {
        "gateway": "edge-1.lahore",
        "window": window,
        "starts_at": utc_text(starts_at),
        "ends_at": utc_text(ends_at),
        "armed_at": utc_text(starts_at),
        "measures": ["guard", "mark"],
        "estate": "vpn-concentrators",
        "link": None,
        "stage": False,
        "reason": "DDoS on the VPN concentrators, 40 Gbit/s of UDP",
        "declared_by": "noc@isp.example",
        "timezone": "Asia/Karachi",
        **more,
    }


def event(what: str, at: datetime, told: dict[str, Any], reference: str = "NOC-2311") -> Event:
    window = str(told.get("window", ""))
    return Event(at, what, "enforcer", window, reference, told)


def ran(told: dict[str, Any], ended_at: datetime, why: str, totals: Any) -> list[Event]:
    """A window armed and ended."""
    end = {
        "ended_at": utc_text(ended_at),
        "why": why,
        "seen": True,
        "totals": totals,
        "totals_at": utc_text(ended_at),
    }
    began = datetime.fromisoformat(told["armed_at"])
    return [event("armed", began, told), event("ended", ended_at, {**told, **end})]


def month() -> list[Event]:
    """What a report shows: windows of every kind, and what happened beside them."""
    guarded = [
        row("guard", "let_in", 1_204_331, 811_000_000),
        row("guard", "held_back", 48_112_904, 3_210_000_000),
        row("mark", "marked", 9_120_441, 6_400_000_000),
    ]
    first = opening("ddos-concentrators", NOW - 12 * DAY, NOW - 12 * DAY + 6 * HOUR)
    exam = opening(
        "exam-mornings",
        NOW - 9 * DAY,
        NOW - 9 * DAY + 3 * HOUR,
        measures=["mark"],
        estate=None,
        reason="Nationwide exams, the mornings are crowded",
    )
    cable = opening(
        "cable-cut",
        NOW - 5 * DAY,
        NOW - 3 * DAY,
        measures=["reserve"],
        estate=None,
        link="wan",
        reason="SEA-ME-WE 4 is cut, a third of the capacity is left",
        timezone="UTC",
    )
    staged = opening(
        "rehearsal",
        NOW - 2 * DAY,
        NOW - 2 * DAY + HOUR,
        stage=True,
        measures=["guard"],
        reason=EVIL,
    )
    still = opening("ddos-again", NOW - 2 * HOUR, NOW + 4 * HOUR)
    told = [
        *ran(first, NOW - 12 * DAY + 4 * HOUR, "closed", guarded),
        *ran(exam, NOW - 9 * DAY + 3 * HOUR, "end", [row("mark", "marked", 31_000, 20_100_000)]),
        *ran(cable, NOW - 3 * DAY, "end", [row("reserve", "reserved", 77_120_000, 61_000_000_000)]),
        *ran(
            staged,
            NOW - 2 * DAY + HOUR,
            "end",
            [row("guard", "let_in", 900, 81_000), row("guard", "would_drop", 11, 800)],
        ),
        event("armed", NOW - 2 * HOUR, still),
        event("repaired", NOW - 4 * DAY, {"kinds": "rules,table", "by": "nft (process 7)"}, ""),
        event(
            "repaired",
            NOW - 4 * DAY + HOUR,
            {"kinds": "rules,table", "by": "nft (process 8)", "times": 12},
            "",
        ),
        event("refused", NOW - DAY, {"kind": "registry", "errors": 3}, ""),
        event("late", NOW - DAY, {"since": utc_text(NOW - DAY), "lost": 0}, ""),
    ]
    return sorted(told, key=lambda e: e.at)


def written(directory: Path, events: Iterable[Event]) -> Path:
    log = AuditLog(directory)
    for one in events:
        log.append(one.at, values(one))
    return directory


def report(directory: Path, begins: datetime = NOW - 30 * DAY, ends: datetime = NOW) -> Report:
    return build(records(directory), verify_directory(directory), begins, ends, NOW)
