"""What was in force when: both sides of a change while it went on, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from enforcer.grounds import Ground, History
from enforcer.lookup.tables import Tables
from enforcer.policy.registry import empty_registry
from tests.ruleset.builders import ALL_THREE, CATEGORIES, POLICY, active

REGISTRY = empty_registry(CATEGORIES)
QUIET = Ground(POLICY, REGISTRY, Tables(), date(2026, 12, 1), ())
ARMED = replace(QUIET, armed=(active(ALL_THREE),))


def between(history: History, since_s: float, until_s: float) -> list[Ground | None]:
    return [span.ground for span in history.between(since_s, until_s)]


def step(history: History, begins_s: float, ground: Ground | None, ends_s: float) -> None:
    history.changing(begins_s)
    history.settled(ground, ends_s)


def test_before_anything_was_told_nothing_is_known() -> None:
    assert between(History(), 0, 100) == []
    assert History().at_rest


def test_during_a_change_both_sides_may_be_in_force() -> None:
    history = History()
    step(history, 0, QUIET, 1)
    step(history, 10, ARMED, 11)
    assert between(history, 2, 9) == [QUIET]
    assert between(history, 10.5, 10.6) == [QUIET, ARMED]
    assert between(history, 5, 10) == [QUIET, ARMED]
    assert between(history, 12, 13) == [ARMED]
    assert not history.at_rest


def test_a_change_that_goes_on_is_waited_for() -> None:
    history = History()
    step(history, 0, QUIET, 1)
    assert not history.changing_before(5)
    history.changing(10)
    assert not history.changing_before(9)
    assert history.changing_before(10)
    history.settled(ARMED, 11)
    assert not history.changing_before(12)


def test_steps_that_change_nothing_are_one_span() -> None:
    history = History()
    for at in range(5):
        # A step finds the same windows anew each time.
        step(history, at, replace(ARMED, armed=(active(ALL_THREE),)), at + 0.5)
    (span,) = history.between(0, 10)
    assert (span.since_s, span.until_s) == (0, None)


def test_after_a_step_that_failed_nobody_knows_until_one_succeeds() -> None:
    history = History()
    step(history, 0, ARMED, 1)
    step(history, 10, None, 11)
    step(history, 12, None, 13)
    assert between(history, 11.5, 12) == [None]
    step(history, 20, ARMED, 21)
    assert between(history, 22, 23) == [ARMED]


def test_what_is_long_over_is_forgotten() -> None:
    history = History()
    for at in range(1000):
        step(history, at, QUIET if at % 2 else ARMED, at + 0.5)
    assert len(history.between(0, 2000)) < 130


def test_of_older_grounds_only_the_time_is_kept() -> None:
    """A ground holds a registry, of a million rows maybe, and reloads may come every second."""
    history = History()
    for at in range(10):
        step(history, at, replace(ARMED, day=date(2026, 12, 1 + at)), at + 0.5)
    days = [ground and ground.day.day for ground in between(history, 0, 20)]
    assert days == [*[None] * 7, 8, 9, 10]
