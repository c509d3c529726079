"""Guard on the record counts in the ceilings; what nobody can mend any more refuses nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from daemon_worlds import MAIN

from enforcer.errors import PolicyError
from enforcer.policy.model import Policy
from enforcer.schedule.load import load
from enforcer.schedule.past import PastGuard
from enforcer.sources.files import ZONES

NOW = datetime(2026, 12, 20, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def window(starts_at: datetime, lasts: timedelta, name: str = "new", more: str = "") -> str:
    hours = int(lasts / HOUR)
    return (
        f"- id: {name}\n  reason: r\n  declared_by: d\n  reference: R\n"
        f'  start: "{starts_at:%Y-%m-%dT%H:%M:%SZ}"\n  duration: {hours}h\n{more}'
        "  measures: {guard: {estate: concentrators}}\n"
    )


def ran(starts_at: datetime, lasts: timedelta, name: str = "old") -> PastGuard:
    return PastGuard(starts_at, starts_at + lasts, name, "concentrators")


def accepted(text: str, *past: PastGuard) -> Policy:
    files = {"enforcer.yaml": (MAIN % "false").encode(), "windows.d/w.yaml": text.encode()}
    return load(files, "enforcer.yaml", ZONES, now=NOW, past=past)


def refused(text: str, *past: PastGuard) -> str:
    with pytest.raises(PolicyError) as error:
        accepted(text, *past)
    return str(error.value)


def test_a_deleted_window_and_a_new_one_without_pause_are_one_guard_window() -> None:
    deleted = ran(NOW - 72 * HOUR, 72 * HOUR)
    message = refused(window(NOW + HOUR / 2 + HOUR / 6, HOUR), deleted)
    assert '"old" (on the record), "new" guard the same estate' in message
    assert "is over the 72 h ceiling" in message
    accepted(window(NOW + HOUR, 24 * HOUR), deleted)


def test_guard_of_another_estate_does_not_chain() -> None:
    other = PastGuard(NOW - 72 * HOUR, NOW, "old", "elsewhere")
    accepted(window(NOW + HOUR / 2, HOUR), other)


def test_a_window_that_is_declared_and_on_record_counts_once() -> None:
    spans = [(NOW - (29 - 4 * n) * DAY, f"w{n}") for n in range(5)]
    text = "".join(window(at, 72 * HOUR, name) for at, name in spans)
    accepted(text, *(ran(at, 72 * HOUR, name) for at, name in spans))


def test_guard_by_the_record_alone_refuses_nothing_that_does_not_guard() -> None:
    too_much = [ran(NOW - n * 6 * DAY, 5 * DAY, f"o{n}") for n in range(1, 5)]
    accepted("[]", *too_much)
    mark = window(NOW, HOUR).replace("{guard: {estate: concentrators}}", "{mark: {fwmark: 1}}")
    accepted(mark, *too_much)
    accepted(window(NOW + DAY, HOUR, more="  stage: true\n"), *too_much)
    assert "of the 30 days" in refused(window(NOW + DAY, HOUR), *too_much)


def test_what_is_over_is_not_refused_any_more_though_the_record_says_too_much() -> None:
    too_much = [ran(NOW - n * 6 * DAY, 5 * DAY, f"o{n}") for n in range(1, 5)]
    accepted(window(NOW - 2 * DAY, HOUR, "over"), *too_much)


@pytest.mark.parametrize("days", [16, 14.5])
def test_the_sum_is_of_the_union_to_the_hour(days: float) -> None:
    """15 days in any 30: `days` on the record and 12 h to come."""
    past = [ran(NOW - (n + 1) * DAY, DAY, f"o{n}") for n in range(int(days))]
    past += [ran(NOW - 20 * DAY, DAY * (days % 1), "part")] if days % 1 else []
    judge: Callable[..., object] = accepted if days < 15 else refused
    judge(window(NOW + 2 * HOUR, 12 * HOUR), *past)
