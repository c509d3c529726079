"""After each of many changed rows the kernel holds, element by element, what is planned anew."""

from __future__ import annotations

from datetime import date
from random import Random

import pytest

from enforcer.kernel import elements
from enforcer.lab.registry import CATEGORIES, generate
from enforcer.lookup.following import Following, first_plan
from enforcer.lookup.tables import Stage, Tables
from enforcer.policy.registry import Registry, parse_registry
from enforcer.ruleset import transaction as t
from enforcer.ruleset.diff import diff
from enforcer.ruleset.vocabulary import FrontSet, RegisteredMap
from tests.kernel.worlds import RealWorld
from tests.ruleset.builders import compiled

pytestmark = pytest.mark.kernel

DAY = date(2026, 7, 1)
BUDGET = 64 << 20


def put(world: RealWorld, tables: Tables, before: Tables) -> tuple[t.Operation, ...]:
    """Brings the kernel to the tables; what it took."""
    stages = [*before.stages, *([before.front] if before.front else [])]
    loaded = {stage.digest: stage for stage in stages}
    change = diff(compiled(registry=tables), world.kernel.read(), world.now_ns(), loaded=loaded)
    if change is None:
        return ()
    world.kernel.commit(change, world.now_ns())
    return change.operations


def assert_held(world: RealWorld, tables: Tables) -> None:
    state = world.kernel.read()
    for stage in tables.stages:
        assert_map(world, state, stage)
    assert tables.front is not None
    assert state.ledger[FrontSet(tables.front).name] == tables.front.digest


def assert_map(world: RealWorld, state: t.KernelState, stage: Stage) -> None:
    bulk = RegisteredMap(stage)
    assert state.ledger[bulk.name] == stage.digest
    wanted = dict(elements.pairs(bulk))
    assert world.kernel.elements(bulk.name, list(wanted)) == wanted
    assert state.sets[bulk.name].count in (None, len(wanted))


def registry_of(lines: list[bytes]) -> Registry:
    return parse_registry("r.csv", b"".join(lines), CATEGORIES)


def test_the_kernel_holds_what_is_planned_anew_after_each_of_many_changes(
    real_world: RealWorld,
) -> None:
    random = Random(5)
    lines, fresh = (
        generate(size, seed, clustered=True).splitlines(keepends=True)
        for size, seed in ((1500, 1), (200, 2))
    )
    plan = first_plan(registry_of(lines), DAY, BUDGET)
    put(real_world, plan.tables, Tables())
    deltas = 0
    for _ in range(12):
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(1, len(lines))
            lines[at : at + random.randrange(2)] = [random.choice(fresh[1:])]
            del lines[random.randrange(1, len(lines))]
        registry = registry_of(lines)
        followed = Following(plan, registry, DAY).plan(BUDGET)
        operations = put(real_world, followed.tables, plan.tables)
        deltas += any(isinstance(operation, t.Change) for operation in operations)
        assert_held(real_world, first_plan(registry, DAY, BUDGET).tables)
        plan = followed
    assert deltas >= 10
