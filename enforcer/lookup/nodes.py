"""Fewer prefixes that say the same: two halves of one class become the prefix around them, and what
says the same as the prefix around it goes.

In: distinct prefixes in pre-order, each with the number of its class. Out: the like, with the same
longest match everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.tree import FamilyTree, parents
from enforcer.policy.prefix import BITS, Family
from enforcer.policy.registry_columns import MASKS, Words, pick, sort_order


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """Distinct prefixes in pre-order, each with the number of its class, or with its id."""

    words: Words
    length: NDArray[np.uint8]
    class_number: NDArray[Any]
    parent: NDArray[np.int32]


NO_PARENTS = np.zeros(0, np.int32)


def aggregate(tree: FamilyTree, class_number: NDArray[np.int32]) -> Nodes:
    """Fewer prefixes with the same longest match everywhere."""
    words, length, class_number = merge_siblings(tree.family, tree.words, tree.length, class_number)
    parent = tree.parent.copy() if words is tree.words else parents(tree.family, words, length)
    # The parent's own class is right even where the parent itself goes: it equals what is around.
    same = (parent >= 0) & (class_number[parent] == class_number) if len(parent) else parent < 0
    if same.any():
        # Nearest around what stays is what stays itself.
        while len(lost := np.flatnonzero((parent >= 0) & same[parent])):
            parent[lost] = parent[parent[lost]]
        keep = np.flatnonzero(~same)
        words, length, class_number = pick(words, keep), length[keep], class_number[keep]
        place = np.cumsum(~same, dtype=np.int32) - np.int32(1)
        parent = np.where(parent >= 0, place[parent], np.int32(-1))[keep]
    return Nodes(words, length, class_number, parent)


def merge_siblings(
    family: Family, words: Words, length: NDArray[np.uint8], class_number: NDArray[np.int32]
) -> tuple[Words, NDArray[np.uint8], NDArray[np.int32]]:
    """Two halves of one class become the prefix around them, from the longest length upward.

    A prefix that stood around them already is never the longest match, so they replace it. Returns
    its arguments (the very `words`) when there is nothing to merge.
    """
    alive = np.ones(len(length), np.bool_)
    # What was merged into each length, still to be looked at: (words, class) sorted by address.
    arrived: tuple[Words, NDArray[np.int32]] | None = None
    made: list[tuple[Words, NDArray[np.uint8], NDArray[np.int32]]] = []
    by_length = np.argsort(length, kind="stable")
    ends = np.cumsum(np.bincount(length, minlength=BITS[family] + 1))
    for bits in range(BITS[family], 0, -1):
        rows = by_length[ends[bits - 1] : ends[bits]]
        if not len(rows) and arrived is None:
            continue
        here, number = pick(words, rows), class_number[rows]
        if arrived is not None:
            new = np.repeat([True, False], [len(arrived[1]), len(rows)])
            here = tuple(np.concatenate(pair) for pair in zip(arrived[0], here, strict=True))
            number = np.concatenate([arrived[1], number])
            rows = np.concatenate([np.full(len(arrived[1]), -1), rows])
            order = sort_order(here, ~new, of_sorted_runs=True)
            here, number, rows = pick(here, order), number[order], rows[order]
            shadowed = np.flatnonzero(~_differs(here)) + 1
            alive[rows[shadowed]] = False
            kept = np.ones(len(number), np.bool_)
            kept[shadowed] = False
            here, number, rows = pick(here, kept), number[kept], rows[kept]
        lower = _lower_halves(family, here, number, bits)
        halves = np.concatenate([lower, lower + 1])
        old = rows[halves]
        alive[old[old >= 0]] = False
        left = rows < 0
        left[halves] = False
        if left.any():
            count = int(left.sum())
            made.append((pick(here, left), np.full(count, bits, np.uint8), number[left]))
        arrived = (pick(here, lower), number[lower]) if len(lower) else None
    if arrived is not None:
        made.append((arrived[0], np.zeros(len(arrived[1]), np.uint8), arrived[1]))
    if alive.all() and not made:
        return words, length, class_number
    keep = np.flatnonzero(alive)
    words = tuple(
        np.concatenate([word[keep], *(part[0][i] for part in made)]) for i, word in enumerate(words)
    )
    length = np.concatenate([length[keep], *(part[1] for part in made)])
    class_number = np.concatenate([class_number[keep], *(part[2] for part in made)])
    order = sort_order(words, length, of_sorted_runs=True)
    return pick(words, order), length[order], class_number[order]


def _differs(words: Words) -> NDArray[np.bool_]:
    """True where a row's address is another than the address of the row before it."""
    different: NDArray[np.bool_] = words[0][1:] != words[0][:-1]
    for word in words[1:]:
        different |= word[1:] != word[:-1]
    return different


def _lower_halves(
    family: Family, words: Words, number: NDArray[np.int32], bits: int
) -> NDArray[np.intp]:
    """Where a sorted prefix and the one after it are the two halves of one, and of one class."""
    if len(number) < 2:
        return np.zeros(0, np.intp)
    pair = number[1:] == number[:-1]
    for word, mask in zip(words, MASKS[family], strict=True):
        pair &= (word[1:] ^ word[:-1]) & mask[bits - 1] == 0
    return np.flatnonzero(pair)
