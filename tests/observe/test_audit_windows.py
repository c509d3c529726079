"""What records tell of windows; and of records that do not tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enforcer.observe.audit_windows import History
from enforcer.schedule.past import PastGuard

T = datetime(2026, 12, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def armed(**more: Any) -> dict[str, Any]:
    return {
        "at": text(T),
        "window": "ddos",
        "starts_at": text(T),
        "ends_at": text(T + 12 * HOUR),
        "armed_at": text(T + HOUR),
        "estate": "vpn",
        **more,
    }


def history(*taken: tuple[str, dict[str, Any]]) -> History:
    made = History()
    for what, values in taken:
        made.take(what, values)
    return made


def guards(made: History, now: datetime = T + 20 * HOUR) -> tuple[PastGuard, ...]:
    return made.guards(now, timedelta(days=30))


def test_an_open_window_guards_to_its_end_and_an_ended_one_to_where_it_ended() -> None:
    opened = history(("armed", armed()))
    assert guards(opened) == (PastGuard(T + HOUR, T + 12 * HOUR, "ddos", "vpn"),)
    ended = history(("armed", armed()), ("ended", armed(ended_at=text(T + 2 * HOUR))))
    assert guards(ended) == (PastGuard(T + HOUR, T + 2 * HOUR, "ddos", "vpn"),)
    assert ended.open == {}


def test_a_late_record_cannot_make_guard_longer_than_the_kernel_did() -> None:
    ended = history(("ended", armed(ended_at=text(T + 99 * HOUR))))
    assert guards(ended) == (PastGuard(T + HOUR, T + 12 * HOUR, "ddos", "vpn"),)


@pytest.mark.parametrize("more", [{"stage": True}, {"estate": None}])
def test_what_holds_back_nothing_is_no_guard(more: dict[str, Any]) -> None:
    assert guards(history(("armed", armed(**more)))) == ()


def test_what_is_over_longer_than_asked_for_is_forgotten() -> None:
    made = history(("ended", armed(ended_at=text(T + 2 * HOUR))))
    assert guards(made, T + timedelta(days=40)) == ()


@pytest.mark.parametrize(
    "spoilt", [{"starts_at": 7}, {"ends_at": "soon"}, {"armed_at": "2026-12-01T08:00:00"}]
)
def test_a_record_that_lacks_what_is_asked_is_passed_over(spoilt: dict[str, Any]) -> None:
    made = history(("armed", armed(**spoilt)), ("ended", armed(**spoilt)), ("closed", {}))
    assert (made.open, guards(made)) == ({}, ())


def test_guard_before_a_change_counts_and_what_comes_after_counts_once() -> None:
    at, other = {"at": text(T + 3 * HOUR)}, {"estate": "mail"}
    end = {"ended_at": text(T + 9 * HOUR)}
    before = PastGuard(T + HOUR, T + 3 * HOUR, "ddos", "vpn")
    after = PastGuard(T + 3 * HOUR, T + 9 * HOUR, "ddos", "mail")
    moved = history(
        ("armed", armed()), ("changed", armed(**at, **other)), ("ended", armed(**end, **other))
    )
    assert guards(moved) == (before, after)
    reason = history(
        ("armed", armed()), ("changed", armed(**at, reason="x")), ("ended", armed(**end))
    )
    assert guards(reason) == (PastGuard(T + HOUR, T + 9 * HOUR, "ddos", "vpn"),)


def test_guard_whose_end_is_not_on_record_counts_up_to_the_next_arming() -> None:
    again = armed(armed_at=text(T + 5 * HOUR))
    assert guards(history(("armed", armed()), ("armed", again), ("ended", again))) == (
        PastGuard(T + HOUR, T + 5 * HOUR, "ddos", "vpn"),
        PastGuard(T + 5 * HOUR, T + 12 * HOUR, "ddos", "vpn"),
    )


def test_a_disarm_of_no_window_in_particular_ends_every_one() -> None:
    made = history(
        ("armed", armed()),
        ("armed", armed(window="exam")),
        ("disarmed", {"at": text(T + 2 * HOUR), "window": "", "who": "noc"}),
    )
    assert {o.closing.what for o in made.open.values() if o.closing} == {"disarmed"}
    assert len(made.open) == 2


def test_a_closing_is_remembered_with_its_window() -> None:
    made = history(
        ("armed", armed()),
        ("closed", {"at": text(T + 2 * HOUR), "window": "ddos", "who": "noc"}),
    )
    closing = made.open["ddos"].closing
    assert closing is not None
    assert (closing.at, closing.what, closing.who) == (T + 2 * HOUR, "closed", "noc")


@pytest.mark.parametrize(
    ("of", "who"), [(T, "noc"), (T + 24 * HOUR, None), (None, "noc")], ids=["it", "next", "none"]
)
def test_a_closing_ends_the_occurrence_that_it_is_about_and_no_other(
    of: datetime | None, who: str | None
) -> None:
    closing = {"at": text(T + 2 * HOUR), "window": "ddos", "who": "noc"}
    if of is not None:
        closing["starts_at"] = text(of)
    closed = history(("armed", armed()), ("closed", closing)).open["ddos"].closing
    assert (closed.who if closed else None) == who
