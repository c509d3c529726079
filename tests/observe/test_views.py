"""The JSON of the contract, from values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from enforcer.observe.snapshot import FeedLook, Kept, Occurrence, Snapshot
from enforcer.observe.views import status_view, utc_text, window_views
from enforcer.policy.model import Activation, Gateway, Guard, Mark, Once, Policy, Window

AT = datetime(2026, 12, 1, 8, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Karachi")
WINDOW = Window(
    "ddos", "r", "d", "f", Once(AT, AT), ZONE, "Asia/Karachi", mark=Mark(1), guard=Guard("e")
)
OCCURRENCE = Occurrence(Activation(AT, AT + timedelta(hours=1), WINDOW), "armed")
VIEW = {
    "id": "ddos",
    "starts_at": "2026-12-01T08:00:00Z",
    "ends_at": "2026-12-01T09:00:00Z",
    "state": "armed",
    "measures": ["guard", "mark"],
    "stage": False,
    "timezone": "Asia/Karachi",
    "starts_at_local": "2026-12-01T13:00:00+05:00",
    "ends_at_local": "2026-12-01T14:00:00+05:00",
}


def test_instants_are_utc_with_a_z() -> None:
    assert utc_text(AT.astimezone(ZONE)) == "2026-12-01T08:00:00Z"
    assert utc_text(AT + timedelta(microseconds=5)) == "2026-12-01T08:00:00.000005Z"


def test_an_occurrence() -> None:
    assert window_views([OCCURRENCE]) == [VIEW]


def test_status() -> None:
    snapshot = Snapshot(
        policy=Policy(Gateway("edge-1", ("wan0",)), ("freelancer",), digest="5b7c0cc37591e91d"),
        config_error="enforcer.yaml:2:1: no",
        loaded_at=AT,
        reloaded_at=AT,
        armed=("ddos",),
        waiting_for_clock=("exam",),
        due=("exam", "works"),
        coming=(OCCURRENCE,),
        edges=(),
        prefixes=((4, "freelancer", 5), (4, "mission", 2), (6, "mission", 1)),
        elements=(),
        clock_synchronised=False,
        drift_repairs=3,
        promise_violations=0,
        problem="commit: no",
        missing_devices=("wan0",),
        drift_kinds=(("table", 2), ("rules", 1), ("qdisc", 0)),
        contested=True,
        last_good=Kept(AT, "no room"),
        fetched=(
            FeedLook("registrar", "r.csv", 900, AT, AT, AT, 5, 42, "https://a.example/r", "late"),
            FeedLook("other", "o.csv", 900, problem="never fetched"),
        ),
    )
    assert status_view(snapshot, "9.9") == {
        "version": "9.9",
        "gateway": "edge-1",
        "config": {
            "ok": False,
            "error": "enforcer.yaml:2:1: no",
            "loaded_at": "2026-12-01T08:00:00Z",
            "policy": "5b7c0cc37591e91d",
            "registry": None,
        },
        "armed": ["ddos"],
        "due": ["exam", "works"],
        "waiting_for_clock": ["exam"],
        "windows": [VIEW],
        "prefixes": {"ipv4": 7, "ipv6": 1},
        "categories": [
            {"family": "ipv4", "category": "freelancer", "prefixes": 5},
            {"family": "ipv4", "category": "mission", "prefixes": 2},
            {"family": "ipv6", "category": "mission", "prefixes": 1},
        ],
        "clock": {"synchronised": False},
        "drift_repairs": 3,
        "drift": {"table": 2, "rules": 1},
        "contested": True,
        "problem": "commit: no",
        "last_good": {"accepted_at": "2026-12-01T08:00:00Z", "problem": "no room"},
        "feeds": [
            {
                "feed": "registrar",
                "checked_at": "2026-12-01T08:00:00Z",
                "accepted_at": "2026-12-01T08:00:00Z",
                "tried_at": "2026-12-01T08:00:00Z",
                "rows": 5,
                "serial": 42,
                "url": "https://a.example/r",
                "problem": "late",
            },
            {
                "feed": "other",
                **dict.fromkeys(("checked_at", "accepted_at", "tried_at", "rows", "serial", "url")),
                "problem": "never fetched",
            },
        ],
        "missing_devices": ["wan0"],
    }
