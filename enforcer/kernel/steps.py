"""A large load in steps: maps that nothing refers to yet are filled before the transaction proper.

As long as anybody on the machine listens to nf_tables (`nft monitor`, another daemon, in whatever
network namespace), the kernel makes an event of some 4.5 KB for each element, and holds all of them
until their transaction ends: 9 GB for a million prefixes. In steps it is a hundredth of that. What
acts on packets still changes in one transaction, the last; what was filled before it is inert.

What goes for good goes in a transaction of its own, behind the one that has taken out the rules
that ask it. The kernel gives a chain that is deleted no new rules: until its hook is gone, packets
still meet the old ones, and these would find maps empty that are deleted with them; guard would
drop what is registered (docs/decisions/0045).

Pure. In: a Transaction. Out: batches in order, each of operations and packed elements.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from enforcer.kernel.encode import encode_bulk
from enforcer.kernel.series import Series
from enforcer.kernel.wire import Message
from enforcer.ruleset import transaction as t

# Elements of one step: some 75 MB of events, if anybody listens; about 10 ms, and what was put in
# is still in the processor's cache when it is made to count.
STEP_ELEMENTS = 1 << 14
Part = Message | Series


@dataclass(frozen=True, slots=True)
class Step:
    """`small` are sent before `bulk`, whose parts stand beside the operation that they are of."""

    small: tuple[t.Operation, ...]
    bulk: tuple[tuple[t.Operation, Part], ...]


@dataclass(frozen=True, slots=True)
class Steps:
    """The first `filling` only fill new maps, and `undo` takes these away again. The steps behind
    them follow each other at once: somebody else's transaction between them makes them stale.
    """

    steps: tuple[Step, ...]
    filling: int = 0
    undo: tuple[t.Operation, ...] = ()


def in_steps(operations: Sequence[t.Operation], most: int = STEP_ELEMENTS) -> Steps:
    """One step, unless something goes, or more than `most` elements go into maps made here."""
    parts = apart(operations)
    acting = parts[0]
    ahead = _ahead(operations)
    if sum(len(load.target.stage) for load in ahead) <= most:
        return Steps(tuple(map(_step, parts)))
    names = {load.target.name for load in ahead}
    first = tuple(op for op in acting if _made_first(op, names))
    bulk = [(load, part) for load in ahead for part in encode_bulk(load)]
    groups = _grouped(bulk, most)
    filling = [Step(first if not at else (), group) for at, group in enumerate(groups)]
    taken = {*map(id, first), *map(id, ahead)}
    rest = _step([op for op in acting if id(op) not in taken])
    behind = map(_step, parts[1:])
    undo = tuple(t.DeleteSet(name) for name in sorted(names))
    return Steps((*filling, rest, *behind), len(filling), undo)


def apart(operations: Sequence[t.Operation]) -> list[Sequence[t.Operation]]:
    """The operations in the transactions that they must be apart in, none of them empty."""
    for at, operation in enumerate(operations):
        if isinstance(operation, t.DeleteTable) and at:
            return [operations[:at], operations[at:]]
    stay = {what for op in operations if isinstance(op, _Coming) for what in _what(op)}
    gone = [op for op in operations if isinstance(op, _Going) and stay.isdisjoint(_what(op))]
    going = set(map(id, gone))
    return [part for part in ([op for op in operations if id(op) not in going], gone) if part]


_Going = t.DeleteSet | t.DeleteChain | t.DeleteCounter | t.TakeElements
_Coming = t.AddSet | t.AddChain | t.AddCounter | t.PutElements


def _what(operation: _Going | _Coming) -> set[Hashable]:
    """What goes or comes, each by a name that only one thing has at a time."""
    match operation:
        case t.AddSet(container=made):
            return {("set", made.name)}
        case t.DeleteSet(name=name):
            return {("set", name)}
        case t.AddChain(name=name) | t.DeleteChain(name=name):
            return {("chain", name)}
        case t.AddCounter(name=name) | t.DeleteCounter(name=name):
            return {("counter", name)}
        case t.PutElements(target=target) | t.TakeElements(target=target):
            return {(target.name, key) for key in target.keys}


def _step(operations: Sequence[t.Operation]) -> Step:
    bulk = [op for op in operations if isinstance(op, t.Load | t.Change)]
    small = tuple(op for op in operations if not isinstance(op, t.Load | t.Change))
    return Step(small, tuple((op, part) for op in bulk for part in encode_bulk(op)))


def _ahead(operations: Sequence[t.Operation]) -> list[t.Load]:
    """The loads into maps that this transaction makes, where nothing of their name was before."""
    if any(isinstance(op, t.DeleteTable) for op in operations):
        return []
    deleted = {op.name for op in operations if isinstance(op, t.DeleteSet)}
    made = {op.container.name for op in operations if isinstance(op, t.AddSet)} - deleted
    return [op for op in operations if isinstance(op, t.Load) and op.target.name in made]


def _made_first(operation: t.Operation, names: set[str]) -> bool:
    """What the loads ahead need: the table, and the maps."""
    if isinstance(operation, t.AddSet):
        return operation.container.name in names
    return isinstance(operation, t.CreateTable)


def _grouped(
    bulk: Sequence[tuple[t.Operation, Part]], most: int
) -> list[tuple[tuple[t.Operation, Part], ...]]:
    """Groups of messages with at most `most` elements each, and one message at the least."""
    groups: list[list[tuple[t.Operation, Part]]] = [[]]
    held = 0
    for operation, part in bulk:
        for piece, size in _pieces(part, most):
            if groups[-1] and held + size > most:
                groups.append([])
                held = 0
            groups[-1].append((operation, piece))
            held += size
    return [tuple(group) for group in groups]


def _pieces(part: Part, most: int) -> list[tuple[Part, int]]:
    """Stretches of a series, none with more than `most` elements, each with their number."""
    if not isinstance(part, Series):
        return [(part, 1)]
    each = max(1, most // part.entries)
    return [
        (piece, len(piece) * part.entries)
        for first in range(0, len(part), each)
        for piece in (part.stretch(first, first + each),)
    ]
