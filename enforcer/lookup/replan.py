"""Tables out of those before them, when a few prefixes are touched: what lies elsewhere stays.

In: a plan, and the spliced tree. Out: the very plan that `planned` makes of that tree; None when
this would not be cheaper, or the cheapest lengths of stages are others by now.

What a prefix becomes (`aggregate`: two halves of one class become one prefix, what says the same
as the prefix around it goes) depends on what lies inside it, and on the prefixes around it. So a
change shows outside a block around it only through the one question whether the whole block has
become one prefix, and of which class. Where the answer is what it was, everything outside the block
is as it was; where not, the block is taken larger.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enforcer.errors import PolicyError
from enforcer.lookup.classes import classify_nodes
from enforcer.lookup.nodes import NO_PARENTS, Nodes, merge_siblings
from enforcer.lookup.planner import Planned, counted, front_of
from enforcer.lookup.restage import Block, root_words, stages_again
from enforcer.lookup.splice import Spliced
from enforcer.lookup.stages import choose_lengths
from enforcer.lookup.tables import LookupClass, Stage, Tables
from enforcer.lookup.tree import FamilyTree, RadixTree, first_at, parents
from enforcer.policy.prefix import BITS, FAMILIES, Family, Prefix
from enforcer.policy.registry_columns import Words, pick

# Each takes a few milliseconds; everything anew takes as long as some hundred of them.
MOST_TOUCHED = 64
# A block is larger than the prefix touched by so many bits, and grows by as many.
_WIDER_BITS = 4


def replan(before: Planned, change: Spliced) -> Planned | None:
    """`before` brought to the tree of `change`, which was spliced from its tree."""
    if len(change.touched) > MOST_TOUCHED:
        return None
    try:
        blocks = _blocks(before, change)
    except PolicyError:
        # Two classes of one number, or the like: whoever does it all anew says so in full.
        return None
    uses, counts = Counter(before.uses), {f: list(before.counts[f]) for f in FAMILIES}
    classes = {entry.id: entry for entry in before.tables.classes}
    nodes = dict(before.nodes)
    for family in FAMILIES:
        mine = [block for block in blocks if block.prefix.family == family]
        for block in mine:
            if any(classes.setdefault(entry.id, entry) != entry for entry in block.classes):
                return None
            old = before.nodes[family]
            for part, sign in ((_slice(old, block.start, block.stop), -1), (block.nodes, 1)):
                for number, count in Counter(part.class_number.tolist()).items():
                    uses[number] += sign * count
                for length, count in Counter(part.length.tolist()).items():
                    counts[family][length] += sign * count
        nodes[family] = _spliced(before.nodes[family], mine)
    lengths = choose_lengths(counts, before.budget_bytes)
    if any(lengths[f] != tuple(s.length for s in before.tables.of_family(f)) for f in FAMILIES):
        return None
    used = {number: count for number, count in uses.items() if count}
    tables = Tables(
        stages=tuple(stages_again(before.tables, blocks)),
        classes=tuple(classes[number] for number in sorted(used)),
        prefixes=tuple(entry for family in FAMILIES for entry in counted(change.tree, family)),
        front=_front(before, nodes[4]),
    )
    return Planned(change.tree, before.budget_bytes, nodes, counts, used, tables)


def _blocks(before: Planned, change: Spliced) -> list[Block]:
    """Disjoint, in order of their addresses, IPv4 first."""
    found: dict[Prefix, _Inside] = {}
    for touched in sorted(change.touched):
        if any(prefix.covers(touched) for prefix in found):
            continue
        length = touched.length
        while True:
            length = max(0, length - _WIDER_BITS)
            prefix = _cut(touched, length)
            old, new = _inside(before.tree, prefix), _inside(change.tree, prefix)
            if not length or old.whole == new.whole:
                break
        found = {p: inside for p, inside in found.items() if not prefix.covers(p)}
        found[prefix] = new
    return [_block(before, prefix, found[prefix]) for prefix in sorted(found)]


def _cut(prefix: Prefix, length: int) -> Prefix:
    host = BITS[prefix.family] - length
    return Prefix(prefix.family, prefix.network >> host << host, length)


def _block(before: Planned, prefix: Prefix, inside: _Inside) -> Block:
    nodes = before.nodes[prefix.family]
    views = [word.data for word in nodes.words]
    start = first_at(views, prefix.network)
    # What begins at the same address and is as wide, or wider, comes first.
    while start < len(nodes.length) and _is(nodes, start, prefix.network, below=prefix.length + 1):
        start += 1
    after = prefix.last + 1
    stop = first_at(views, after) if after < 1 << BITS[prefix.family] else len(nodes.length)
    around = None
    for length in range(prefix.length, -1, -1):
        outer = _cut(prefix, length)
        at = first_at(views, outer.network)
        while at < len(nodes.length) and _is(nodes, at, outer.network, below=length):
            at += 1
        if at < len(nodes.length) and _is(nodes, at, outer.network, below=length + 1):
            around = length, int(nodes.class_number[at])
            break
    return Block(prefix, inside.nodes, inside.classes, start, max(start, stop), around)


def _is(nodes: Nodes, at: int, network: int, *, below: int) -> bool:
    """Whether the node begins at this address and is shorter than `below`."""
    address = int(nodes.words[0][at])
    if len(nodes.words) > 1:
        address = address << 64 | int(nodes.words[1][at])
    return address == network and int(nodes.length[at]) < below


@dataclass(frozen=True, slots=True, eq=False)
class _Inside:
    """The aggregated prefixes strictly inside a block, with ids of classes. `whole` is the class of
    the block itself when it is one of them.
    """

    whole: LookupClass | None
    nodes: Nodes
    classes: tuple[LookupClass, ...]


def _inside(tree: RadixTree, block: Prefix) -> _Inside:
    family, part = block.family, tree.of_family(block.family)
    first, last = part.first_at(block.network), len(part)
    while first < last and part.length[first] < block.length and part.prefix(first).covers(block):
        first += 1
    if block.last + 1 < 1 << BITS[family]:
        last = part.first_at(block.last + 1)
    around: list[int] = []
    node = part.node_of(block.network)
    while node >= 0:
        if part.length[node] < block.length:
            around.append(node)
        node = int(part.parent[node])
    chosen = np.array([*reversed(around), *range(first, max(first, last))], np.int64)
    small = _picked(part, chosen)
    empty = _picked(tree.of_family(6 if family == 4 else 4), np.zeros(0, np.int64))
    found = classify_nodes(
        RadixTree(tree.registry, tree.day, *((small, empty) if family == 4 else (empty, small)))
    )
    number = found.of_family(family)
    inside = slice(len(around), None)
    words, length, numbers = merge_siblings(
        family, pick(small.words, inside), small.length[inside], number[inside]
    )
    whole = int(numbers[0]) if len(length) and length[0] == block.length else None
    if whole is not None:
        words, length, numbers = pick(words, slice(1, None)), length[1:], numbers[1:]
    outer = whole if whole is not None else int(number[len(around) - 1]) if around else None
    if outer is not None:
        words, length, numbers = _without_repeated(block, words, length, numbers, outer)
    else:
        words, length, numbers = _different(family, words, length, numbers)
    return _Inside(
        None if whole is None else found.classes[whole],
        Nodes(words, length, found.ids[numbers], NO_PARENTS),
        tuple(found.classes[i] for i in np.unique(numbers).tolist()),
    )


def _without_repeated(
    block: Prefix, words: Words, length: NDArray[np.uint8], number: NDArray[np.int32], outer: int
) -> tuple[Words, NDArray[np.uint8], NDArray[np.int32]]:
    """Those that do not say what is said around them, the block being of class `outer`."""
    top = root_words(block, words)
    with_top = tuple(np.concatenate(pair) for pair in zip(top, words, strict=True))
    lengths = np.concatenate([np.array([block.length], np.uint8), length])
    numbers = np.concatenate([np.array([outer], np.int32), number])
    words, length, number = _different(block.family, with_top, lengths, numbers)
    return pick(words, slice(1, None)), length[1:], number[1:]


def _different(
    family: Family, words: Words, length: NDArray[np.uint8], number: NDArray[np.int32]
) -> tuple[Words, NDArray[np.uint8], NDArray[np.int32]]:
    above = parents(family, words, length)
    keep = np.flatnonzero((above < 0) | (number[above] != number)) if len(length) else above
    return pick(words, keep), length[keep], number[keep]


def _picked(part: FamilyTree, nodes: NDArray[np.int64]) -> FamilyTree:
    """A tree of these nodes alone, in order, for whoever asks for their classes."""
    words, length = pick(part.words, nodes), part.length[nodes]
    rows = [part.rows[part.row_starts[i] : part.row_starts[i + 1]] for i in nodes.tolist()]
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    joined = np.concatenate(rows) if rows else part.rows[:0]
    above = parents(part.family, words, length)
    return FamilyTree(part.family, words, length, above, starts, joined, 0, 0, part.front[:0])


def _slice(nodes: Nodes, start: int, stop: int) -> Nodes:
    at = slice(start, stop)
    words, length = pick(nodes.words, at), nodes.length[at]
    return Nodes(words, length, nodes.class_number[at], NO_PARENTS)


def _spliced(nodes: Nodes, blocks: list[Block]) -> Nodes:
    if not blocks:
        return nodes
    parts: list[Nodes] = []
    at = 0
    for block in blocks:
        parts += [_slice(nodes, at, block.start), block.nodes]
        at = block.stop
    parts.append(_slice(nodes, at, len(nodes.length)))
    return Nodes(
        tuple(np.concatenate(word) for word in zip(*(p.words for p in parts), strict=True)),
        np.concatenate([p.length for p in parts]),
        np.concatenate([p.class_number for p in parts]),
        NO_PARENTS,
    )


def _front(before: Planned, nodes: Nodes) -> Stage | None:
    """The very front of before, where it says the same: what is known of it stays known."""
    if nodes is before.nodes[4]:
        return before.tables.front
    front = front_of(nodes.words[0], nodes.length) if len(nodes.length) else None
    return before.tables.front if front == before.tables.front else front
