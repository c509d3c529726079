"""What was done to the registered maps while no daemon ran is found by the next one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from daemon_worlds import BEFORE, HEADER, INSIDE, REGISTRY, World

from enforcer.adopting import spoilt_maps
from enforcer.kernel.fake_table import FakeTable
from enforcer.kernel.steps import in_steps
from enforcer.ruleset import transaction as t
from enforcer.ruleset.vocabulary import LEDGER_CHAIN, RegisteredMap


class OldWorld(World):
    """On a kernel that does not tell how many elements a set has (before 6.16)."""

    def start(self, *args: object) -> object:  # type: ignore[override]
        read = type(self.kernel).read.__get__(self.kernel)

        def without_counts() -> t.KernelState:
            state = read()
            sets = {name: replace(held, count=None) for name, held in state.sets.items()}
            return replace(state, sets=sets)

        self.kernel.read = without_counts  # type: ignore[method-assign]
        return super().start(*args)  # type: ignore[arg-type]


def flush_maps(table: FakeTable | None) -> None:
    assert table is not None
    for held in table.sets.values():
        if held.kind == "registered":
            held.elements.clear()


def held(world: World) -> int:
    names = [RegisteredMap(stage).name for stage in world.daemon.tables.stages]
    assert world.kernel._table is not None
    return sum(len(world.kernel._table.sets[name].elements) for name in names)


@pytest.mark.parametrize("kind", [World, OldWorld])
def test_maps_flushed_while_no_daemon_ran_are_loaded_anew(kind: type[World]) -> None:
    world = kind()
    world.step_at(INSIDE)
    before = held(world)
    world.kernel.edit(flush_maps)
    world.start()
    world.step_at(INSIDE)
    assert world.outcome.result == "changed"
    assert held(world) == before > 0


@pytest.mark.parametrize("kind", [World, OldWorld])
def test_maps_that_are_as_they_were_left_are_adopted(kind: type[World]) -> None:
    world = kind()
    world.step_at(INSIDE)
    world.start()
    world.step_at(INSIDE)
    assert not [op for op in world.outcome.operations if isinstance(op, t.Load | t.Change)]


def test_a_map_of_another_registry_is_not_asked() -> None:
    world = OldWorld()
    world.step_at(INSIDE)
    world.registry = REGISTRY + "R-x,192.0.2.1/32,freelancer,,,\n"
    world.start()
    assert spoilt_maps(world.kernel, world.kernel.read(), world.daemon.tables) == frozenset()


@pytest.mark.parametrize("kind", [World, OldWorld])
def test_a_delta_that_does_not_fit_what_is_there_is_followed_by_a_whole_load(
    kind: type[World],
) -> None:
    """One element was exchanged for another while no event could tell: the number is the same."""
    rows = [f"R-{n},198.51.{n}.7/32,freelancer,,,\n" for n in range(40)]
    world = kind()
    world.registry = HEADER + "".join(rows)
    world.start()
    world.step_at(INSIDE)

    def exchange(table: FakeTable | None) -> None:
        assert table is not None
        name = RegisteredMap(world.daemon.tables.stages[0]).name
        elements = table.sets[name].elements
        # That of the last row, which the update takes out.
        elements[b"\x01\x02\x03\x04"] = elements.pop(max(elements))

    world.kernel.edit(exchange)
    world.registry = HEADER + "".join(rows[:-1])
    assert world.daemon.reload() is None
    world.step_at(INSIDE)
    assert world.outcome.result == "changed", world.outcome.error
    assert any(isinstance(op, t.Load) and op.flush for op in world.outcome.operations)
    assert held(world) == sum(map(len, world.daemon.tables.stages)) > 0


def test_a_delta_that_adds_what_is_there_under_another_class_is_followed_by_a_whole_load() -> None:
    rows = [f"R-{n},198.51.{n}.7/32,freelancer,,,\n" for n in range(41)]
    world = World()
    world.registry = HEADER + "".join(rows[:-1])
    world.start()
    world.step_at(INSIDE)

    def exchange(table: FakeTable | None) -> None:
        assert table is not None
        elements = table.sets[RegisteredMap(world.daemon.tables.stages[0]).name].elements
        elements.popitem()
        # That of the row which the update brings.
        elements[bytes([198, 51, 40, 7])] = 1

    world.kernel.edit(exchange)
    world.registry = HEADER + "".join(rows)
    assert world.daemon.reload() is None
    world.step_at(INSIDE)
    assert world.outcome.result == "changed", world.outcome.error
    assert any(isinstance(op, t.Load) and op.flush for op in world.outcome.operations)
    assert held(world) == sum(map(len, world.daemon.tables.stages)) > 0


# --- a load in steps, killed on its way -----------------------------------------------------------


def loads_left_half(table: FakeTable | None) -> None:
    """As it is between two of the steps: maps, the first of them filled, and nothing else."""
    assert table is not None
    table.sets = {name: held for name, held in table.sets.items() if held.kind == "registered"}
    for held in list(table.sets.values())[1:]:
        held.elements.clear()
    table.hooks = {LEDGER_CHAIN: None}
    table.rules, table.ledger, table.counters = {}, (), {}


def test_a_load_that_was_killed_on_its_way_goes_in_steps_again() -> None:
    world = World()
    world.step_at(BEFORE)
    whole = held(world)
    world.kernel.edit(loads_left_half)
    before = len(world.kernel.transactions)
    world.start()
    world.step_at(BEFORE)
    assert world.outcome.result == "changed"
    assert held(world) == whole > 0
    cleared, loaded, *_ = world.kernel.transactions[before:]
    assert {type(op) for op in cleared.operations} == {t.DeleteSet}
    assert len(in_steps(loaded.netfilter, most=1).steps) > 2


def test_a_map_that_rules_ask_is_never_away_for_a_moment() -> None:
    world = World()
    world.step_at(INSIDE)

    def forget(table: FakeTable | None) -> None:
        assert table is not None
        table.ledger = ()

    world.kernel.edit(forget)
    world.start()
    before = len(world.kernel.transactions)
    world.step_at(INSIDE)
    (repair,) = world.kernel.transactions[before:]
    assert not [op for op in repair.operations if isinstance(op, t.DeleteSet)]
    assert [op for op in repair.operations if isinstance(op, t.Load) and op.flush]
