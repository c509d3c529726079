"""Windows open also where the kernel cannot sample: a wish is tried once more without.

In: what is wanted, and how to bring the kernel to it. Out: the outcome of the last try. It never
adds restriction: without samples the rules decide just the same.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from enforcer.errors import KernelError
from enforcer.policy.model import Policy
from enforcer.reconcile import Outcome, Wanted
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling


class Samples(Protocol):
    """Whoever listens to sampled packets (`sampler`)."""

    def sampling(self, policy: Policy) -> Sampling:
        """How many the rules may tell of."""

    def refused(self, error: KernelError) -> None:
        """The kernel does not take rules that sample."""


class NoSamples:
    """Nobody listens."""

    def sampling(self, policy: Policy) -> Sampling:
        return NO_SAMPLES

    def refused(self, error: KernelError) -> None:
        pass


# What a kernel says that has no `log`, no `limit`, or no NFLOG behind it (nft_log_init).
_LACKING = frozenset({errno.ENOENT, errno.EOPNOTSUPP, errno.EINVAL, errno.EPROTONOSUPPORT})


def with_or_without(
    wanted: Wanted, act: Callable[[Wanted], Outcome], refused: Callable[[KernelError], None]
) -> Outcome:
    """`refused` is told of the kernel's error when just the samples were too much for it."""
    first = act(wanted)
    error = first.error
    if not wanted.sampling.rate or error is None or error.errno not in _LACKING:
        return first
    second = act(replace(wanted, sampling=NO_SAMPLES))
    if second.result == "failed":
        return first
    refused(error)
    return replace(second, operations=first.operations + second.operations)
