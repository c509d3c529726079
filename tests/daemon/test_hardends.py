"""A clock that nobody keeps right makes no window longer than it was declared (promise 2)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from enforcer.ruleset import transaction as t
from enforcer.schedule.orders import Orders
from tests.daemon.daemon_worlds import CLOSES, INSIDE, LEASE, WINDOWS, World

UNTIL_END = WINDOWS.replace("  measures:", "  lease: until-end\n  measures:")
HALF_AN_HOUR, MINUTE = timedelta(minutes=30), timedelta(minutes=1)
BACK = timedelta(hours=-10)


def left(world: World) -> timedelta:
    """What the kernel's own timer has left."""
    there = world.kernel.read().sets.get("armed.ddos")
    lefts = [e[1] for e in there.elements if isinstance(e, tuple)] if there else []
    return timedelta(microseconds=max(lefts, default=0) // 1000)


def half_an_hour_before_its_end(windows: str = UNTIL_END) -> World:
    world = World(require_clock=True)
    world.windows = windows
    world.start()
    world.step_at(CLOSES - HALF_AN_HOUR)
    assert world.armed() == {"ddos"}
    world.clock.right = False
    return world


def lives(world: World) -> timedelta:
    """Steps by the minute until the window is over."""
    passed = timedelta()
    while world.armed() and passed < timedelta(hours=3):
        world.step_at(world.clock.at + MINUTE)
        passed += MINUTE
    return passed


@pytest.mark.parametrize("windows", [UNTIL_END, WINDOWS], ids=["until-end", "lease"])
def test_a_clock_set_back_makes_no_window_longer(windows: str) -> None:
    world = half_an_hour_before_its_end(windows)
    world.clock.set_by(BACK)
    world.step_at(world.clock.at)
    assert left(world) <= HALF_AN_HOUR
    assert world.outcome.waiting == ()
    assert lives(world) == HALF_AN_HOUR
    world.step_at(world.clock.at)
    assert (world.hooked(), world.outcome.waiting) == (set(), ("ddos",))


def test_what_is_armed_is_left_as_it_is_while_the_clock_is_not_kept_right() -> None:
    world = half_an_hour_before_its_end()
    for _ in range(10):
        world.step_at(world.clock.at + MINUTE)
        assert (world.outcome.result, world.outcome.operations) == ("unchanged", ())


def test_a_clock_that_is_right_again_counts() -> None:
    world = half_an_hour_before_its_end()
    world.clock.set_by(BACK)
    world.step_at(world.clock.at)
    world.clock.right = True
    world.step_at(world.clock.at)
    assert left(world) == HALF_AN_HOUR - BACK
    world.clock.set_by(-BACK)
    world.step_at(world.clock.at)
    assert left(world) == HALF_AN_HOUR


def test_a_daemon_that_never_saw_the_clock_right_leaves_the_kernels_timer_alone() -> None:
    world = half_an_hour_before_its_end(WINDOWS)
    world.clock.set_by(BACK)
    world.start()
    world.step_at(world.clock.at + MINUTE)
    assert left(world) == LEASE - MINUTE
    assert lives(world) == LEASE - MINUTE


def test_a_window_that_is_closed_meanwhile_ends_at_once() -> None:
    world = half_an_hour_before_its_end()
    world.windows = UNTIL_END.replace("20:00", "19:40")
    assert world.daemon.reload() is None
    world.step_at(world.clock.at)
    assert left(world) == timedelta(minutes=10)


def test_where_only_the_orders_are_unknown_a_lease_is_renewed() -> None:
    world = World(require_clock=True)
    world.step_at(INSIDE)
    world.start(Orders(readable=False))
    world.step_at(INSIDE + LEASE / 2)
    assert left(world) == LEASE
    assert any(isinstance(op, t.Arm) for op in world.outcome.operations)
