"""A table is read in full when its generation is not one that we made and have read already."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable

import pytest

from enforcer.errors import KernelError
from enforcer.kernel import numbers as n
from enforcer.kernel.nft import NftKernel
from enforcer.ruleset import transaction as t
from enforcer.ruleset.transaction import KernelState
from enforcer.ruleset.vocabulary import ArmingSet
from tests.kernel import every_word as e
from tests.kernel.worlds import RealWorld, commit

pytestmark = pytest.mark.kernel
Asked = list[n.Msg]
ON_A_DEVICE = {chain.name for chain in e.WORD_CHAINS if chain.hook and chain.hook.device}


@pytest.fixture
def asked(real_world: RealWorld, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The kinds of dumps that the kernel is asked for."""
    kinds: Asked = []
    dump: Callable[..., object] = real_world.kernel._dump

    def listened(kind: n.Msg, *more: bytes) -> object:
        kinds.append(kind)
        return dump(kind, *more)

    monkeypatch.setattr(real_world.kernel, "_dump", listened)
    return kinds


def _settled(world: RealWorld, *, on_a_device: bool = False) -> KernelState:
    """Our table with every word in it, but for the chain on a device, committed and read."""
    every = e.every_word(world.now_ns())
    if on_a_device:
        return commit(world, *every)
    return commit(
        world,
        *(
            op
            for op in every
            if not (isinstance(op, t.AddChain) and op.name in ON_A_DEVICE)
            and not (isinstance(op, t.SetRules) and op.chain.name in ON_A_DEVICE)
        ),
    )


def _again(real_world: RealWorld, asked: Asked) -> tuple[KernelState, Asked]:
    asked.clear()
    return real_world.kernel.read(), list(asked)


def test_after_our_commit_only_timeouts_are_asked_for(real_world: RealWorld, asked: Asked) -> None:
    first = _settled(real_world)
    second, kinds = _again(real_world, asked)
    assert set(kinds) == {n.Msg.GET_ELEMENT}
    assert len(kinds) == sum(held.kind == "armed" for held in first.sets.values())
    assert second.chains == first.chains
    assert second.sets.keys() == first.sets.keys()


def test_what_a_stranger_changes_is_seen_at_once(real_world: RealWorld, asked: Asked) -> None:
    _settled(real_world)
    chain = e.WORD_CHAINS[0].name
    real_world.nft(f"add rule inet enforcer {chain} counter")
    state, kinds = _again(real_world, asked)
    assert n.Msg.GET_RULE in kinds
    assert len(state.chains[chain].rules) == len(e.WORD_CHAINS[0].rules) + 1
    # Not our generation: the kernel counts it up before it puts it in force, so it is not kept.
    assert n.Msg.GET_RULE in _again(real_world, asked)[1]


def test_a_strangers_table_is_a_reason_to_read_again(real_world: RealWorld, asked: Asked) -> None:
    _settled(real_world)
    real_world.nft("add table ip somebody")
    assert n.Msg.GET_RULE in _again(real_world, asked)[1]


def test_an_end_that_comes_is_seen_without_a_new_generation(
    real_world: RealWorld, asked: Asked
) -> None:
    _settled(real_world)
    # This one has half a second left.
    short = t.Arm(ArmingSet("ddos", real_world.now_ns() + 500_000_000, None), frozenset({4, 6}))
    before = commit(real_world, short)
    assert before.sets["armed.ddos"].elements
    time.sleep(0.7)
    state, kinds = _again(real_world, asked)
    assert n.Msg.GET_RULE not in kinds
    assert state.generation == before.generation
    assert state.sets["armed.ddos"].elements == frozenset()


def test_a_commit_that_fails_leaves_nothing_kept(real_world: RealWorld, asked: Asked) -> None:
    state = _settled(real_world)
    refused = t.Transaction(state.generation, (t.DeleteSet("nowhere"),))
    with pytest.raises(Exception, match="nowhere"):
        real_world.kernel.commit(refused, real_world.now_ns())
    assert n.Msg.GET_RULE in _again(real_world, asked)[1]


def test_a_chain_on_a_device_may_go_with_it_uncounted(real_world: RealWorld, asked: Asked) -> None:
    _settled(real_world, on_a_device=True)
    assert n.Msg.GET_RULE in _again(real_world, asked)[1]


class Torn:
    """Dumps that fail `times` times, and are counted."""

    def __init__(self, world: RealWorld, number: int, times: int) -> None:
        self._dump: Callable[..., object] = world.kernel._dump
        self._number, self._left, self.calls = number, times, 0

    def __call__(self, kind: n.Msg, *more: bytes) -> object:
        self.calls += 1
        if not self._left:
            return self._dump(kind, *more)
        self._left -= 1
        raise OSError(self._number, "injected")


@pytest.mark.parametrize("number", [errno.EINTR, errno.ENOENT, errno.ENODEV, errno.ENOBUFS])
def test_a_read_that_was_torn_is_made_anew(
    real_world: RealWorld, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    whole = _settled(real_world)
    torn = Torn(real_world, number, 3)
    monkeypatch.setattr(real_world.kernel, "_dump", torn)
    found = real_world.kernel.read()
    assert torn.calls > 3
    assert (found.chains, found.ledger) == (whole.chains, whole.ledger)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EINTR, errno.EINTR),
        (errno.ENOBUFS, errno.EINTR),
        (errno.EBADMSG, errno.EBADMSG),
        (errno.EPERM, errno.EPERM),
    ],
)
def test_a_read_that_is_torn_for_ever_ends_and_one_that_is_refused_at_once(
    real_world: RealWorld, monkeypatch: pytest.MonkeyPatch, number: int, told: int
) -> None:
    _settled(real_world)
    torn = Torn(real_world, number, 1000)
    monkeypatch.setattr(real_world.kernel, "_dump", torn)
    with pytest.raises(KernelError) as caught:
        real_world.kernel.read()
    assert caught.value.errno == told
    assert torn.calls == (1 if number == errno.EPERM else 10)


def test_after_a_read_that_failed_nothing_is_remembered(
    real_world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(real_world)
    with monkeypatch.context() as spoilt:
        spoilt.setattr(real_world.kernel, "_dump", Torn(real_world, errno.EPERM, 1))
        with pytest.raises(KernelError):
            real_world.kernel.read()
    counted = Torn(real_world, 0, 0)
    monkeypatch.setattr(real_world.kernel, "_dump", counted)
    real_world.kernel.read()
    assert counted.calls > len(real_world.kernel.read().sets), "all of it, not only timeouts"


def test_a_commit_of_another_program_in_the_middle_of_a_read_has_it_made_anew(
    real_world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    _settled(real_world, on_a_device=True)
    dump: Callable[..., object] = real_world.kernel._dump
    another = NftKernel(real_world.namespace)
    asked: Asked = []

    def crossed(kind: n.Msg, *more: bytes) -> object:
        """The counters as they were a moment before."""
        found = dump(kind, *more)
        asked.append(kind)
        if asked.count(n.Msg.GET_OBJECT) == 1 and kind == n.Msg.GET_OBJECT:
            change = t.Transaction(another.generation(), (t.AddCounter("late"),))
            another.commit(change, real_world.now_ns())
        return found

    monkeypatch.setattr(real_world.kernel, "_dump", crossed)
    try:
        state = real_world.kernel.read()
    finally:
        another.close()
    assert "late" in state.counters
    assert state.generation == real_world.kernel.generation()
