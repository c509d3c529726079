"""A clock that nobody keeps right ends no window early (promise 8) and none late (promise 2)."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from enforcer.clock import Clock
from enforcer.desk import Desk
from enforcer.notary import Notary
from enforcer.ruleset import transaction as t
from enforcer.ruleset.compiler import epoch_ns
from enforcer.schedule.orders import Orders
from enforcer.steady import SteadyClock
from tests.daemon.daemon_worlds import CLOSES, INSIDE, LEASE, WINDOWS, TurnedClock, World
from tests.daemon.test_desk import PROVISIONAL

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
    assert (world.hooked(), world.outcome.waiting) == (set(), ())


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


@pytest.mark.parametrize("hours", [1, 24, 24 * 400, -20], ids="{}h".format)
@pytest.mark.parametrize("windows", [UNTIL_END, WINDOWS], ids=["until-end", "lease"])
def test_a_clock_set_out_of_a_window_ends_it_neither_early_nor_late(
    windows: str, hours: int
) -> None:
    world = half_an_hour_before_its_end(windows)
    world.clock.set_by(timedelta(hours=hours))
    world.step_at(world.clock.at)
    seen = world.daemon.snapshot()
    assert (world.armed(), world.outcome.waiting) == ({"ddos"}, ())
    assert (seen.armed, seen.ends, seen.due) == (("ddos",), (("ddos", CLOSES),), ())
    assert lives(world) == HALF_AN_HOUR
    world.step_at(world.clock.at)
    assert world.hooked() == set()


def test_a_clock_that_counts_unasked_moves_windows_at_once() -> None:
    """`require_synchronised_clock: false`"""
    world = World()
    world.step_at(CLOSES - HALF_AN_HOUR)
    world.clock.right = False
    world.clock.set_by(timedelta(hours=1))
    world.step_at(world.clock.at)
    assert world.armed() == set()


def test_while_the_clock_is_not_kept_right_nothing_opens_by_what_it_shows() -> None:
    world = World(require_clock=True)
    world.step_at(world.clock.at)
    world.clock.right = False
    world.clock.set_by(timedelta(hours=2))
    world.step_at(world.clock.at)
    assert (world.armed(), world.outcome.waiting) == (set(), ())
    # By the right clock its time has come, and it waits.
    world.step_at(world.clock.at + timedelta(hours=2))
    assert (world.armed(), world.outcome.waiting) == (set(), ("ddos",))


def test_the_loop_is_woken_at_the_end_as_it_was_declared() -> None:
    world = half_an_hour_before_its_end()
    world.clock.set_by(timedelta(hours=5))
    world.step_at(world.clock.at + HALF_AN_HOUR - timedelta(seconds=1))
    daemon = world.daemon
    assert daemon.next_wake() == CLOSES
    shown_ns = daemon.clock.shown_ns(epoch_ns(CLOSES))
    assert shown_ns == epoch_ns(world.clock.at + timedelta(seconds=1))


# --- decisions ------------------------------------------------------------------------------------


class Office(World):
    """A daemon and its desk, stepped as the service steps them."""

    def __init__(self, directory: Path, windows: str) -> None:
        super().__init__(require_clock=True)
        self.windows = windows
        self.open_desk(directory)
        self.at(INSIDE)

    def open_desk(self, directory: Path, orders: Orders = Orders()) -> None:  # noqa: B008 - a value
        self.start(orders)
        self.desk = Desk(self.daemon, self.daemon.clock, Notary(directory))

    def at(self, now: datetime) -> None:
        self.clock.at = now
        self.desk.lapse()
        self.step_at(now)

    def ask(self, verb: str, **more: object) -> object:
        answer = self.desk.serve({"verb": verb, **more}, "noc")
        assert answer is not None
        return answer["error"]


def test_a_trial_outlives_a_clock_that_runs_away_for_a_moment(tmp_path: Path) -> None:
    office = Office(tmp_path, PROVISIONAL)
    assert office.ask("declared", id="ddos", within_s=3600) is None
    office.at(INSIDE)
    office.clock.right = False
    office.clock.set_by(timedelta(hours=2))
    office.at(office.clock.at)
    assert office.armed() == {"ddos"}
    office.clock.set_by(-timedelta(hours=2))
    office.clock.right = True
    office.at(office.clock.at + MINUTE)
    assert office.armed() == {"ddos"}
    assert office.ask("confirm", id="ddos") is None


def test_a_trial_that_nobody_confirms_ends_by_the_clock_as_it_was_right(tmp_path: Path) -> None:
    office = Office(tmp_path, PROVISIONAL)
    assert office.ask("declared", id="ddos", within_s=3600) is None
    office.at(INSIDE)
    office.clock.right = False
    office.clock.set_by(-timedelta(hours=20))
    office.at(office.clock.at + timedelta(hours=1))
    assert office.armed() == set()
    assert [order.word for order in office.daemon.orders.every] == ["closed"]


def test_no_trial_lapses_by_a_clock_that_never_was_right(tmp_path: Path) -> None:
    office = Office(tmp_path, PROVISIONAL)
    assert office.ask("declared", id="ddos", within_s=3600) is None
    office.clock.right = False
    office.open_desk(tmp_path, office.daemon.orders)
    office.at(INSIDE + timedelta(hours=2))
    assert [order.word for order in office.daemon.orders.every] == ["trial"]
    office.clock.right = True
    office.at(office.clock.at)
    assert [order.word for order in office.daemon.orders.every] == ["closed"]


@pytest.mark.parametrize("verb", ["close", "disarm"])
@pytest.mark.parametrize("hours", [24, -20])
def test_whoever_ends_a_window_ends_it_whatever_the_clock_shows(
    tmp_path: Path, verb: str, hours: int
) -> None:
    """Also before the step that follows the setting of the clock."""
    office = Office(tmp_path, UNTIL_END)
    assert office.armed() == {"ddos"}
    office.clock.right = False
    office.clock.set_by(timedelta(hours=hours))
    assert office.ask(verb, **({"id": "ddos"} if verb == "close" else {})) is None
    office.at(office.clock.at)
    assert office.armed() == set()


# --- the clock itself -----------------------------------------------------------------------------


def steady() -> tuple[SteadyClock, TurnedClock]:
    clock = TurnedClock(INSIDE)
    return SteadyClock(clock, clock.synchronised), clock


def times(clock: Clock) -> tuple[datetime, int]:
    return clock.now(), clock.now_ns()


def test_it_goes_on_from_when_it_was_right_last() -> None:
    one, clock = steady()
    assert one.look()
    clock.right = False
    clock.set_by(BACK)
    assert not one.look()
    assert one.known
    clock.at += MINUTE
    assert times(one) == (INSIDE + MINUTE, epoch_ns(INSIDE + MINUTE))
    clock.right = True
    assert one.look()
    assert times(one) == times(clock)


def test_one_that_never_was_right_shows_what_there_is() -> None:
    one, clock = steady()
    clock.right = False
    assert not one.look()
    assert not one.known
    clock.set_by(BACK)
    assert times(one) == times(clock)
    assert one.shown_ns(5) == 5
