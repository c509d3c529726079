"""The fewest prefixes that hold just the addresses of many: for lists that routers match against.

In: the words and lengths of prefixes of one family, in any order, overlapping or not. Out: the same
addresses as sorted, disjoint prefixes of which no two could be one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.tree import parents
from enforcer.policy.prefix import Family
from enforcer.policy.registry_columns import Words, masked, pick, run_starts, sort_order


def aggregate(
    family: Family, words: Words, length: NDArray[np.uint8]
) -> tuple[Words, NDArray[np.uint8]]:
    """Words and lengths of the minimal cover, sorted by address."""
    order = sort_order(words, length)
    words, length = pick(words, order), length[order]
    distinct = run_starts(*words, length)
    words, length = pick(words, distinct), length[distinct]
    top = parents(family, words, length) < 0
    words, length = pick(words, top), length[top]
    while True:
        second = _second_halves(family, words, length)
        if not len(second):
            return words, length
        length[second - 1] -= 1
        keep = np.ones(len(length), np.bool_)
        keep[second] = False
        words, length = pick(words, keep), length[keep]


def _second_halves(family: Family, words: Words, length: NDArray[np.uint8]) -> NDArray[Any]:
    """The places of prefixes that make one with the prefix before them."""
    if len(length) < 2:
        return np.zeros(0, np.intp)
    same = (length[1:] == length[:-1]) & (length[1:] > 0)
    above = np.maximum(length, 1) - 1
    for cut in masked(words, family, above):
        # Disjoint, of one length and inside one prefix of the next length: its two halves.
        same &= cut[1:] == cut[:-1]
    return np.flatnonzero(same) + 1
