"""Whichever way a plan is made, and a loss is counted, it is the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.lab.registry import CATEGORIES, generate
from enforcer.lookup import following as room
from enforcer.lookup.following import Following, first_plan
from enforcer.policy.registry import Registry, parse_registry, shrink
from tests.examples import examples
from tests.lookup.drawn_registries import DAY, updates
from tests.lookup.test_replan import BUDGET, assert_same, planned_of

SHIFTS = st.sampled_from((0, 0, 1, -1))


@examples(50)
@given(updates(), SHIFTS, SHIFTS, st.sampled_from((BUDGET, BUDGET + 1)))
def test_what_follows_is_what_is_planned_anew(
    changed: list[Registry], before: int, after: int, budget: int
) -> None:
    old = planned_of(changed[0], before)
    day = DAY + timedelta(after)
    found = Following(old, changed[1], day).plan(budget)
    assert_same(found, first_plan(changed[1], day, budget))
    assert found.budget_bytes == budget


@examples(50)
@given(updates(), SHIFTS, SHIFTS)
def test_losses_are_those_that_a_count_of_everything_finds(
    changed: list[Registry], planned_on: int, asked_for: int
) -> None:
    old, new = changed[0], changed[-1]
    day = DAY + timedelta(asked_for)
    following = Following(planned_of(old, planned_on), new, DAY + timedelta(planned_on))
    assert following.shrunk(old, new, day) == shrink(old, new, day)


def test_where_everything_changed_it_is_counted_and_planned_anew() -> None:
    old, new = (parse_registry("r", generate(3000, seed), CATEGORIES) for seed in (1, 2))
    following = Following(planned_of(old), new, DAY)
    assert following.shrunk(old, new, DAY) == shrink(old, new, DAY)
    assert_same(following.plan(BUDGET), planned_of(new))


def test_a_row_of_many_is_counted_without_a_count_of_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = generate(3000, 1).splitlines(keepends=True)
    old = parse_registry("r", b"".join(lines), CATEGORIES)
    del lines[1500]
    new = parse_registry("r", b"".join(lines), CATEGORIES)
    wanted = shrink(old, new, DAY)
    monkeypatch.delattr(room, "shrink")
    following = Following(planned_of(old), new, DAY)
    assert following.shrunk(old, new, DAY) == wanted
    tomorrow = DAY + timedelta(1)
    assert following.shrunk(old, new, tomorrow) == shrink(old, new, tomorrow)


SEVERAL = "A,20.7.7.0/24,mission,,,udp/500 esp\nB,20.7.7.0/24,mission,,,\n"
ONE = "A,20.7.7.0/24,mission,,,udp/500 esp\n"


@pytest.mark.parametrize(
    ("before", "after", "narrowed"),
    [
        (ONE, "A,20.7.7.0/24,mission,,,esp\n", 1),
        (ONE, "A,20.7.7.0/24,mission,,,udp/500 udp/4500 esp\n", 0),
        (ONE, "A,20.7.7.0/24,mission,,,esp\nB,20.7.7.0/24,mission,,,udp/1-600\n", 0),
        (ONE, "A,20.7.7.0/24,mission,,,esp\nB,20.7.7.0/24,freelancer,,,\n", 1),
        (SEVERAL, "B,20.7.7.0/24,mission,,,\n", 0),
        (SEVERAL, ONE, 1),
    ],
)
def test_services_that_go_are_found_without_a_count_of_everything(
    monkeypatch: pytest.MonkeyPatch, before: str, after: str, narrowed: int
) -> None:
    many = generate(3000, 1)
    old, new = (parse_registry("r", many + more.encode(), CATEGORIES) for more in (before, after))
    wanted = shrink(old, new, DAY)
    assert sum(shrunk.narrowed for shrunk in wanted) == narrowed
    monkeypatch.delattr(room, "shrink")
    assert Following(planned_of(old), new, DAY).shrunk(old, new, DAY) == wanted
