"""The daemon over its windows, reloads, restarts and strangers, on the fake kernel."""

from __future__ import annotations

import errno
from datetime import timedelta

import pytest
from daemon_worlds import AFTER, BEFORE, CLOSES, HEADER, INSIDE, LEASE, OPENS, WINDOWS, World

from enforcer.decisions import close_all
from enforcer.drift import Suspicion
from enforcer.kernel.fake_table import FakeTable
from enforcer.lookup import following
from enforcer.policy.model import Activation
from enforcer.policy.shrinking import Loss, ShrinkError
from enforcer.ruleset import transaction as t
from enforcer.ruleset.measures import CounterName
from enforcer.ruleset.vocabulary import RegisteredMap
from enforcer.schedule.orders import Order, Orders

HELD = "guard/ddos/held_back/ip4/unregistered"


def test_nothing_is_hooked_before_the_window_and_the_registry_is_loaded() -> None:
    world = World()
    world.step_at(BEFORE)
    assert world.hooked() == set()
    tables = world.daemon.tables
    assert tables.front is not None
    assert set(world.kernel.read().ledger.values()) == {
        stage.digest for stage in (*tables.stages, tables.front)
    }
    assert not world.kernel.read().shapers


def test_a_window_opens_at_its_instant_and_closes_at_its_end() -> None:
    world = World()
    world.step_at(BEFORE)
    world.step_at(OPENS - timedelta(microseconds=1))
    assert world.hooked() == set()
    world.step_at(OPENS)
    assert world.hooked() == {"guard.ddos", "mark.ddos", "reserve.ddos"}
    assert {s.device for s in world.kernel.read().shapers} == {"wan0"}
    world.step_at(CLOSES)
    assert world.hooked() == set()
    assert not world.kernel.read().shapers
    assert world.kernel.read().counters == frozenset()


def test_the_daemon_wakes_for_the_opening_the_lease_and_the_end() -> None:
    world = World()
    daemon = world.step_at(OPENS - timedelta(seconds=1))
    assert daemon.next_wake() == OPENS
    daemon = world.step_at(OPENS)
    assert daemon.next_wake() <= OPENS + LEASE / 3
    daemon = world.step_at(CLOSES - timedelta(seconds=1))
    assert daemon.next_wake() == CLOSES


def test_who_asks_all_the_time_puts_no_look_no_lease_and_no_day_off() -> None:
    world = World()
    for stepped_at in (INSIDE, OPENS.replace(hour=23, minute=59, second=55)):
        due = min(world.step_at(stepped_at).next_wake(), stepped_at + LEASE / 4)
        for asked in range(20):
            world.clock.at = stepped_at + timedelta(seconds=asked)
            assert world.daemon.next_wake() <= due


def test_a_window_without_daemon_is_released_after_its_lease() -> None:
    world = World()
    world.step_at(INSIDE)
    world.clock.at = INSIDE + LEASE - timedelta(seconds=1)
    assert world.armed() == {"ddos"}
    world.clock.at = INSIDE + LEASE
    assert world.armed() == set()


def test_a_lease_renewed_in_time_never_runs_past_the_end() -> None:
    world = World()
    now = CLOSES - LEASE * 2
    while now < CLOSES:
        world.step_at(now)
        assert world.armed() == {"ddos"}
        now += LEASE / 4
    world.clock.at = CLOSES
    assert world.armed() == set()


def test_a_restart_inside_a_window_adopts_what_is_there() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.bump(HELD, 7, 700)
    before = len(world.kernel.transactions)
    world.start()
    world.step_at(INSIDE + timedelta(seconds=1))
    assert world.outcome.result == "unchanged"
    assert len(world.kernel.transactions) == before
    assert world.kernel.counters()[HELD] == (7, 700)


def test_a_restart_after_the_end_takes_what_is_left_out_and_its_totals_over() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.bump(HELD, 7, 700)
    world.start()
    world.step_at(AFTER)
    assert world.hooked() == set()
    held = CounterName("guard", "ddos", "held_back", 4, "unregistered")
    assert world.daemon.totals.now()[held] == (7, 700)


def test_totals_never_go_backward_over_a_window_that_closes() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.bump(HELD, 3, 300)
    held = CounterName("guard", "ddos", "held_back", 4, "unregistered")
    assert world.daemon.totals.now()[held] == (3, 300)
    world.step_at(CLOSES)
    assert world.daemon.totals.now()[held] == (3, 300)


def test_totals_stay_whole_when_a_counter_could_not_be_deleted() -> None:
    world = World()
    held = CounterName("guard", "ddos", "held_back", 4, "unregistered")
    world.step_at(INSIDE)
    world.kernel.bump(HELD, 7, 700)
    world.kernel.fail_next(t.DeleteCounter, errno.ENOMEM)
    world.step_at(AFTER)
    assert HELD in world.kernel.counters()
    world.step_at(AFTER)
    assert HELD not in world.kernel.counters()
    assert world.daemon.totals.now()[held] == (7, 700)
    world.step_at(INSIDE)
    world.kernel.bump(HELD, 5, 500)
    assert world.daemon.totals.now()[held] == (12, 1200)
    world.step_at(AFTER)
    assert HELD not in world.kernel.counters()
    assert world.daemon.totals.now()[held] == (12, 1200)


def test_a_foreign_flush_is_repaired_and_counted_as_drift() -> None:
    world = World()
    world.step_at(INSIDE)
    hooked = world.hooked()
    world.kernel.flush()
    world.step_at(INSIDE)
    assert world.hooked() == hooked
    assert world.outcome.drift
    assert world.daemon.snapshot().drift_repairs == 1


def test_a_registered_map_emptied_by_somebody_else_is_loaded_anew() -> None:
    world = World()
    world.step_at(INSIDE)
    stage = world.daemon.tables.stages[0]
    name = RegisteredMap(stage).name
    key = int(stage.keys[0]).to_bytes(4, "big")

    def empty(table: FakeTable | None) -> None:
        assert table is not None
        table.sets[name].elements.clear()

    world.kernel.edit(empty)
    assert world.kernel.elements(name, [key]) == {}
    world.daemon.distrust(Suspicion(frozenset({name})))
    world.step_at(INSIDE)
    assert world.outcome.drift == {"elements"}
    assert world.armed() == {"ddos"}
    assert len(world.kernel.elements(name, [key])) == 1


def test_a_window_that_opens_or_a_lease_renewed_is_no_drift() -> None:
    world = World()
    for now in (BEFORE, OPENS, OPENS + LEASE / 2, CLOSES):
        world.step_at(now)
        assert not world.outcome.drift
    assert world.daemon.snapshot().drift_repairs == 0


def test_a_table_of_somebody_else_is_refused_and_left_alone() -> None:
    world = World()
    world.kernel.make_foreign("no ledger")
    world.step_at(INSIDE)
    assert world.outcome.result == "failed"
    assert world.outcome.error is not None
    assert world.outcome.error.errno == errno.EEXIST
    assert world.kernel.transactions == []


def test_an_uplink_that_comes_back_is_armed_again() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.devices.discard("wan0")
    world.step_at(INSIDE)
    assert world.hooked() == {"guard.ddos", "mark.ddos"}
    assert world.daemon.snapshot().missing_devices == ("wan0",)
    world.kernel.devices.add("wan0")
    world.step_at(INSIDE)
    assert world.hooked() == {"guard.ddos", "mark.ddos", "reserve.ddos"}


def test_a_root_qdisc_of_somebody_else_stops_the_reservation_and_nothing_more() -> None:
    world = World()
    world.kernel.foreign_qdiscs.add("wan0")
    world.step_at(INSIDE)
    assert world.hooked() == {"guard.ddos", "mark.ddos"}
    assert world.daemon.snapshot().problem == (
        "window ddos reserves nothing: the root qdisc of wan0 is somebody else's; take it away "
        "(tc qdisc del dev wan0 root) or do without"
    )


# --- the clock ----------------------------------------------------------------------------------


def test_an_unsynchronised_clock_arms_nothing_new() -> None:
    world = World(require_clock=True)
    world.clock.right = False
    world.step_at(INSIDE)
    assert world.hooked() == set()
    assert world.outcome.waiting == ("ddos",)
    assert world.daemon.snapshot().waiting_for_clock == ("ddos",)


def test_a_window_that_is_due_is_told_as_what_is_in_force() -> None:
    def told(world: World) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
        seen = world.daemon.snapshot()
        return seen.armed, seen.due, [o.state for o in seen.coming]

    world = World(require_clock=True)
    world.clock.right = False
    world.step_at(INSIDE)
    assert told(world) == ((), ("ddos",), ["due"]), "the clock"
    world.clock.right = True
    world.kernel.fail_next(t.Arm, errno.ENOMEM)
    world.step_at(INSIDE)
    assert (world.outcome.result, told(world)) == ("failed", ((), ("ddos",), ["due"]))
    world.step_at(INSIDE)
    assert told(world) == (("ddos",), (), ["armed"])
    world.windows = WINDOWS.replace("end: ", "lease: until-end\n  end: ")
    assert world.daemon.reload() is None
    world.kernel.fail_next(t.Arm, errno.ENOMEM)
    world.step_at(INSIDE)
    assert (world.outcome.result, world.armed()) == ("failed", {"ddos"})
    assert told(world) == (("ddos",), (), ["armed"]), "what is refused takes nothing away"
    world.daemon.standing_down = "nothing acts"
    world.step_at(INSIDE)
    assert told(world) == ((), ("ddos",), ["due"])


def test_a_clock_that_loses_its_source_leaves_an_armed_window_armed() -> None:
    world = World(require_clock=True)
    world.step_at(INSIDE)
    world.clock.right = False
    world.step_at(INSIDE + LEASE / 2)
    assert world.armed() == {"ddos"}
    assert world.outcome.waiting == ()


def test_a_step_back_to_before_the_window_disarms() -> None:
    world = World()
    world.step_at(INSIDE)
    world.step_at(BEFORE)
    assert world.hooked() == set()


# --- reloads ------------------------------------------------------------------------------------


def test_a_reload_that_is_refused_changes_nothing_in_force() -> None:
    world = World()
    world.step_at(INSIDE)
    before = world.kernel.read()
    world.windows = WINDOWS.replace("20:00", "25:00")
    error = world.daemon.reload()
    assert error is not None
    world.step_at(INSIDE)
    assert world.kernel.read() == before
    assert world.daemon.snapshot().config_error == str(error)
    world.windows = WINDOWS
    assert world.daemon.reload() is None
    assert world.daemon.snapshot().config_error is None


def test_of_a_bad_registry_strangers_hear_the_place_and_no_word_of_the_row() -> None:
    world = World()
    world.step_at(INSIDE)
    world.registry += "acme-ltd,198.51.100.77/24,freelancer,,,\n"
    error = world.daemon.reload()
    assert error is not None
    assert "198.51.100.77/24" in str(error), "a person at a terminal hears it all"
    line = world.registry.count("\n")
    told = f"registry.csv:{line}:10: prefix is not right; see: enforcer check"
    assert world.daemon.snapshot().config_error == told


def test_a_reload_inside_a_window_swaps_the_registry_without_touching_chains() -> None:
    world = World()
    world.step_at(INSIDE)
    world.registry += "R-99,198.51.100.99/32,freelancer,,,\n"
    assert world.daemon.reload() is None
    world.step_at(INSIDE)
    assert world.outcome.result == "changed"
    assert any(isinstance(op, t.Change | t.Load) for op in world.outcome.operations)
    assert not world.outcome.drift


def test_a_changed_row_is_followed_and_nothing_planned_or_counted_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    soon = "R-98,198.51.100.98/32,freelancer,,2026-12-01,\n"
    world.registry += soon
    world.daemon = world.start()
    world.step_at(INSIDE)
    for name in ("planned", "first_plan", "shrink"):
        monkeypatch.delattr(following, name)
    world.registry += "R-99,198.51.100.120/32,freelancer,,,\n"
    assert world.daemon.reload() is None
    world.step_at(INSIDE)
    assert {type(op) for op in world.outcome.operations} == {t.Change, t.WriteLedger}
    world.step_at(OPENS.replace(hour=23, minute=59, second=59) + timedelta(seconds=1))
    found = world.daemon.tables
    monkeypatch.undo()
    world.registry = world.registry.replace(soon, "")
    assert found == world.start().tables


def test_an_update_that_would_remove_much_of_a_category_is_refused() -> None:
    world = World()
    world.step_at(INSIDE)
    world.registry = "".join(line + "\n" for line in world.registry.splitlines()[:-3])
    error = world.daemon.reload()
    assert isinstance(error, ShrinkError)
    assert str(error) == (
        "registry: 3 of 10 prefixes of category software-house would be removed, more than "
        "shrink_limit 20%; check the registry files, or, if it is meant: enforcer reload "
        f"--accept-shrink {error.token}"
    )
    assert world.daemon.snapshot().shrink_refused
    assert len(world.daemon.config.registry) == 10


def test_an_update_that_would_take_services_from_much_of_a_category_is_refused() -> None:
    world = World()
    world.step_at(INSIDE)
    *kept, a, b, c = world.registry.splitlines()
    world.registry = "".join(f"{x}\n" for x in (*kept, *(f"{x}tcp/1" for x in (a, b, c))))
    error = world.daemon.reload()
    assert isinstance(error, ShrinkError)
    assert error.losses == (Loss("software-house", 10, 0, narrowed=3),)
    assert world.daemon.snapshot().shrink_refused
    assert world.daemon.reload(lambda refusal: True) is None
    assert not world.daemon.snapshot().shrink_refused


def test_a_shrink_is_taken_when_somebody_accepts_that_very_one() -> None:
    world = World()
    world.step_at(INSIDE)
    world.registry = "".join(line + "\n" for line in world.registry.splitlines()[:-3])
    refused = world.daemon.reload(lambda refusal: False)
    assert isinstance(refused, ShrinkError)
    asked: list[ShrinkError] = []

    def accepts(refusal: ShrinkError) -> bool:
        asked.append(refusal)
        return refusal.token == refused.token

    assert world.daemon.reload(accepts) is None
    assert [x.losses for x in asked] == [(Loss("software-house", 10, 3),)]
    assert len(world.daemon.config.registry) == 7
    assert not world.daemon.snapshot().shrink_refused


def test_a_window_withdrawn_by_reload_closes_at_once() -> None:
    world = World()
    world.step_at(INSIDE)
    world.windows = "[]\n"
    assert world.daemon.reload() is None
    world.step_at(INSIDE)
    assert world.hooked() == set()


def test_registrations_come_and_go_at_midnight_utc() -> None:
    world = World()
    world.registry = HEADER + "R-1,198.51.100.1/32,freelancer,2026-12-01,2026-12-01,\n"
    world.daemon = world.start()
    last = OPENS.replace(hour=23, minute=59, second=59)
    world.step_at(last)
    assert world.daemon.snapshot().prefixes == ((4, "freelancer", 1),)
    midnight = last + timedelta(seconds=1)
    assert world.daemon.next_wake() == midnight
    world.step_at(midnight)
    assert sum(n for _, _, n in world.daemon.snapshot().prefixes) == 0


# --- disarm and stop ----------------------------------------------------------------------------


def test_a_disarmed_window_does_not_open_again_before_its_end() -> None:
    world = World()
    world.step_at(INSIDE)
    decision = close_all(world.daemon.orders, INSIDE, world.daemon.on(), "noc")
    world.daemon.orders = decision.orders
    world.step_at(INSIDE)
    assert [o.window for o in decision.orders.every] == ["ddos"]
    assert world.hooked() == set()
    world.step_at(INSIDE + timedelta(hours=1))
    assert world.hooked() == set()
    assert [o.state for o in world.daemon.occurrences(OPENS, CLOSES)] == ["closed"]


def test_release_unhooks_and_keeps_the_registry_loaded() -> None:
    world = World()
    world.step_at(INSIDE)
    ledger = dict(world.kernel.read().ledger)
    world.daemon.release()
    assert world.hooked() == set()
    assert dict(world.kernel.read().ledger) == ledger


def test_occurrences_say_what_became_of_them() -> None:
    world = World()

    def states(at: Activation | None = None) -> list[str]:
        return [o.state for o in world.daemon.occurrences(BEFORE, CLOSES + LEASE)]

    for now, state in ((BEFORE, "next"), (INSIDE, "armed"), (AFTER, "past")):
        world.clock.at = now
        assert states() == [state]


def test_people_see_what_is_on_after_a_night_of_closings() -> None:
    world = World()
    marks = WINDOWS.replace("    guard: {estate: concentrators}\n", "")
    marks = marks.replace("    reserve: {link: wan, share: 40%}\n", "")
    closed = [f"closed-{n:02}" for n in range(11)]
    world.windows = "".join(marks.replace("id: ddos", f"id: {name}") for name in closed) + marks
    world.start(Orders(tuple(Order(name, OPENS, CLOSES, "closed") for name in closed)))
    world.step_at(INSIDE)
    shown = {o.activation.id for o in world.daemon.snapshot().coming}
    assert shown == {"ddos", *closed[:9]}
