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
from enforcer.kernel.steps import STEP_ELEMENTS, UNSETTLED, Steps, apart, in_steps
from enforcer.kernel.underway import wait_for_packets
from enforcer.lookup.tables import Stage
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


# --- what goes: pure ------------------------------------------------------------------------------

FINER, COARSER = v.RegisteredMap(e.many4(9)), v.RegisteredMap(e.stage4({0x0B010000: 7}, 16))
ARRIVED, LEFT = e.stage4({0x0A000000: 0x12345678}), e.stage4({0x0A000000: 7}, 16)
NONE, NONE16 = e.stage4({}), e.stage4({}, 16)
WENT = (t.FlushChain("went", going=True), t.DeleteChain("went"))
CAME = (t.AddChain(CHAIN.name, None), t.SetRules(CHAIN, flush=False))
LEDGER = t.WriteLedger(((COARSER.name, "new"), (FINER.name, "new")))


def change(target: v.RegisteredMap, removed: Stage, added: Stage) -> t.Change:
    return t.Change(target, v.RegisteredMap(removed), v.RegisteredMap(added))


def moved() -> tuple[t.Operation, ...]:
    """10.0.0.0/16 leaves the coarser stage, a /24 of it comes into the finer, with a chain."""
    coarser, finer = change(COARSER, LEFT, NONE16), change(FINER, NONE, ARRIVED)
    return (*WENT, *CAME, coarser, finer, LEDGER)


def test_a_prefix_that_changes_its_stage_is_in_both_before_it_leaves_one() -> None:
    led_to, changing, leaving, gone = (part.operations for part in apart(moved()))
    assert led_to == CAME
    stays, arrives, _ = changing
    assert isinstance(stays, t.Change)
    assert isinstance(arrives, t.Change)
    assert [len(op.removed.stage) for op in (stays, arrives)] == [0, 0]
    assert arrives.added.stage is ARRIVED
    leaves, _ = leaving
    assert isinstance(leaves, t.Change)
    assert leaves.removed.stage.keys.tolist() == LEFT.keys.tolist()
    assert len(leaves.added.stage) == 0
    assert gone == WENT


def test_no_map_is_vouched_for_while_it_holds_what_is_to_leave() -> None:
    _, changing, leaving, _ = (part.operations for part in apart(moved()))
    assert changing[-1] == t.WriteLedger(((COARSER.name, UNSETTLED), (FINER.name, "new")))
    assert leaving[-1] == LEDGER


def test_a_map_made_anew_is_asked_no_sooner_than_what_arrives_in_another() -> None:
    """The coarser shrinks to a smaller map that has the prefix no more, the finer has it now."""
    hooked = t.SetRules(v.Chain("guard", CHAIN.rules), flush=True)
    made = (t.AddSet(SMALL), t.Load(SMALL))
    arrives = change(FINER, NONE, ARRIVED)
    parts = apart((t.DeleteSet("outgrown"), *made, *CAME, hooked, arrives, LEDGER))
    assert [part.operations for part in parts] == [
        (*made, *CAME),
        (hooked, arrives, LEDGER),
        (t.DeleteSet("outgrown"),),
    ]


CLOSED = (t.SetRules(CHAIN, flush=True), t.FlushChain("went"), t.DeleteChain("went"))
DISARMED = (t.FlushChain("guard"), t.DeleteTable())


@pytest.mark.parametrize(
    ("operations", "waits"),
    [
        (moved(), [False, False, True, True]),
        (CLOSED, [False, True]),
        (DISARMED, [False, True]),
        (LOAD, [False, False, False]),
        (LOAD[-3:], [False]),
    ],
    ids=["moved", "closed", "disarmed", "loaded", "opened"],
)
def test_what_goes_waits_for_the_packets_that_are_on_their_way(
    operations: tuple[t.Operation, ...], waits: list[bool]
) -> None:
    assert [step.waits for step in in_steps(operations).steps] == waits


# --- the real kernel ------------------------------------------------------------------------------


@pytest.mark.kernel
def test_the_kernel_says_when_packets_are_through() -> None:
    assert wait_for_packets()


@pytest.mark.kernel
def test_it_is_asked_before_what_goes_is_sent(
    real_world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(real_world)
    did: list[str] = []
    monkeypatch.setattr("enforcer.kernel.nft.wait_for_packets", lambda: did.append("wait"))
    netlink = real_world.kernel._netfilter  # type: ignore[attr-defined]
    send = netlink.batch
    netlink.batch = lambda *args: (did.append("send"), send(*args))[1]
    operations = (t.FlushChain(CHAIN.name), t.DeleteChain(CHAIN.name), t.DeleteSet(LARGE.name))
    ours = t.Transaction(real_world.kernel.generation(), operations)
    real_world.kernel.commit(ours, real_world.now_ns())
    assert did == ["send", "wait", "send"]
    assert CHAIN.name not in real_world.kernel.read().chains


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
