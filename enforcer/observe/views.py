"""Snapshot and occurrences → the JSON of the contract. Instants are UTC, ISO 8601 with Z."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo
from typing import Any

from enforcer.observe.snapshot import FeedLook, Occurrence, RecordState, Snapshot
from enforcer.policy.prefix import FAMILIES


def utc_text(instant: datetime) -> str:
    """`2026-12-01T08:00:00Z`, with a fraction only where there is one."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def window_views(occurrences: Iterable[Occurrence]) -> list[dict[str, Any]]:
    """One object an occurrence; `…_local` are the same instants in the window's `timezone`."""
    return [
        {
            "id": o.activation.id,
            "starts_at": utc_text(o.activation.starts_at),
            "ends_at": utc_text(o.activation.ends_at),
            "state": o.state,
            "measures": list(o.activation.window.measure_names),
            "stage": o.activation.window.stage,
            "timezone": o.activation.window.zone_name,
            "starts_at_local": _local(o.activation.starts_at, o.activation.window.zone),
            "ends_at_local": _local(o.activation.ends_at, o.activation.window.zone),
            **({"confirm_by": utc_text(o.confirm_by)} if o.confirm_by else {}),
            **_closing_view(o),
        }
        for o in occurrences
    ]


def _closing_view(o: Occurrence) -> dict[str, str]:
    """`ends_at` stays what was declared: programs tell occurrences apart by it."""
    if o.closed_at is None:
        return {}
    local = _local(o.closed_at, o.activation.window.zone)
    return {"closed_at": utc_text(o.closed_at), "closed_at_local": local}


def _local(instant: datetime, zone: tzinfo) -> str:
    return instant.astimezone(zone).isoformat()


def status_view(
    s: Snapshot,
    version: str,
    record: RecordState | None = None,
    samples: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """`record`: the audit log, where it is known; `samples`: the self-check, likewise."""
    counts = {
        f"ipv{family}": sum(count for f, _, count in s.prefixes if f == family)
        for family in FAMILIES
    }
    return {
        "version": version,
        "gateway": s.policy.gateway.name,
        "config": {
            "ok": s.config_error is None,
            "error": s.config_error,
            "loaded_at": utc_text(s.loaded_at),
            # So that whoever reads the files can tell whether they are what is in force.
            "policy": s.policy.digest,
            "registry": s.registry.digest if s.registry else None,
        },
        "armed": list(s.armed),
        "due": list(s.due),
        "waiting_for_clock": list(s.blamed_on_clock),
        "windows": window_views(s.coming),
        "prefixes": counts,
        "categories": [
            {"family": f"ipv{family}", "category": category, "prefixes": count}
            for family, category, count in s.prefixes
        ],
        "clock": {"synchronised": s.clock_synchronised},
        "drift_repairs": s.drift_repairs,
        "drift": {kind: count for kind, count in s.drift_kinds if count},
        "contested": s.contested,
        "problem": s.problem,
        "last_good": {
            "accepted_at": utc_text(s.last_good.at) if s.last_good.at else None,
            "problem": s.last_good.problem,
        },
        "feeds": [feed_view(look) for look in s.fetched],
        "missing_devices": list(s.missing_devices),
        **({"audit": record_view(record)} if record else {}),
        **({"samples": samples} if samples else {}),
    }


def feed_view(look: FeedLook) -> dict[str, Any]:
    """`checked_at`: when it was last made sure that what is in force is the newest."""
    instants = {
        "checked_at": look.checked_at,
        "accepted_at": look.accepted_at,
        "tried_at": look.tried_at,
    }
    return {
        "feed": look.name,
        **{key: utc_text(at) if at else None for key, at in instants.items()},
        "rows": look.rows,
        "serial": look.serial,
        "url": look.url,
        "problem": look.problem,
    }


def record_view(record: RecordState) -> dict[str, Any]:
    """The newest record by number and digest, so that a log whose end was cut off is known."""
    return {
        "records": record.records,
        "digest": record.digest,
        "waiting": record.waiting,
        "lost": record.lost,
        "problem": record.problem,
    }
