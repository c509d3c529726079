"""The registrations of a day come into force at midnight, or those before stay and it is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from enforcer.lookup.following import Following
from enforcer.lookup.planner import Planned
from tests.daemon.daemon_worlds import HEADER, REGISTRY, WINDOWS, World

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
EVENING = NOON.replace(hour=23, minute=59, second=20)
READY = EVENING + timedelta(seconds=15)
MIDNIGHT = EVENING + timedelta(seconds=40)
DAY = timedelta(days=1)
TOO_MUCH = (
    "the registrations of 2026-12-02 cannot be loaded, so those of 2026-12-01 stay in force: "
    "registry: 20,002 prefixes need 2.1 MB of kernel memory with every choice of stages, over the "
    "1.0 MB of registry.kernel_memory; raise it, or register fewer and wider prefixes; put it "
    "right, then: enforcer reload"
)
ROWS = "".join(
    f"T-{i},198.{18 + (i >> 16)}.{i >> 8 & 255}.{i & 255}/32,freelancer,%s,%s,\n"
    for i in range(0, 40000, 2)
)
GUARD = WINDOWS.replace("2026-12-01T20:00", "2026-12-04T08:00").replace(
    "  measures:", "  lease: until-end\n  measures:"
)
OF_DAYS = HEADER + (
    "A,198.51.100.1/32,freelancer,,,\n"
    "B,198.51.100.2/32,freelancer,,2026-12-02,\n"
    "C,198.51.100.3/32,freelancer,2026-12-02,,\n"
)


def too_much_on(first: str, until: str = "") -> World:
    """A gateway under guard whose registry is over the budget from a day on."""
    world = World()
    world.main = world.main.replace("20%", "100%, kernel_memory: 1MB")
    world.windows, world.registry = GUARD, REGISTRY + ROWS % ((first, until) * 20000)
    world.start()
    world.step_at(NOON)
    return world


def held(world: World) -> int:
    return sum(n for _, _, n in world.daemon.snapshot().prefixes)


def test_a_day_over_the_budget_leaves_the_day_before_in_force_and_says_so() -> None:
    world = too_much_on("2026-12-02")
    assert world.daemon.snapshot().problem is None
    for at in (EVENING, READY, MIDNIGHT, MIDNIGHT + timedelta(hours=1)):
        world.step_at(at)
        assert (world.outcome.result != "failed", world.armed(), held(world)) == (
            True,
            {"ddos"},
            10,
        )
        told = world.daemon.snapshot()
        assert (told.problem, told.day_refused) == (
            (None, False) if at is EVENING else (TOO_MUCH, True)
        )
    world.registry = REGISTRY
    assert world.daemon.reload() is None
    world.step_at(MIDNIGHT + timedelta(hours=2))
    assert (world.daemon.snapshot().problem, world.daemon.day) == (None, MIDNIGHT.date())


def test_what_is_too_much_for_a_day_is_tried_again_with_the_next() -> None:
    world = too_much_on("2026-12-02", "2026-12-02")
    for at in (READY, MIDNIGHT):
        world.step_at(at)
    assert world.daemon.day == NOON.date()
    for at in (READY + DAY, MIDNIGHT + DAY):
        world.step_at(at)
    assert (world.daemon.snapshot().problem, world.daemon.day) == (None, NOON.date() + 2 * DAY)


def test_a_refused_day_is_not_planned_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    world, asked = too_much_on("2026-12-02"), [0]
    plan = Following.plan

    def counted(following: Following, budget_bytes: int) -> Planned:
        asked[0] += 1
        return plan(following, budget_bytes)

    monkeypatch.setattr(Following, "plan", counted)
    for minutes in range(0, 3 * 24 * 60, 10):
        for seconds in (0, 15, 40):
            world.step_at(EVENING + timedelta(minutes=minutes, seconds=seconds))
    assert asked[0] == 3, "once for each of the days"


def test_memory_that_runs_out_at_midnight_is_told_and_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.windows, world.registry = GUARD, OF_DAYS
    world.start()
    world.step_at(NOON)

    def short(following: Following, budget_bytes: int) -> Planned:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(Following, "plan", short)
        for at in (READY, MIDNIGHT, MIDNIGHT + timedelta(minutes=5)):
            world.step_at(at)
            problem = world.daemon.snapshot().problem
            assert problem is not None
            assert "2026-12-01 stay in force: memory ran out; " in problem
    for minutes in (11, 12):
        world.step_at(MIDNIGHT + timedelta(minutes=minutes))
    assert (world.daemon.snapshot().problem, world.daemon.day) == (None, MIDNIGHT.date())


# --- the clock ----------------------------------------------------------------------------------


def under_guard(*, require_clock: bool) -> World:
    world = World(require_clock=require_clock)
    world.windows, world.registry = GUARD, OF_DAYS
    world.start()
    world.step_at(NOON + DAY)
    world.clock.right = False
    return world


@pytest.mark.parametrize("away", [-DAY, DAY])
def test_a_clock_that_nobody_keeps_right_turns_no_day_while_something_is_armed(
    away: timedelta,
) -> None:
    world = under_guard(require_clock=True)
    world.step_at(NOON + DAY + away)
    assert (world.daemon.day, held(world)) == ((NOON + DAY).date(), 3)
    assert world.daemon.reload() is None
    world.step_at(NOON + DAY + away)
    assert (world.daemon.day, held(world)) == ((NOON + DAY).date(), 3), "nor does a reload"
    world.clock.right = True
    world.step_at(NOON + DAY + away)
    assert world.daemon.day == (NOON + DAY + away).date()


def test_where_the_clock_need_not_be_right_or_nothing_is_armed_days_go_by() -> None:
    world = under_guard(require_clock=False)
    world.step_at(NOON + 2 * DAY)
    assert world.daemon.day == (NOON + 2 * DAY).date()
    idle = World(require_clock=True)
    idle.clock.right = False
    idle.step_at(NOON)
    idle.step_at(NOON + DAY)
    assert idle.daemon.day == (NOON + DAY).date()
