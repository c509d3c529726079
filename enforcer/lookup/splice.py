"""A radix tree out of the one before it: the few rows that came or went, put in or taken out.

In: the tree of a registry and a day; another registry, another day, or both. Out: the very tree
that `RadixTree.build` makes, and what has changed; None when so much has that building is as cheap.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.rows import MOST_CHANGES, Run, same_rows
from enforcer.lookup.tree import FamilyTree, RadixTree, first_at, front_index, parents
from enforcer.policy.prefix import BITS, FAMILIES, Family, Prefix
from enforcer.policy.registry_columns import Columns, Registry, Words, join_words, pick


@dataclass(frozen=True, slots=True)
class Spliced:
    """`lost` are row numbers of the registry before, `gained` of the one now; both valid on the day
    of their tree. `touched` are their prefixes: of all other addresses the tree says what it said.
    """

    tree: RadixTree
    lost: tuple[int, ...]
    gained: tuple[int, ...]
    touched: frozenset[Prefix]


def splice(before: RadixTree, registry: Registry, day: date) -> Spliced | None:
    """`before` brought to this registry and this day."""
    parts: list[FamilyTree] = []
    lost: list[int] = []
    gained: list[int] = []
    touched: set[Prefix] = set()
    for family in FAMILIES:
        old, new = before.registry.of_family(family), registry.of_family(family)
        runs = (
            [Run(0, 0, len(new))]
            if before.registry is registry
            else same_rows(before.registry, registry, family)
        )
        if runs is None:
            return None
        change = _changed(before, family, new, day, runs)
        if change is None:
            return None
        parts.append(_family(before, registry, family, change))
        lost += (change.lost + before.registry.first_row(family)).tolist()
        gained += (change.gained + registry.first_row(family)).tolist()
        touched |= {old.prefix(row) for row in change.lost.tolist()}
        touched |= {new.prefix(row) for row in change.gained.tolist()}
    tree = RadixTree(registry, day, parts[0], parts[1])
    return Spliced(tree, tuple(lost), tuple(gained), frozenset(touched))


@dataclass(frozen=True, slots=True, eq=False)
class _Changed:
    """Rows of a family. `kept` says which places of the old tree's `rows` stay, `rows` what they
    are called now.
    """

    kept: NDArray[np.bool_]
    rows: NDArray[np.int32]
    lost: NDArray[np.int32]
    gained: NDArray[np.int32]


def _changed(
    before: RadixTree, family: Family, new: Columns, day: date, runs: list[Run]
) -> _Changed | None:
    part, first = before.of_family(family), before.registry.first_row(family)
    now = np.full(len(before.registry.of_family(family)), -1, np.int32)
    for run in runs:
        now[run.old : run.old + run.count] = np.arange(run.new, run.new + run.count, dtype=np.int32)
    valid = new.valid(day)
    old_rows = part.rows - np.int32(first)
    rows = now[old_rows]
    kept = rows >= 0
    # Place -1 asks the last row, for nothing.
    if len(valid):
        kept &= valid[rows]
    left = np.flatnonzero(~kept)
    rows = rows[kept]
    valid[rows] = False
    gained = np.flatnonzero(valid).astype(np.int32)
    if len(left) + len(gained) > MOST_CHANGES:
        return None
    return _Changed(kept, rows, old_rows[left], gained)


def _family(before: RadixTree, registry: Registry, family: Family, change: _Changed) -> FamilyTree:
    part, columns = before.of_family(family), registry.of_family(family)
    first_row = np.int32(registry.first_row(family))
    counts = np.diff(part.row_starts)
    left = np.flatnonzero(~change.kept)
    np.subtract.at(counts, np.searchsorted(part.row_starts, left, "right") - 1, 1)
    starts = np.concatenate([np.zeros(1, np.int32), np.cumsum(counts, dtype=np.int32)])
    # New nodes by the old node that they stand before, and rows by the kept row.
    made: list[tuple[int, Prefix]] = []
    made_counts: list[int] = []
    at: list[int] = []
    put: list[int] = []
    named = sorted((columns.prefix(row), row) for row in change.gained.tolist())
    for prefix, row in named:
        node, there = _place(part, prefix)
        if there:
            begin, end = int(starts[node]), int(starts[node + 1])
            at.append(bisect_left(change.rows, row, begin, end))
            counts[node] += 1
        else:
            at.append(int(starts[node]))
            if made and made[-1] == (node, prefix):
                made_counts[-1] += 1
            else:
                made.append((node, prefix))
                made_counts.append(1)
        put.append(row)
    rows = np.insert(change.rows, at, put) + first_row
    words, length, parent = part.words, part.length, part.parent
    places = [node for node, _ in made]
    if made or not counts.all():
        gone = [part.prefix(node) for node in np.flatnonzero(counts == 0).tolist()]
        alive = np.insert(counts > 0, places, np.True_)
        origin = np.insert(np.arange(len(counts), dtype=np.int32), places, -1)[alive]
        counts = np.insert(counts, places, made_counts)[alive]
        length = np.insert(length, places, [p.length for _, p in made])[alive]
        words = tuple(
            np.insert(word, places, _words(family, made, number))[alive]
            for number, word in enumerate(words)
        )
        parent = _moved(part.parent, origin)
        for prefix in {*gone, *(prefix for _, prefix in made)}:
            _adopt(family, words, length, parent, prefix)
        base, shift, front = front_index(words[0])
    else:
        base, shift, front = part.base, part.shift, part.front
    return FamilyTree(
        family=family,
        words=words,
        length=length,
        parent=parent,
        row_starts=np.concatenate([np.zeros(1, np.int32), np.cumsum(counts, dtype=np.int32)]),
        rows=rows,
        base=base,
        shift=shift,
        front=front,
    )


def _moved(parent: NDArray[np.int32], origin: NDArray[np.int32]) -> NDArray[np.int32]:
    """The parents by the nodes' new numbers; `origin` tells the old ones, -1 for a new node. What
    had a parent that is gone gets anything.
    """
    number = np.full(len(parent) + 1, -1, np.int32)
    number[origin] = np.arange(len(origin), dtype=np.int32)
    # The last place stands for no node, and is asked for by those without a parent.
    number[-1] = -1
    moved = np.where(origin >= 0, parent[origin], -1) if len(parent) else origin
    found: NDArray[np.int32] = number[moved]
    return found


def _adopt(
    family: Family,
    words: Words,
    length: NDArray[np.uint8],
    parent: NDArray[np.int32],
    prefix: Prefix,
) -> None:
    """Sets the parents of all nodes inside a prefix, that of the prefix itself included."""
    views = [word.data for word in words]
    first, last = first_at(views, prefix.network), len(length)
    while first < len(length) and length[first] < prefix.length and _begins(words, first, prefix):
        first += 1
    if prefix.last + 1 < 1 << BITS[family]:
        last = first_at(views, prefix.last + 1)
    # The nearest node around: longest first.
    around: list[int] = []
    for bits in range(prefix.length - 1, -1, -1):
        host = BITS[family] - bits
        outer = Prefix(family, prefix.network >> host << host, bits)
        at = first_at(views, outer.network)
        while at < first and length[at] < bits and _begins(words, at, outer):
            at += 1
        if at < first and length[at] == bits and _begins(words, at, outer):
            around = [at]
            break
    chosen = np.array([*around, *range(first, max(first, last))], np.int32)
    found = parents(family, pick(words, chosen), length[chosen])
    inside = slice(len(around), None)
    parent[chosen[inside]] = np.where(found >= 0, chosen[found], -1)[inside]


def _begins(words: Words, node: int, prefix: Prefix) -> bool:
    return join_words(words, node) == prefix.network


def _place(part: FamilyTree, prefix: Prefix) -> tuple[int, bool]:
    """The node of the prefix and True, or the node it would stand before and False."""
    node = part.first_at(prefix.network)
    while node < len(part):
        found = part.prefix(node)
        if found.network != prefix.network or found.length >= prefix.length:
            return node, found == prefix
        node += 1
    return node, False


def _words(family: Family, made: list[tuple[int, Prefix]], number: int) -> NDArray[np.uint64]:
    if family == 4:
        return np.array([p.network for _, p in made], np.uint64)
    shift = 64 * (1 - number)
    return np.array([p.network >> shift & (1 << 64) - 1 for _, p in made], np.uint64)
