"""The whole states between which a fault may leave a kernel: one after each of its transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from enforcer.kernel.steps import apart
from enforcer.ruleset import transaction as t


def in_turn(
    kernel: t.Kernel,
    commit: Callable[[t.Transaction, int], None],
    transaction: t.Transaction,
    now_ns: int,
) -> Iterator[t.KernelState]:
    """Commits what acts, then what goes behind it; the kernel's state after each."""
    *parts, last = (part.operations for part in apart(transaction.netfilter))
    for part in (*parts, (*last, *transaction.shaping)):
        generation = kernel.generation()
        commit(replace(transaction, generation=generation, operations=tuple(part)), now_ns)
        yield kernel.read()
