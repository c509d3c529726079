"""A large load goes in steps: the kernel never holds an event for each of a million elements.

What acts changes in one transaction all the same, and a load that fails on its way leaves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from enforcer.errors import KernelError
from enforcer.kernel import elements
from enforcer.kernel.series import one_by_one
from enforcer.kernel.steps import STEP_ELEMENTS, Steps, in_steps
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from tests.kernel import every_word as e
from tests.kernel.test_kernel_wire import read_elements
from tests.kernel.worlds import RealWorld

COUNT = 3 * STEP_ELEMENTS // 2
LARGE = v.RegisteredMap(replace(e.many4(COUNT), digest="large"))
SMALL = v.RegisteredMap(e.stage4({0x0A010200: 7}, 28))
CHAIN = v.Chain("filled", (v.Rule((v.IsFamily(4), v.TakeClass("saddr", 4, 24, LARGE.name))),))
LOAD = (
    t.CreateTable(),
    t.AddSet(LARGE),
    t.AddSet(SMALL),
    t.Load(LARGE),
    t.Load(SMALL),
    t.AddChain(CHAIN.name, None),
    t.SetRules(CHAIN, flush=False),
    t.WriteLedger(((LARGE.name, "large"), (SMALL.name, SMALL.stage.digest))),
)


def filled(plan: Steps) -> list[tuple[bytes, int | None]]:
    return [
        pair
        for step in plan.steps
        for pair in read_elements(list(one_by_one(part for _, part in step.bulk)))
    ]


# --- how it is cut: pure --------------------------------------------------------------------------


def test_maps_are_filled_in_steps_and_used_in_the_last() -> None:
    plan = in_steps(LOAD, 4096)
    first, *between, last = plan.steps
    assert first.small == LOAD[:3]
    assert len(between) >= COUNT // 4096 - 1
    assert not any(step.small for step in between)
    assert last.small == LOAD[5:]
    assert not last.bulk
    assert plan.undo == (t.DeleteSet(LARGE.name), t.DeleteSet(SMALL.name))


def test_no_step_has_more_elements_than_allowed_and_none_is_lost() -> None:
    plan = in_steps(LOAD, 4096)
    sizes = [len(read_elements(list(one_by_one(p for _, p in s.bulk)))) for s in plan.steps]
    assert max(sizes) <= 4096
    assert filled(plan) == [*elements.pairs(LARGE), *elements.pairs(SMALL)]


def test_what_a_message_holds_is_the_least_of_a_step() -> None:
    plan = in_steps(LOAD, 1)
    assert filled(plan) == [*elements.pairs(LARGE), *elements.pairs(SMALL)]


@pytest.mark.parametrize(
    "operations",
    [
        (t.Load(LARGE, flush=True),),
        (t.DeleteSet(LARGE.name), t.AddSet(LARGE), t.Load(LARGE)),
        (t.DeleteTable(), *LOAD),
        (t.Change(LARGE, LARGE, LARGE),),
        (t.CreateTable(), t.AddSet(SMALL), t.Load(SMALL)),
    ],
    ids=["flushed", "replaced", "anew", "delta", "small"],
)
def test_what_is_in_use_or_small_stays_one_transaction(
    operations: tuple[t.Operation, ...],
) -> None:
    plan = in_steps(operations)
    assert len(plan.steps) == 1
    assert plan.undo == ()


# --- the real kernel ------------------------------------------------------------------------------


def between(world: RealWorld, act: Callable[[], object], after: int = 1) -> None:
    """`act` is done by somebody else once so many batches have been sent."""
    netlink = world.kernel._netfilter  # type: ignore[attr-defined]
    send, sent = netlink.batch, []

    def batch(*args: object) -> object:
        answers = send(*args)
        sent.append(answers)
        if len(sent) == after:
            act()
        return answers

    netlink.batch = batch


def load(world: RealWorld) -> t.KernelState:
    world.kernel.commit(t.Transaction(world.kernel.generation(), LOAD), world.now_ns())
    return world.kernel.read()


def is_whole(world: RealWorld, state: t.KernelState) -> None:
    assert dict(state.ledger)[LARGE.name] == "large"
    assert state.sets[LARGE.name].count in (None, COUNT)
    assert len(state.chains[CHAIN.name].rules) == 1
    picked = dict(elements.pairs(LARGE)[:: COUNT // 500])
    assert world.kernel.elements(LARGE.name, list(picked)) == picked


@pytest.mark.kernel
def test_a_large_load_is_whole_and_tells_of_every_transaction(real_world: RealWorld) -> None:
    before = real_world.kernel.generation()
    is_whole(real_world, load(real_world))
    made = real_world.kernel.made()
    assert len(made) == 3
    assert made[-1] == real_world.kernel.generation() == before + 3


@pytest.mark.kernel
def test_somebody_elses_transaction_between_two_steps_holds_nothing_up(
    real_world: RealWorld,
) -> None:
    between(real_world, lambda: real_world.nft("add table ip somebody"))
    is_whole(real_world, load(real_world))


@pytest.mark.kernel
def test_a_table_taken_away_between_two_steps_is_an_error_and_nothing_is_left(
    real_world: RealWorld,
) -> None:
    between(real_world, lambda: real_world.nft("delete table inet enforcer"))
    with pytest.raises(KernelError):
        load(real_world)
    assert not real_world.kernel.read().exists


@pytest.mark.kernel
def test_a_last_step_that_is_refused_leaves_no_map(real_world: RealWorld) -> None:
    # The map that the last step's chain has a rule for is gone.
    between(real_world, lambda: real_world.nft(f"delete map inet enforcer {LARGE.name}"), after=2)
    with pytest.raises(KernelError):
        load(real_world)
    state = real_world.kernel.read()
    assert not state.ledger
    assert CHAIN.name not in state.chains
    assert not state.sets
