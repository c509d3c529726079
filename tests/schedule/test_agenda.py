"""What is really on: the schedule under the standing orders, with a state for every occurrence."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.policy.model import Gateway, Once, Policy, Recurring, Window
from enforcer.schedule import timeline as timelines
from enforcer.schedule.agenda import Agenda, armed_at, entries
from enforcer.schedule.orders import Order, Orders
from enforcer.schedule.timeline import Timeline, transitions
from tests.schedule.windows_by_hand import utc, wall, window

STARTS, ENDS = utc(2026, 12, 1, 8), utc(2026, 12, 1, 20)
BEFORE, INSIDE, AFTER = (STARTS - timedelta(hours=1), STARTS + timedelta(hours=1), ENDS)
DAY, MINUTES = timedelta(days=1), timedelta(minutes=5)
PROVISIONAL = replace(window(Once(STARTS, ENDS)), provisional=True)
CONFIRMED = Order("w", STARTS, ENDS, "confirmed")
CLOSED = Order("w", STARTS, ENDS, "closed")
TRIAL = Order("w", STARTS, ENDS, "trial", until=STARTS + MINUTES)


def policy(*windows: Window) -> Policy:
    return Policy(Gateway("g", ("wan0",)), (), windows=windows)


def states(one: Window, *orders: Order) -> list[str]:
    """The state of the one occurrence before, inside and after it."""
    found = entries(policy(one), Orders(orders), BEFORE - DAY, AFTER + DAY)
    return [e.state(now) for e in found for now in (BEFORE, INSIDE, AFTER)]


def test_the_states_of_the_contract() -> None:
    assert states(window(Once(STARTS, ENDS))) == ["next", "armed", "past"]
    assert states(PROVISIONAL) == ["provisional", "provisional", "past"]
    assert states(PROVISIONAL, CONFIRMED) == ["next", "armed", "past"]
    assert states(window(Once(STARTS, ENDS)), CLOSED) == ["closed"] * 3
    assert states(PROVISIONAL, TRIAL) == ["next", "closed", "closed"]


def agenda(one: Window, *orders: Order, at: datetime = BEFORE) -> Agenda:
    return Agenda.build(Timeline.ahead(policy(one), at), Orders(orders))


def test_a_confirmed_occurrence_is_armed_where_it_was_shifted_to() -> None:
    moved = agenda(PROVISIONAL, replace(CONFIRMED, shift=DAY))
    assert moved.active(INSIDE) == ()
    assert [a.starts_at for a in moved.active(INSIDE + DAY)] == [STARTS + DAY]
    assert moved.next_edge(BEFORE) == STARTS + DAY
    assert moved.next_edge(STARTS + DAY) == ENDS + DAY


def test_a_shift_brings_in_an_occurrence_from_before_the_timeline() -> None:
    later = ENDS + timedelta(hours=1)
    moved = agenda(PROVISIONAL, replace(CONFIRMED, shift=DAY), at=later)
    assert moved.next_edge(later) == STARTS + DAY
    assert [a.id for a in moved.active(INSIDE + DAY)] == ["w"]


def test_an_order_about_what_is_over_hides_no_transition_that_is_far_ahead() -> None:
    rare = window(Recurring("FREQ=YEARLY", wall(2026, 12, 1, 8), timedelta(hours=12)))
    agenda = Agenda.build(Timeline.build(policy(rare), AFTER, AFTER + DAY), Orders((CLOSED,)))
    assert list(agenda.transitions(AFTER)) == [("w", utc(2027, 12, 1, 8))]


@given(st.integers(0, 8 * 24 * 60 - 1), st.integers(1, 8))
def test_transitions_in_and_beyond_the_timeline_are_those_of_a_walk(minute: int, days: int) -> None:
    lasts = timedelta(hours=12)
    forms = [
        Recurring("FREQ=DAILY", wall(2026, 11, 1, 8), lasts),
        Recurring("FREQ=WEEKLY", wall(2026, 11, 1, 20), lasts),
        Recurring("FREQ=MONTHLY", wall(2026, 11, 3, 8), lasts),
        Recurring("FREQ=YEARLY", wall(2026, 11, 29, 8), timedelta(days=3)),
        Once(STARTS, ENDS),
        Once(STARTS - DAY, ENDS + 20 * DAY),
    ]
    windows = [replace(window(form), id=f"w{n}") for n, form in enumerate(forms)]
    several = policy(*windows, PROVISIONAL)
    timeline = Timeline.build(several, BEFORE, BEFORE + days * DAY)
    now = BEFORE + timedelta(minutes=minute % (days * 24 * 60))
    agenda = Agenda.build(timeline, Orders())
    for _ in range(2):
        assert list(agenda.transitions(now)) == list(transitions(several, now))


def test_what_is_far_ahead_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rare = window(Recurring("FREQ=YEARLY", wall(2026, 12, 1, 8), timedelta(hours=12)))
    over = Timeline.build(policy(rare), AFTER, AFTER + DAY)
    asked = list(Agenda.build(over, Orders()).transitions(AFTER))
    monkeypatch.setattr(timelines, "occurrences", None)
    later = AFTER + timedelta(hours=1)
    assert list(Agenda.build(over, Orders()).transitions(later)) == asked != []


def test_a_trial_has_an_edge_at_its_deadline_and_stays_in_sight_as_closed() -> None:
    on_trial = agenda(PROVISIONAL, TRIAL)
    assert on_trial.next_edge(STARTS) == STARTS + MINUTES
    assert [a.ends_at for a in on_trial.active(STARTS)] == [STARTS + MINUTES]
    assert on_trial.active(STARTS + MINUTES) == ()
    assert [e.state(INSIDE) for e in on_trial.coming(INSIDE)] == ["closed"]


def test_a_night_of_closings_hides_nothing_that_is_on_or_opens_next() -> None:
    closed = [replace(window(Once(STARTS, ENDS)), id=f"closed-{n:02}") for n in range(12)]
    on = replace(window(Once(STARTS + MINUTES, ENDS)), id="on")
    ahead = [replace(window(Once(ENDS + n * MINUTES, ENDS + DAY)), id=f"z{n}") for n in range(9)]
    orders = Orders(tuple(replace(CLOSED, window=w.id) for w in closed))
    every = Agenda.build(Timeline.ahead(policy(*closed, on, *ahead), INSIDE), orders)

    def shown(most: int) -> list[str]:
        return [e.activation.id for e in every.foremost(INSIDE, most)]

    assert shown(10) == ["on", *(f"z{n}" for n in range(9))]
    assert shown(12) == ["closed-00", "closed-01", "on", *(f"z{n}" for n in range(9))]
    assert shown(3) == ["on", "z0", "z1"]
    assert shown(0) == ["on"]


def test_an_order_about_an_occurrence_that_is_no_longer_declared_does_nothing() -> None:
    elsewhere = replace(CONFIRMED, starts_at=STARTS + DAY, ends_at=ENDS + DAY, shift=-DAY)
    assert armed_at(policy(PROVISIONAL), Orders((elsewhere,)), INSIDE) == ()
    assert armed_at(policy(), Orders((CONFIRMED,)), INSIDE) == ()


def test_one_occurrence_of_a_recurring_window_is_confirmed_and_the_others_are_not() -> None:
    daily = replace(
        window(Recurring("FREQ=DAILY", wall(2026, 12, 1, 8), timedelta(hours=12))),
        provisional=True,
    )
    order = replace(CONFIRMED, starts_at=STARTS + DAY, ends_at=ENDS + DAY)
    on = [armed_at(policy(daily), Orders((order,)), INSIDE + n * DAY) for n in range(3)]
    assert [len(activations) for activations in on] == [0, 1, 0]
