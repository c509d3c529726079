"""The radix tree over the registrations valid on one day, laid out in arrays.

In: a `Registry` and a day. Out: longest match, covering and covered prefixes, as row numbers of the
registry. Never an object per prefix.

Nodes are the distinct prefixes in pre-order: sorted by address, then by length, so a node's
descendants follow it directly. `parent` is the nearest covering node. A lookup finds the last node
that begins at or before the address and climbs to the first that covers it. Why no library:
docs/decisions/0004-radix-tree-in-arrays.md.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import BITS, FAMILIES, Family, Prefix
from enforcer.policy.registry import Registry
from enforcer.policy.registry_columns import (
    MASKS,
    Words,
    join_words,
    masked,
    pick,
    run_starts,
    sort_order,
)

_LOW = (1 << 64) - 1
_SLOT_BITS = 16
_SLOTS = 1 << _SLOT_BITS


@dataclass(frozen=True, slots=True, eq=False)
class FamilyTree:
    """One family's nodes in pre-order. `parent` is -1 at the top. The rows of node i, in order, are
    `rows[row_starts[i]:row_starts[i + 1]]`.
    """

    family: Family
    words: Words
    length: NDArray[np.uint8]
    parent: NDArray[np.int32]
    row_starts: NDArray[np.int32]
    rows: NDArray[np.int32]
    # A first guess, by first word: `front[k]` nodes begin before `base + (k << shift)`.
    base: int
    shift: int
    front: NDArray[np.uint32]
    _views: tuple[memoryview, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        views = (*self.words, self.length, self.parent, self.row_starts, self.rows, self.front)
        object.__setattr__(self, "_views", tuple(view.data for view in views))

    def __len__(self) -> int:
        return len(self.length)

    def node_of(self, address: int) -> int:
        """The node of the longest prefix that holds the address, -1 for none."""
        if self.family == 4:
            networks, lengths, parents, _, _, front = self._views
            slot = (address - self.base) >> self.shift
            if slot < 0:
                return -1
            if slot < _SLOTS:
                node = bisect_right(networks, address, front[slot], front[slot + 1]) - 1
            else:
                node = len(networks) - 1
            while node >= 0 and (networks[node] ^ address) >> (32 - lengths[node]):
                node = parents[node]
            return node
        highs, lows, lengths, parents, _, _, front = self._views
        high = address >> 64
        slot = (high - self.base) >> self.shift
        if slot < 0:
            return -1
        if slot < _SLOTS:
            node = bisect_right(highs, high, front[slot], front[slot + 1]) - 1
        else:
            node = len(highs) - 1
        low = address & _LOW
        if node >= 0 and highs[node] == high and lows[node] > low:
            first = bisect_left(highs, high, 0, node)
            node = bisect_right(lows, low, first, node) - 1
        while node >= 0:
            length = lengths[node]
            if length <= 64:
                if not (highs[node] ^ high) >> (64 - length):
                    break
            elif highs[node] == high and not (lows[node] ^ low) >> (128 - length):
                break
            node = parents[node]
        return node

    def rows_of(self, node: int) -> tuple[int, ...]:
        return tuple(self.rows[self.row_starts[node] : self.row_starts[node + 1]].tolist())

    def first_row(self, node: int) -> int:
        return int(self.rows[self.row_starts[node]])

    def first_at(self, address: int) -> int:
        """The first node that begins at or after the address."""
        return first_at(self._views[: len(self.words)], address)

    def prefix(self, node: int) -> Prefix:
        return Prefix(self.family, join_words(self.words, node), int(self.length[node]))


def first_at(words: Sequence[memoryview], address: int) -> int:
    """The place of the first address at or after this one, in sorted words."""
    if len(words) == 1:
        return bisect_left(words[0], address)
    high = address >> 64
    first = bisect_left(words[0], high)
    return bisect_left(words[1], address & _LOW, first, bisect_right(words[0], high, first))


@dataclass(frozen=True, slots=True, eq=False)
class RadixTree:
    """All registrations valid on `day` (UTC). Row numbers are the registry's."""

    registry: Registry
    day: date
    v4: FamilyTree
    v6: FamilyTree

    @classmethod
    def build(cls, registry: Registry, day: date) -> RadixTree:
        v4, v6 = (_family_tree(registry, family, day) for family in FAMILIES)
        return cls(registry, day, v4, v6)

    def of_family(self, family: Family) -> FamilyTree:
        return self.v4 if family == 4 else self.v6

    def longest(self, family: Family, address: int) -> tuple[int, ...]:
        """The rows of the longest prefix that holds the address; empty for none."""
        tree = self.of_family(family)
        node = tree.node_of(address)
        return () if node < 0 else tree.rows_of(node)

    def longest_packed(self, packed: bytes) -> int:
        """The first of these rows for an address in network order (4 or 16 bytes); -1 for none."""
        tree = self.v4 if len(packed) == 4 else self.v6
        node = tree.node_of(int.from_bytes(packed, "big"))
        return -1 if node < 0 else tree.first_row(node)

    def covering(self, prefix: Prefix) -> list[int]:
        """The rows of all prefixes that cover `prefix` or equal it, from longest to shortest."""
        tree = self.of_family(prefix.family)
        node = tree.node_of(prefix.network)
        found: list[int] = []
        while node >= 0:
            if tree.length[node] <= prefix.length:
                found += tree.rows_of(node)
            node = int(tree.parent[node])
        return found

    def covered(self, prefix: Prefix) -> list[int]:
        """The rows of all prefixes inside `prefix`, itself included, by address, then length."""
        tree = self.of_family(prefix.family)
        first, last = tree.first_at(prefix.network), len(tree)
        if prefix.last + 1 < 1 << BITS[prefix.family]:
            last = tree.first_at(prefix.last + 1)
        # What begins at the same address but is wider comes first.
        while first < last and tree.length[first] < prefix.length:
            first += 1
        found: list[int] = tree.rows[tree.row_starts[first] : tree.row_starts[last]].tolist()
        return found


def _family_tree(registry: Registry, family: Family, day: date) -> FamilyTree:
    columns = registry.of_family(family)
    valid = np.flatnonzero(columns.valid(day)).astype(np.int32)
    words, length = pick(columns.words, valid), columns.length[valid]
    order = sort_order(words, length)
    words, length, rows = pick(words, order), length[order], valid[order]
    # Rows of one prefix stand in the order of the files.
    starts = np.flatnonzero(run_starts(*words, length)).astype(np.int32)
    row_starts = np.append(starts, np.int32(len(rows)))
    words, length = pick(words, starts), length[starts]
    base, shift, front = front_index(words[0])
    return FamilyTree(
        family=family,
        words=words,
        length=length,
        parent=parents(family, words, length),
        row_starts=row_starts,
        rows=rows + np.int32(registry.first_row(family)),
        base=base,
        shift=shift,
        front=front,
    )


def front_index(tops: NDArray[Any]) -> tuple[int, int, NDArray[np.uint32]]:
    """The index over the sorted first words: base, shift and front of `FamilyTree`."""
    if not len(tops):
        return 0, 0, np.zeros(_SLOTS + 1, np.uint32)
    base, last = int(tops[0]), int(tops[-1])
    shift = max(0, (last - base).bit_length() - _SLOT_BITS)
    slots = ((tops - tops[0]) >> tops.dtype.type(shift)).astype(np.int32)
    front = np.zeros(_SLOTS + 1, np.uint32)
    np.cumsum(np.bincount(slots, minlength=_SLOTS), out=front[1:])
    return base, shift, front


def parents(family: Family, words: Words, length: NDArray[Any]) -> NDArray[np.int32]:
    """The nearest covering prefix of each of the sorted distinct prefixes, -1 for none.

    Only a prefix that covers the one after it has descendants, so the others are left out of the
    search. Among the few that remain, whoever is not covered by its predecessor asks the
    predecessor's own guess (pointer jumping): no cover can stand between the two.
    """
    count = len(length)
    if not count:
        return np.zeros(0, np.int32)
    following = slice(1, None)
    inside = np.ones(count - 1, np.bool_)
    cut = masked(pick(words, following), family, length[:-1])
    for mine, theirs in zip(cut, words, strict=True):
        inside &= mine == theirs[:-1]
    wide = np.flatnonzero(inside).astype(np.int32)
    networks = pick(words, wide)
    masks = tuple(mask[length[wide]] for mask in MASKS[family])

    def covers(outer: NDArray[np.int32], inner: Words) -> NDArray[np.bool_]:
        """Whether each of the places in `wide` covers the address beside it."""
        found = np.ones(len(outer), np.bool_)
        for network, mask, theirs in zip(networks, masks, inner, strict=True):
            found &= theirs & mask[outer] == network[outer]
        return found

    # `guess` speaks of places in `wide`.
    guess = np.arange(-1, len(wide) - 1, dtype=np.int32)
    open_ = np.arange(len(wide))
    while len(open_):
        open_ = open_[guess[open_] >= 0]
        open_ = open_[~covers(guess[open_], pick(networks, open_))]
        guess[open_] = guess[guess[open_]]
    before = np.zeros(count, np.int32)
    before[1:] = np.cumsum(inside)
    before -= 1
    open_ = np.flatnonzero(before >= 0)
    while len(open_):
        open_ = open_[~covers(before[open_], pick(words, open_))]
        before[open_] = guess[before[open_]]
        open_ = open_[before[open_] >= 0]
    return np.where(before >= 0, wide[before], -1) if len(wide) else before
