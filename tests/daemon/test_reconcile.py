"""Reconciliation under faults: it converges or reports, and never leaves half of anything."""

from __future__ import annotations

import errno
from dataclasses import replace
from datetime import timedelta

import pytest
from daemon_worlds import HEADER, INSIDE, LEASE, MADE_UP, OPENS, World, break_a_promise

from enforcer import reconcile as module
from enforcer.drift import Suspicion
from enforcer.kernel.fake_table import FakeTable
from enforcer.ruleset import transaction as t
from enforcer.ruleset.vocabulary import FRONT

PASSING = (
    *(errno.ERESTART, errno.EINTR, errno.EAGAIN, errno.ENOBUFS, errno.EBUSY),
    *(errno.ENOENT, errno.EEXIST, errno.ENODEV, errno.EBADMSG),
)


@pytest.mark.parametrize("number", PASSING)
def test_a_passing_fault_is_retried_with_a_fresh_read(number: int) -> None:
    world = World()
    world.kernel.fail_next(t.SetRules, number)
    world.step_at(INSIDE)
    assert world.outcome.result == "changed"
    assert world.outcome.attempts >= 2
    assert world.armed() == {"ddos"}


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOMEM, errno.EOPNOTSUPP])
def test_a_lasting_fault_is_reported_and_nothing_is_half_installed(number: int) -> None:
    world = World()
    before = world.kernel.read()
    world.kernel.fail_next(t.SetRules, number)
    world.step_at(INSIDE)
    assert world.outcome.result == "failed"
    assert world.outcome.error is not None
    assert world.outcome.error.errno == number
    after = world.kernel.read()
    assert (after.chains, after.sets, after.counters) == (
        before.chains,
        before.sets,
        before.counters,
    )


def test_endless_interference_is_given_up_after_bounded_attempts() -> None:
    world = World()
    for _ in range(module.ATTEMPTS):
        world.kernel.fail_next(t.SetRules, errno.ERESTART)
    world.step_at(INSIDE)
    assert world.outcome.result == "failed"
    assert world.outcome.attempts == module.ATTEMPTS
    world.step_at(INSIDE)
    assert world.outcome.result == "changed"


def test_a_ruleset_that_breaks_a_promise_is_never_committed_and_everything_is_disarmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.step_at(INSIDE)
    assert world.armed() == {"ddos"}
    break_a_promise(monkeypatch)
    world.step_at(INSIDE)
    assert world.hooked() == set()
    assert world.outcome.violations == (MADE_UP,)
    assert world.daemon.snapshot().promise_violations == 1
    assert world.daemon.snapshot().armed == ()


def scattered() -> World:
    """A registry of so many /16s that its front filter is a large one."""
    world = World()
    blocks = [f"R-{i},{20 + i // 250}.{i % 250}.7.0/24,freelancer,,,\n" for i in range(5000)]
    world.registry = HEADER + "".join(blocks)
    world.start()
    return world


def loads(world: World) -> list[list[str]]:
    """What each transaction loaded."""
    return [
        [op.target.name for op in tx.operations if isinstance(op, t.Load)]
        for tx in world.kernel.transactions
    ]


def test_a_large_front_filter_comes_once_the_maps_are_in_force() -> None:
    world = scattered()
    world.step_at(INSIDE)
    assert world.armed() == {"ddos"}
    assert FRONT not in loads(world)[0]
    assert loads(world)[1] == [FRONT]
    assert len(loads(world)) == 2
    world.step_at(INSIDE)
    assert world.outcome.result == "unchanged"


def test_after_a_flush_a_large_front_filter_comes_with_a_later_step() -> None:
    world = scattered()
    world.step_at(INSIDE)
    for _ in range(2):
        world.kernel.flush()
        world.step_at(INSIDE)
        assert world.outcome.drift == {"table"}
        assert world.armed() == {"ddos"}
        assert FRONT not in world.kernel.read().ledger
    world.step_at(INSIDE)
    assert (world.outcome.result, world.outcome.drift) == ("changed", frozenset())
    assert FRONT in world.kernel.read().ledger
    world.step_at(INSIDE)
    assert world.outcome.result == "unchanged"


def test_a_repair_does_not_wait_for_a_large_front_filter_that_is_still_to_come() -> None:
    world = scattered()
    world.step_at(INSIDE)
    world.kernel.flush()
    world.step_at(INSIDE)
    before = world.kernel.read()

    def flush_a_chain(table: FakeTable | None) -> None:
        assert table is not None
        table.rules["guard.ddos"] = ()

    world.kernel.edit(flush_a_chain)
    done = len(world.kernel.transactions)
    world.step_at(INSIDE)
    assert world.outcome.drift == {"rules"}
    assert loads(world)[done:] == [[]]
    assert world.kernel.read().chains == before.chains


def test_an_opening_does_not_wait_for_a_large_front_filter_that_is_still_to_come() -> None:
    world = scattered()
    world.step_at(OPENS - timedelta(seconds=20))
    world.kernel.flush()
    world.step_at(OPENS - timedelta(seconds=1))
    assert (world.armed(), FRONT in world.kernel.read().ledger) == (set(), False)
    done = len(world.kernel.transactions)
    world.step_at(OPENS)
    assert world.armed() == {"ddos"}
    assert [FRONT in each for each in loads(world)[done:]] == [False, True]


def test_a_map_that_was_emptied_is_put_right_and_the_front_filter_stays() -> None:
    world = scattered()
    world.step_at(INSIDE)
    before = world.kernel.read()
    name = next(n for n, held in before.sets.items() if held.kind == "registered")

    def flush_a_map(table: FakeTable | None) -> None:
        assert table is not None
        table.sets[name].elements.clear()

    world.kernel.edit(flush_a_map)
    world.daemon.distrust(Suspicion(frozenset({name})))
    done = len(world.kernel.transactions)
    world.step_at(INSIDE)
    assert loads(world)[done:] == [[name]]
    assert replace(world.kernel.read(), generation=0) == replace(before, generation=0)


class Slow:
    """Each look at the kernel takes so long that leases have to be renewed after it."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._world, self._read, self.looks = world, world.kernel.read, 0
        self.lost_at = 0
        monkeypatch.setattr(world.kernel, "read", self)

    def __call__(self) -> t.KernelState:
        self.looks += 1
        if self.looks == self.lost_at:
            self._world.kernel.edit(lambda table: table and table.hooks.pop("mark.ddos"))
        self._world.clock.at += LEASE / 2
        return self._read()


def test_a_timeout_that_is_short_again_after_a_commit_waits_for_the_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    slow = Slow(world, monkeypatch)
    world.step_at(INSIDE)
    assert world.outcome.result == "changed"
    assert slow.looks <= 3


def test_what_else_is_wrong_by_then_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    slow = Slow(world, monkeypatch)
    slow.lost_at = 2
    world.step_at(INSIDE)
    assert slow.looks >= slow.lost_at
    assert "mark.ddos" in world.hooked()
