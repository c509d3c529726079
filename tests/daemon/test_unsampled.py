"""A kernel that cannot sample: windows open all the same, and it is told once."""

from __future__ import annotations

import errno

import pytest

from enforcer.daemon import Daemon
from enforcer.errors import KernelError
from enforcer.kernel.fake import FakeKernel
from enforcer.lookup.tables import Tables
from enforcer.observe.totals import Totals
from enforcer.policy.model import Policy
from enforcer.reconcile import Outcome, Wanted
from enforcer.ruleset import transaction as t
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling
from enforcer.ruleset.vocabulary import Ruleset, Sample
from enforcer.unsampled import with_or_without
from tests.daemon.daemon_worlds import INSIDE, World
from tests.ruleset.builders import POLICY

WANTED = Wanted(POLICY, (), Tables(), sampling=Sampling(10))


class Tries:
    """Refuses as told, and writes down what was tried."""

    def __init__(self, *errors: int | None) -> None:
        self.errors = list(errors)
        self.tried: list[int] = []
        self.refused: list[int] = []

    def act(self, wanted: Wanted) -> Outcome:
        self.tried.append(wanted.sampling.rate)
        number = self.errors.pop(0)
        if number is None:
            return Outcome("changed", Ruleset(), None)
        return Outcome("failed", Ruleset(), None, error=KernelError("commit", number, "no"))

    def tell(self, error: KernelError) -> None:
        self.refused.append(error.errno)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL])
def test_what_may_be_the_samples_fault_is_tried_without(number: int) -> None:
    tries = Tries(number, None)
    assert with_or_without(WANTED, tries.act, tries.tell).result == "changed"
    assert (tries.tried, tries.refused) == ([10, 0], [number])


def test_a_fault_that_stays_without_samples_is_not_theirs() -> None:
    tries = Tries(errno.ENOENT, errno.EPERM)
    outcome = with_or_without(WANTED, tries.act, tries.tell)
    assert outcome.error is not None
    assert (outcome.error.errno, tries.refused) == (errno.ENOENT, [])


@pytest.mark.parametrize("first", [None, errno.EPERM, errno.ENOBUFS])
def test_anything_else_is_tried_once(first: int | None) -> None:
    tries = Tries(first)
    with_or_without(WANTED, tries.act, tries.tell)
    assert (tries.tried, tries.refused) == ([10], [])


def test_a_fault_without_samples_is_tried_once() -> None:
    tries = Tries(errno.ENOENT)
    wanted = Wanted(POLICY, (), Tables())
    assert wanted.sampling == NO_SAMPLES
    assert with_or_without(wanted, tries.act, tries.tell).result == "failed"
    assert tries.tried == [0]


class NoLog(FakeKernel):
    """A kernel without `log`: nft_log cannot be loaded."""

    def commit(self, transaction: t.Transaction, now_ns: int) -> None:
        chains = (op.chain for op in transaction.operations if isinstance(op, t.SetRules))
        if any(Sample in chain.words for chain in chains):
            raise KernelError("SetRules", errno.ENOENT, "no such file or directory")
        super().commit(transaction, now_ns)


class Listener:
    """Listens, until it is told that the kernel does not speak."""

    def __init__(self) -> None:
        self.errors: list[KernelError] = []

    def sampling(self, policy: Policy) -> Sampling:
        return NO_SAMPLES if self.errors else Sampling(policy.observe.sample)

    def refused(self, error: KernelError) -> None:
        self.errors.append(error)


def test_a_window_opens_on_a_kernel_without_log_and_samples_where_there_is() -> None:
    for kernel_of, sampled in ((FakeKernel, True), (NoLog, False)):
        world, listener = World(INSIDE), Listener()
        world.kernel = kernel_of(world.clock.now_ns, ["lo", "wan0", "lan0"])
        totals = Totals(world.kernel.counters)
        daemon = Daemon(world.configuration, world.kernel, world.clock, totals, samples=listener)
        for result in ("changed", "unchanged"):
            outcome = daemon.step()
            assert (outcome.result, outcome.armed) == (result, ("ddos",))
        assert world.armed() == {"ddos"}
        rules = [rule for c in world.kernel.read().chains.values() for rule in c.rules]
        assert any(e[0] == "log" for rule in rules for e in rule) == sampled
        assert len(listener.errors) == (not sampled)
