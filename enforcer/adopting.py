"""Is what an earlier daemon left in the registered maps still there? Asked once, by the first step.

In: the kernel as it was read, and the registry. Out: names of maps that hold something else than
the ledger says; and what an earlier daemon did not come to the end of. Nobody listens while no
daemon runs: a map that was flushed then would be adopted as full, and guard would hold back who is
registered. Where the kernel tells how many elements a set has (6.16 and later) every difference in
number is seen without this; elsewhere a few are looked up.
"""

from __future__ import annotations

from enforcer.kernel.elements import pairs, sample
from enforcer.lookup.tables import Tables
from enforcer.ruleset.transaction import DeleteSet, Kernel, KernelState, Load, Transaction
from enforcer.ruleset.vocabulary import RegisteredMap


def spoilt_maps(kernel: Kernel, state: KernelState, tables: Tables) -> frozenset[str]:
    """Raises KernelError."""
    found = set()
    for stage in tables.stages:
        target = RegisteredMap(stage)
        there = state.sets.get(target.name)
        if (
            there is None
            or state.ledger.get(target.name) != stage.digest
            or there.count is not None
        ):
            continue
        expected = dict(pairs(sample(target)))
        if kernel.elements(target.name, list(expected)) != expected:
            found.add(target.name)
    return frozenset(found)


def left_over(state: KernelState, change: Transaction) -> Transaction | None:
    """What takes away first the maps that a load in steps has left when it was killed on its way:
    nothing knows what they hold and no rule asks them. A map that is made anew can be loaded in
    steps again, one that is there only in one transaction (`kernel.steps`). None: there are none.
    """
    asked = {
        expression[1]
        for chain in state.chains.values()
        for rule in chain.rules
        for expression in rule
        if expression[0] in ("lookup", "lookup_map")
    }
    names = {
        op.target.name
        for op in change.operations
        if isinstance(op, Load) and op.flush and op.target.name not in state.ledger
    }
    gone = tuple(DeleteSet(name) for name in sorted(names - asked))
    return Transaction(state.generation, gone) if gone else None
