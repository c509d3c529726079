"""Ten thousand windows: what grows with them grows in proportion, and what could not is refused.

Proportion is counted in calls of functions, not in seconds: a busy machine changes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from enforcer.errors import PolicyError
from enforcer.policy.model import Policy
from enforcer.schedule import horizon
from enforcer.schedule.agenda import Agenda, TooManyError, entries
from enforcer.schedule.orders import Orders, closing
from enforcer.schedule.timeline import Timeline
from tests.policy.documents_by_hand import policy_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)
MANY = 10_000


def declared(number: int, form: Callable[[int], str]) -> Policy:
    head = "- id: w{0}\n  reason: r\n  declared_by: noc\n  reference: N-{0}\n"
    tail = "  measures: {mark: {fwmark: 0x51}}\n"
    return policy_of(*(head.format(n) + form(n) + tail for n in range(number)))


def once(n: int) -> str:
    start = NOW + timedelta(minutes=n % 7)
    return f'  start: "{start:%Y-%m-%dT%H:%M:%S}Z"\n  duration: 20d\n'


def every_day(n: int) -> str:
    return (
        f'  rrule: FREQ=DAILY\n  start: "2026-12-01T{n % 24:02}:00:00"\n  duration: 30m\n'
        "  timezone: UTC\n"
    )


def calls(act: Callable[[], object]) -> int:
    """How many calls of functions, and turns of generators, it takes."""
    count = 0

    def seen(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def everything_closed(policy: Policy) -> Orders:
    every = Timeline.ahead(policy, NOW).occurrences
    return Orders().given(closing(occurrence, "noc", NOW) for occurrence in every)


def test_the_work_for_windows_grows_in_proportion_to_them() -> None:
    policies = [declared(number, once) for number in (250, 1000)]
    orders = [everything_closed(policy) for policy in policies]
    agendas = [Agenda.build(Timeline.ahead(policy, NOW), Orders()) for policy in policies]
    acts: dict[str, Callable[[int], object]] = {
        "load": lambda i: declared((250, 1000)[i], once),
        "timeline": lambda i: Timeline.ahead(policies[i], NOW),
        "orders": lambda i: everything_closed(policies[i]),
        "agenda": lambda i: Agenda.build(Timeline.ahead(policies[i], NOW), orders[i]),
        "names": lambda i: [policies[i].window(window.id) for window in policies[i].windows],
        "active": lambda i: agendas[i].active(NOW),
        "transitions": lambda i: list(agendas[i].transitions(NOW)),
        "entries": lambda i: entries(policies[i], orders[i], NOW, NOW + timedelta(days=30)),
    }
    for what, act in acts.items():
        few, many = (calls(lambda i=i, act=act: act(i)) for i in (0, 1))  # type: ignore[misc]
        assert many < 5 * few, f"{what}: {few:,} calls for 250 windows, {many:,} for 1,000"


def test_ten_thousand_windows_load_and_the_next_edge_is_found() -> None:
    policy = declared(MANY, once)
    agenda = Agenda.build(Timeline.ahead(policy, NOW), everything_closed(policy))
    assert len(policy.windows) == len(agenda.every) == MANY
    assert agenda.next_edge(NOW) is None, "all are closed"
    agenda = Agenda.build(Timeline.ahead(policy, NOW), Orders())
    assert agenda.next_edge(NOW) == NOW + timedelta(minutes=1)
    assert len(agenda.active(NOW)) == len([n for n in range(MANY) if n % 7 == 0])


def test_more_occurrences_than_can_be_looked_at_are_refused_and_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(horizon, "MOST_OCCURRENCES", 2000)
    declared(2, every_day)
    with pytest.raises(PolicyError) as refused:
        declared(500, every_day)
    (problem,) = refused.value.problems
    assert str(problem) == (
        "windows.d/w.yaml:19:3: windows[2]: the windows up to this one, 3, have more than 2,000 "
        "occurrences in the 732 days that are looked at ahead; let them recur less often, or take "
        "some out"
    )


def test_an_answer_of_more_occurrences_than_anybody_reads_is_refused() -> None:
    policy = declared(3, every_day)
    day = timedelta(days=1)
    assert len(entries(policy, Orders(), NOW, NOW + 10 * day, 30)) == 30
    with pytest.raises(TooManyError, match="more than 30 occurrences; ask for fewer days"):
        entries(policy, Orders(), NOW, NOW + 11 * day, 30)
    endless = timedelta(days=365 * 200)
    with pytest.raises(TooManyError):
        entries(policy, Orders(), NOW, NOW + endless, 30)
