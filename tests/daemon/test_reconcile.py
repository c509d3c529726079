"""Reconciliation under faults: it converges or reports, and never leaves half of anything."""

from __future__ import annotations

import errno

import pytest
from daemon_worlds import HEADER, INSIDE, World

from enforcer import reconcile as module
from enforcer.errors import PromiseError
from enforcer.ruleset import promises
from enforcer.ruleset import transaction as t
from enforcer.ruleset.vocabulary import FRONT


@pytest.mark.parametrize("number", sorted(module.RETRIED))
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
    check = promises.check

    def broken(ruleset: object, policy: object, activations: object, tables: object) -> None:
        if activations:
            raise PromiseError(["promise 3: made up by this test"])
        check(ruleset, policy, activations, tables)  # type: ignore[arg-type]

    monkeypatch.setattr(promises, "check", broken)
    world.step_at(INSIDE)
    assert world.hooked() == set()
    assert world.outcome.violations == ("promise 3: made up by this test",)
    assert world.daemon.snapshot().promise_violations == 1
    assert world.daemon.snapshot().armed == ()


def test_a_large_front_filter_comes_once_the_maps_are_in_force() -> None:
    world = World()
    blocks = [f"R-{i},{20 + i // 250}.{i % 250}.7.0/24,freelancer,,,\n" for i in range(5000)]
    world.registry = HEADER + "".join(blocks)
    world.start()
    world.step_at(INSIDE)
    assert world.armed() == {"ddos"}
    loads = [
        [op.target.name for op in tx.operations if isinstance(op, t.Load)]
        for tx in world.kernel.transactions
    ]
    assert FRONT not in loads[0]
    assert loads[1] == [FRONT]
    assert len(loads) == 2
    world.step_at(INSIDE)
    assert world.outcome.result == "unchanged"
