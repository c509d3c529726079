"""A large load in steps: maps that nothing refers to yet are filled before the transaction proper.

As long as anybody on the machine listens to nf_tables (`nft monitor`, another daemon, in whatever
network namespace), the kernel makes an event of some 4.5 KB for each element, and holds all of them
until their transaction ends: 9 GB for a million prefixes. In steps it is a hundredth of that. What
acts on packets changes behind them; what was filled before is inert.

What acts changes in as many transactions as no packet is lost by that is on its way meanwhile
(`apart`; why, and what the kernel does to such a packet: docs/decisions/0045). It keeps the rules
that it began with, and looks each thing up in what is there by then:

1. What elements will lead to, with its rules: nothing leads there yet.
2. What changes, and elements that arrive.
3. Elements that leave, where any arrived elsewhere: a prefix that changes its stage is in both
   meanwhile. Waits for the packets that began before (`underway`).
4. What nothing asks any more. Waits as well.

Pure. In: a Transaction. Out: batches in order, each of operations and packed elements.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from enforcer.kernel.encode import encode_bulk
from enforcer.kernel.series import Series
from enforcer.kernel.wire import Message
from enforcer.lookup.tables import Stage
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v

# Elements of one step: some 75 MB of events, if anybody listens; about 10 ms, and what was put in
# is still in the processor's cache when it is made to count.
STEP_ELEMENTS = 1 << 14
# The digest of no stage: what a map holds between its two transactions.
UNSETTLED = "0" * 16
Part = Message | Series


@dataclass(frozen=True, slots=True)
class Step:
    """`small` are sent before `bulk`, whose parts stand beside the operation that they are of.
    `waits`: all packets that are on their way must be through before.
    """

    small: tuple[t.Operation, ...]
    bulk: tuple[tuple[t.Operation, Part], ...]
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Together:
    """The operations of one transaction. `waits` as in Step."""

    operations: tuple[t.Operation, ...]
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Steps:
    """The first `filling` only fill new maps, and `undo` takes these away again. The steps behind
    them follow each other as soon as may be: somebody else's transaction between makes them stale.
    """

    steps: tuple[Step, ...]
    filling: int = 0
    undo: tuple[t.Operation, ...] = ()


def in_steps(operations: Sequence[t.Operation], most: int = STEP_ELEMENTS) -> Steps:
    """One step, unless something goes, or more than `most` elements go into maps made here."""
    parts = apart(operations)
    acting = parts[0].operations
    ahead = _ahead(operations)
    if sum(len(load.target.stage) for load in ahead) <= most:
        return Steps(tuple(map(_step, parts)))
    names = {load.target.name for load in ahead}
    first = tuple(op for op in acting if _made_first(op, names))
    bulk = [(load, part) for load in ahead for part in encode_bulk(load)]
    groups = _grouped(bulk, most)
    filling = [Step(first if not at else (), group) for at, group in enumerate(groups)]
    taken = {*map(id, first), *map(id, ahead)}
    rest = _step(replace(parts[0], operations=tuple(op for op in acting if id(op) not in taken)))
    behind = map(_step, parts[1:])
    undo = tuple(t.DeleteSet(name) for name in sorted(names))
    return Steps((*filling, rest, *behind), len(filling), undo)


def apart(operations: Sequence[t.Operation]) -> list[Together]:
    """The operations in the transactions that they must be apart in, none of them empty."""
    for at, operation in enumerate(operations):
        if isinstance(operation, t.DeleteTable) and at:
            return [Together(tuple(operations[:at])), Together(tuple(operations[at:]), waits=True)]
    stay = {what for op in operations if isinstance(op, _Coming) for what in _what(op)}
    gone: list[t.Operation] = [
        op for op in operations if isinstance(op, _Going) and stay.isdisjoint(_what(op))
    ]
    # A set that is made anew by its name is let go of at once by the chains that ask it.
    if all(op in gone for op in operations if isinstance(op, t.DeleteSet)):
        gone = [*_emptied(operations), *gone]
    going = set(map(id, gone))
    staying = [op for op in operations if id(op) not in going]
    led_to, changing, leaving = _moved(staying)
    # What comes is settled for every generation as soon as its transaction is: nothing waits.
    parts = (led_to, False), (changing, False), (leaving, True), (gone, True)
    return [Together(tuple(part), waits) for part, waits in parts if part]


def _emptied(operations: Sequence[t.Operation]) -> list[t.Operation]:
    """Chains that go and that elements of registered maps lead to until these are changed. Not so
    where a window closes and its maps stay as they are: then nothing acts from the first
    transaction on, and what is emptied with it is emptied before it is deleted.
    """
    if not any(map(_arrives, operations)):
        return []
    return [op for op in operations if isinstance(op, t.FlushChain) and op.going]


def _arrives(operation: t.Operation) -> bool:
    """Whether elements arrive in a map that is asked now."""
    return isinstance(operation, t.Change) or (isinstance(operation, t.Load) and operation.flush)


def _moved(
    operations: list[t.Operation],
) -> tuple[list[t.Operation], list[t.Operation], list[t.Operation]]:
    """What elements that arrive may lead a packet to; what changes, those elements with it; and
    what leaves registered maps, where it may arrive in another. While it has not left, the ledger
    does not vouch for them: whoever meets them so loads them anew.
    """
    led_to = _led_to(operations)
    ahead = set(map(id, led_to))
    changing: list[t.Operation] = []
    leaving: list[t.Operation] = []
    unsettled: set[str] = set()
    for op in operations:
        if id(op) in ahead:
            continue
        if isinstance(op, t.Change) and _may_move(op, operations) and (halves := _halves(op)):
            changing.append(halves[0])
            leaving.append(halves[1])
            unsettled.add(op.target.name)
        elif isinstance(op, t.WriteLedger) and unsettled:
            entries = ((n, UNSETTLED if n in unsettled else d) for n, d in op.entries)
            changing.append(t.WriteLedger(tuple(entries)))
            leaving.append(op)
        else:
            changing.append(op)
    return led_to, changing, leaving


def _led_to(operations: list[t.Operation]) -> list[t.Operation]:
    """Chains that come, and all that they ask, where elements arrive in maps that are asked now: a
    chain has no rules for the generation before it was made. Nothing where something is made anew
    by its name, for the old one is there until then.
    """
    again = any(isinstance(op, _Going) and not isinstance(op, t.TakeElements) for op in operations)
    if again or not any(map(_arrives, operations)):
        return []
    taken = {what for op in operations if isinstance(op, t.TakeElements) for what in _what(op)}
    coming = {op.name for op in operations if isinstance(op, t.AddChain) and op.hook is None}
    led_to: list[t.Operation] = []
    for op in operations:
        match op:
            case t.AddChain(name=name) | t.SetRules(chain=v.Chain(name=name)):
                comes = name in coming
            case t.PutElements():
                comes = taken.isdisjoint(_what(op))
            case t.Load(flush=flush):
                comes = not flush
            case _:
                comes = isinstance(op, t.AddSet | t.AddCounter)
        led_to += [op] if comes else []
    return led_to if any(isinstance(op, t.AddChain | t.PutElements) for op in led_to) else []


def _may_move(change: t.Change, operations: list[t.Operation]) -> bool:
    """Whether anything arrives in another registered map of the family."""
    family = change.target.stage.family
    return any(
        op.target.name != change.target.name
        and op.target.stage.family == family
        and (isinstance(op, t.Load) or len(op.added.stage) > 0)
        for op in operations
        if isinstance(op, t.Load | t.Change)
    )


def _halves(change: t.Change) -> tuple[t.Change, t.Change] | None:
    """What arrives or gets another class; and what leaves. None where nothing leaves, where both do
    not fit the map at once, or of a front filter, which nothing moves out of.
    """
    if not isinstance(change.target, v.RegisteredMap):
        return None
    removed, added = change.removed.stage, change.added.stage
    leaves = ~np.isin(removed.keys, added.keys)
    if not leaves.any() or len(change.target.stage) + int(leaves.sum()) > change.target.size:
        return None
    stays, leave = (v.RegisteredMap(_rows(removed, rows)) for rows in (~leaves, leaves))
    nothing = v.RegisteredMap(_rows(added, np.zeros(len(added), np.bool_)))
    return t.Change(change.target, stays, change.added), t.Change(change.target, leave, nothing)


def _rows(stage: Stage, rows: NDArray[np.bool_]) -> Stage:
    return Stage.of(stage.family, stage.length, stage.keys[rows], stage.classes[rows])


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


def _step(together: Together) -> Step:
    bulk = [op for op in together.operations if isinstance(op, t.Load | t.Change)]
    small = tuple(op for op in together.operations if not isinstance(op, t.Load | t.Change))
    parts = tuple((op, part) for op in bulk for part in encode_bulk(op))
    return Step(small, parts, together.waits)


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
