"""Whether what another program flushed is in force again. Pure.

In: the kernel before and now. Out: True when guard, mark and reserve act as before. The front
filter makes them faster only, and a large one comes after the repair, with chains and rules of its
own: it may be missing. What runs is left out: counters, and what is left of timeouts.
"""

from __future__ import annotations

from enforcer.ruleset.transaction import KernelState, SetState
from enforcer.ruleset.vocabulary import FRONT


def in_force(now: KernelState, before: KernelState) -> bool:
    """What the registered maps hold is told by their count only, where the kernel tells it."""
    filled = (
        chain.rules or not before.chains[name].rules
        for name, chain in now.chains.items()
        if name in before.chains
    )
    return lasting(now) == lasting(before) and all(filled)


def lasting(state: KernelState) -> object:
    """What stays the same while nobody changes anything, to compare."""
    return (
        {name: chain.hook for name, chain in state.chains.items() if chain.hook is not None},
        {name: _lasting(held) for name, held in state.sets.items() if name != FRONT},
        {name: digest for name, digest in state.ledger.items() if name != FRONT},
        (state.dormant, state.shapers),
    )


def _lasting(held: SetState) -> object:
    elements = len(held.elements) if held.kind == "armed" else held.elements
    return held.kind, held.size, held.count, elements
