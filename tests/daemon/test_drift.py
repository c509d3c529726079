"""Each thing that another program can do to what is ours: put right, and counted by its kind."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from daemon_worlds import BEFORE, CLOSES, HEADER, INSIDE, LEASE, OPENS, World

from enforcer.drift import KINDS, Suspicion, drift, kinds
from enforcer.kernel.fake_table import FakeTable
from enforcer.ruleset import transaction as t
from enforcer.ruleset.vocabulary import Hook, RegisteredMap, Shaper

Table = FakeTable
ARMING = "armed.ddos"


def edited(change: Callable[[Table], Any]) -> Callable[[World], None]:
    def act(world: World) -> None:
        world.kernel.edit(lambda table: change(table) if table is not None else None)

    return act


def map_name(table: Table) -> str:
    return next(name for name, held in table.sets.items() if held.kind == "registered")


def class_map(table: Table) -> str:
    return next(name for name, held in table.sets.items() if held.kind == "classes")


def first_chain(table: Table) -> str:
    return next(name for name, rules in table.rules.items() if rules)


def lose_one_element(table: Table) -> None:
    table.sets[map_name(table)].elements.popitem()


def gain_one_element(table: Table) -> None:
    table.sets[map_name(table)].elements[b"\x01\x02\x03\x04"] = 1


def shrink_a_map(table: Table) -> None:
    held = table.sets[class_map(table)]
    held.size = len(held.elements) - 1


def empty_the_table(table: Table) -> None:
    table.rules.clear()
    table.ledger = ()


def hook_elsewhere(table: Table) -> None:
    table.hooks["mark.ddos"] = Hook("prerouting", 7)


def delete_a_chain(table: Table) -> None:
    table.hooks.pop("mark.ddos")
    table.rules.pop("mark.ddos")


ACTS: dict[str, tuple[Callable[[World], None], set[str]]] = {
    "flush ruleset": (lambda w: w.kernel.flush(), {"table"}),
    "flush table": (edited(empty_the_table), {"rules", "ledger"}),
    "dormant": (lambda w: w.kernel.set_dormant(), {"dormant"}),
    "a foreign rule": (
        edited(lambda x: x.rules.update({"mark.ddos": (*x.rules["mark.ddos"], ())})),
        {"rules"},
    ),
    "rules of a chain flushed": (edited(lambda x: x.rules.pop(first_chain(x))), {"rules"}),
    "a foreign chain": (edited(lambda x: x.hooks.update(theirs=None)), {"chain"}),
    "a chain hooked elsewhere": (edited(hook_elsewhere), {"chain"}),
    "a chain deleted": (edited(delete_a_chain), {"chain"}),
    "a registered map flushed": (
        edited(lambda x: x.sets[map_name(x)].elements.clear()),
        {"elements"},
    ),
    "one element deleted": (edited(lose_one_element), {"elements"}),
    "one element added": (edited(gain_one_element), {"elements"}),
    "a class map flushed": (
        edited(lambda x: x.sets[class_map(x)].elements.clear()),
        {"elements"},
    ),
    "a foreign set": (
        edited(lambda x: x.sets.update(theirs=replace(x.sets[class_map(x)], elements={}))),
        {"set"},
    ),
    "a map that is too small": (edited(shrink_a_map), {"set"}),
    "the ledger flushed": (edited(lambda x: setattr(x, "ledger", ())), {"ledger"}),
    "a counter deleted": (edited(lambda x: x.counters.popitem()), {"counter"}),
    "our qdisc removed": (lambda w: w.kernel._shapers.clear(), {"qdisc"}),
    "our qdisc changed": (
        lambda w: w.kernel._shapers.update(wan0=Shaper("wan0", 10**9, 0)),
        {"qdisc"},
    ),
}


@pytest.mark.parametrize("act", ACTS)
def test_what_another_program_does_is_put_right_and_counted_by_its_kind(act: str) -> None:
    world = World()
    world.step_at(INSIDE)
    before = world.kernel.read()
    do, kinds = ACTS[act]
    do(world)
    world.step_at(INSIDE)
    assert world.outcome.result == "changed"
    assert world.outcome.drift == kinds
    after = world.kernel.read()
    assert replace(after, generation=0) == replace(before, generation=0)
    counts = {name: s.count for name, s in before.sets.items()}
    assert {name: s.count for name, s in after.sets.items()} == counts
    told = world.daemon.snapshot()
    assert told.drift_repairs == 1
    assert {kind for kind, count in told.drift_kinds if count} == kinds
    world.step_at(INSIDE)
    assert (world.outcome.result, world.outcome.drift) == ("unchanged", frozenset())


def test_kinds_that_are_counted_are_there_from_the_start() -> None:
    world = World()
    world.step_at(BEFORE)
    assert world.daemon.snapshot().drift_kinds == tuple((kind, 0) for kind in KINDS)


def test_a_window_disarmed_by_somebody_is_armed_again_and_counted() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.edit(lambda table: table.sets[ARMING].elements.clear() if table else None)
    world.daemon.distrust(Suspicion(frozenset({ARMING})))
    world.step_at(INSIDE)
    assert world.outcome.drift == {"arming"}
    assert world.armed() == {"ddos"}


def test_only_the_maps_that_somebody_touched_are_loaded_anew() -> None:
    world = World()
    world.step_at(INSIDE)
    names = [RegisteredMap(stage).name for stage in world.daemon.tables.stages]
    world.daemon.distrust(Suspicion(frozenset({names[0], "theirs"})))
    world.step_at(INSIDE)
    loaded = [op.target.name for op in world.outcome.operations if hasattr(op, "flush")]
    assert loaded == [names[0]]
    assert world.outcome.drift == {"elements"}


def test_after_lost_events_every_map_is_loaded_anew() -> None:
    world = World()
    world.step_at(INSIDE)
    world.daemon.distrust(Suspicion(everything=True))
    world.step_at(INSIDE)
    assert world.outcome.drift == {"unseen"}
    assert world.daemon.tables.front is not None
    loaded = {op.target.name for op in world.outcome.operations if hasattr(op, "flush")}
    assert loaded == {*(RegisteredMap(s).name for s in world.daemon.tables.stages), "front4"}


# --- what only rules and the ledger were flushed of -----------------------------------------------


def loads_after_a_flush(
    suspicion: Suspicion, more: Callable[[Table], None] = lambda _: None
) -> tuple[World, set[str]]:
    """The maps that are loaded anew after `nft flush table` and what events told of it."""
    world = World()
    world.step_at(INSIDE)
    world.kernel.edit(lambda table: (empty_the_table(table), more(table)) if table else None)
    world.daemon.distrust(suspicion)
    world.step_at(INSIDE)
    assert world.outcome.result == "changed"
    assert world.armed() == {"ddos"}
    assert world.kernel.read().ledger
    return world, {op.target.name for op in world.outcome.operations if isinstance(op, t.Load)}


def every_map(world: World) -> set[str]:
    assert world.daemon.tables.front is not None
    return {*(RegisteredMap(s).name for s in world.daemon.tables.stages), "front4"}


def test_maps_that_nobody_has_touched_are_not_loaded_anew_for_a_lost_ledger() -> None:
    world, loaded = loads_after_a_flush(Suspicion(told=True))
    assert loaded == set()
    assert not any(isinstance(op, t.DeleteSet) for op in world.outcome.operations)
    assert world.outcome.drift == {"rules", "ledger"}


def test_of_those_that_events_name_they_are() -> None:
    name = RegisteredMap(World().daemon.tables.stages[0]).name
    assert loads_after_a_flush(Suspicion(frozenset({name}), told=True))[1] == {name}


def test_where_the_number_of_elements_is_another_they_are() -> None:
    lost: list[str] = []

    def lose(table: Table) -> None:
        lose_one_element(table)
        lost.append(map_name(table))

    assert loads_after_a_flush(Suspicion(told=True), lose)[1] == set(lost)


@pytest.mark.parametrize("suspicion", [Suspicion(), Suspicion(everything=True, told=True)])
def test_where_nobody_was_told_or_not_of_all_they_all_are(suspicion: Suspicion) -> None:
    world, loaded = loads_after_a_flush(suspicion)
    assert loaded == every_map(world)


def test_behind_a_step_that_failed_they_all_are() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.edit(lambda table: empty_the_table(table) if table else None)
    world.kernel.fail_next(t.WriteLedger, errno.ENOMEM)
    world.daemon.distrust(Suspicion(told=True))
    world.step_at(INSIDE)
    assert world.outcome.result == "failed"
    world.step_at(INSIDE)
    assert world.outcome.result == "changed"
    loaded = {op.target.name for op in world.outcome.operations if isinstance(op, t.Load)}
    assert loaded == every_map(world)


def test_a_flush_is_counted_also_where_something_else_is_wanted_by_now() -> None:
    for before, after in ((BEFORE, OPENS), (INSIDE, CLOSES)):
        world = World()
        world.step_at(before)
        world.kernel.flush()
        world.step_at(after)
        assert world.outcome.drift == {"table"}


def test_an_uplink_that_is_back_is_counted_and_one_that_goes_is_not() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.devices.discard("wan0")
    world.step_at(INSIDE)
    assert world.outcome.drift == frozenset()
    world.kernel.devices.add("wan0")
    world.step_at(INSIDE)
    assert world.outcome.drift == {"link"}
    world.kernel.devices.add("ppp7")
    world.step_at(INSIDE)
    assert world.outcome.drift == frozenset()


def test_drift_that_could_not_be_put_right_is_counted_once_it_is() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.flush()
    world.kernel.fail_next(object, 1)
    world.step_at(INSIDE)
    assert world.outcome.result == "failed"
    assert world.daemon.snapshot().drift_repairs == 0
    world.step_at(INSIDE)
    assert world.daemon.snapshot().drift_repairs == 1


@pytest.mark.parametrize("call", range(3))
def test_our_own_change_whose_answer_was_lost_is_no_drift(call: int) -> None:
    """The commit holds, and is told as failed; something else is wanted before the next step."""
    world = World()
    world.step_at(INSIDE)
    world.registry += "R-50,198.51.100.50/32,freelancer,,,\n"
    assert world.daemon.reload() is None
    world.kernel.fail_call(call, errno.EIO, after=True)
    world.step_at(INSIDE)
    world.registry += "R-51,198.51.100.51/32,freelancer,,,\n"
    assert world.daemon.reload() is None
    world.step_at(INSIDE)
    assert world.outcome.result != "failed"
    assert world.daemon.snapshot().drift_repairs == 0
    world.kernel.flush()
    world.step_at(INSIDE)
    assert world.daemon.snapshot().drift_repairs == 1, "the next drift counts again"


def test_a_device_that_nobody_named_comes_and_hides_no_drift() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.devices.add("ppp7")
    world.kernel.foreign_qdiscs.add("ppp7")
    edited(lambda x: x.rules.pop(first_chain(x)))(world)
    world.step_at(INSIDE)
    assert world.outcome.drift == {"rules"}


def test_elements_are_counted_also_where_something_else_is_wanted_by_now() -> None:
    world = World()
    world.step_at(BEFORE)
    name = RegisteredMap(world.daemon.tables.stages[0]).name
    world.daemon.distrust(Suspicion(frozenset({name})))
    world.step_at(OPENS)
    assert world.outcome.drift == {"elements"}


def test_after_lost_events_a_map_that_lacks_some_is_told_from_one_that_may() -> None:
    world = World()
    world.step_at(INSIDE)
    edited(lambda x: x.sets[map_name(x)].elements.popitem())(world)
    world.daemon.distrust(Suspicion(everything=True))
    world.step_at(INSIDE)
    assert world.outcome.drift == {"elements", "unseen"}


def test_what_we_load_in_a_second_transaction_of_a_step_is_no_drift() -> None:
    """As a large front filter is: the first transaction has moved on from what was settled."""
    world = World()
    world.step_at(INSIDE)
    commit, late = world.kernel.commit, []

    def edits_meanwhile(transaction: t.Transaction, now_ns: int) -> None:
        commit(transaction, now_ns)
        if not late:
            late.append(True)
            edited(lambda x: x.counters.popitem())(world)

    world.kernel.commit = edits_meanwhile  # type: ignore[method-assign]
    world.windows = world.windows.replace("fwmark: 0x51", "fwmark: 0x52")
    assert world.daemon.reload() is None
    world.step_at(INSIDE)
    assert late
    assert world.outcome.attempts == 3
    assert world.outcome.drift == frozenset()


def test_a_link_that_another_program_frees_is_counted() -> None:
    world = World()
    world.kernel.foreign_qdiscs.add("wan0")
    world.step_at(INSIDE)
    assert not world.kernel.read().shapers
    world.kernel.foreign_qdiscs.discard("wan0")
    world.step_at(INSIDE)
    assert world.outcome.drift == {"link"}
    assert world.kernel.read().shapers


def test_a_qdisc_of_ours_where_none_is_wanted_is_taken_away_and_counted() -> None:
    world = World()
    world.step_at(BEFORE)
    world.kernel._shapers["wan0"] = Shaper("wan0", 10**9, 10**8)
    world.step_at(BEFORE)
    assert world.outcome.drift == {"qdisc"}
    assert not world.kernel.read().shapers


def test_a_lease_that_is_renewed_is_no_drift() -> None:
    world = World()
    world.step_at(INSIDE)
    world.step_at(INSIDE + LEASE / 2)
    assert [type(op) for op in world.outcome.operations] == [t.Arm]
    assert world.outcome.drift == frozenset()


# --- standing down --------------------------------------------------------------------------------


def test_standing_down_unhooks_everything_and_loads_nothing() -> None:
    world = World()
    world.step_at(INSIDE)
    world.kernel.edit(lambda table: table.sets[map_name(table)].elements.clear() if table else None)
    world.daemon.standing_down = "somebody keeps flushing"
    world.step_at(INSIDE)
    assert world.hooked() == set()
    assert world.armed() == set()
    assert not world.kernel.read().shapers
    assert not any(isinstance(op, t.Load | t.Change) for op in world.outcome.operations)
    assert world.daemon.snapshot().problem == "somebody keeps flushing"
    assert world.daemon.snapshot().contested
    world.kernel.flush()
    world.step_at(INSIDE)
    state = world.kernel.read()
    assert (state.exists, state.sets, state.chains) == (True, {}, {}), "a bare table, as a bait"


def test_after_standing_down_everything_is_as_declared() -> None:
    world = World()
    world.step_at(INSIDE)
    before = world.kernel.read()
    world.daemon.standing_down = "somebody keeps flushing"
    world.kernel.flush()
    world.step_at(INSIDE)
    world.daemon.standing_down = None
    world.step_at(INSIDE)
    assert replace(world.kernel.read(), generation=0) == replace(before, generation=0)
    assert not world.daemon.snapshot().contested


def test_standing_down_a_map_that_lacks_some_of_its_elements_does_not_stay() -> None:
    world = World()
    world.step_at(INSIDE)
    names = {RegisteredMap(stage).name for stage in world.daemon.tables.stages}
    edited(lose_one_element)(world)
    world.daemon.standing_down = "somebody keeps flushing"
    world.step_at(INSIDE)
    assert len(names - world.kernel.read().sets.keys()) == 1


def test_standing_down_a_registry_that_changes_meanwhile_is_not_loaded() -> None:
    world = World()
    # As many prefixes before as after, and none beside another.
    rows = (f"R-{n},198.51.{n}.7/32,freelancer,,,\n" for n in range(0, 40, 2))
    world.registry = HEADER + "".join(rows)
    world.start()
    world.step_at(INSIDE)
    held = dict(world.kernel.read().ledger)
    world.daemon.standing_down = "somebody keeps flushing"
    world.registry = world.registry.replace("198.51.6.7/32", "198.51.60.7/32")
    assert world.daemon.reload() is None
    world.step_at(INSIDE)
    assert not any(isinstance(op, t.Load | t.Change) for op in world.outcome.operations)
    left = world.kernel.read().ledger
    assert left.items() < held.items()


def test_a_table_made_anew_because_it_slept_and_a_map_that_goes_are_counted_as_what_they_are() -> (
    None
):
    """A change may hold more operations than kinds: what only comes along is not counted."""

    def counted(*operations: t.Operation) -> set[str]:
        return set(kinds(t.Transaction(1, operations), t.KernelState(1, exists=True)))

    assert counted(t.DeleteTable(), t.CreateTable()) == {"dormant"}
    assert counted(t.CreateTable(), t.WriteLedger(())) == {"table"}
    assert counted(t.WriteLedger(())) == {"ledger"}
    assert counted(t.DeleteSet("reg4-24-8"), t.WriteLedger(())) == {"set"}


def test_a_device_that_is_back_and_has_nothing_put_on_it_is_no_drift() -> None:
    world = World()
    daemon = world.step_at(INSIDE)
    settled = daemon._settled
    assert settled is not None
    state = world.kernel.read()
    before = replace(settled, devices=settled.devices - {"wan0"})

    def found(*operations: t.Operation) -> set[str]:
        change = t.Transaction(state.generation, operations)
        arguments = settled.ruleset, state, change, daemon.config.policy
        return set(drift(before, *arguments, now_ns=world.clock.now_ns(), loaded={}))

    assert found(t.AddChain("guard.ddos", None)) == {"link"}
    assert found(t.WriteLedger(())) == set()
