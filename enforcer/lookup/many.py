"""The radix tree asked for many addresses at a time: what a capture of millions of packets needs.

In: a tree, and addresses as words (uint32 for IPv4; high and low uint64 for IPv6). Out: for each
address the node of its longest prefix, -1 for none: just what `FamilyTree.node_of` says of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.tree import FamilyTree
from enforcer.policy.registry_columns import Words, masked, pick

# numpy orders and searches byte strings; of equal width they compare as the addresses do.
_TEXT = np.dtype("S16")


def packed(high: NDArray[np.uint64], low: NDArray[np.uint64]) -> NDArray[Any]:
    """IPv6 addresses as 16 bytes each, in network order, so that numpy can compare them."""
    pairs = np.empty((len(high), 2), ">u8")
    pairs[:, 0], pairs[:, 1] = high, low
    return pairs.view(_TEXT).reshape(-1)


class ManyLookup:
    """Longest match in `tree` for arrays of addresses. Built once, asked for each chunk."""

    def __init__(self, tree: FamilyTree) -> None:
        self._tree = tree
        self._keys = tree.words[0] if tree.family == 4 else packed(*tree.words)

    def nodes_of(self, words: Words) -> NDArray[np.int32]:
        """The last node that begins at or before an address, then up to the first that covers it.

        Nodes are in pre-order: of those that begin at one address the longest comes last, so the
        first cover on the way up is the longest match.
        """
        tree = self._tree
        if not len(tree):
            return np.full(len(words[0]), -1, np.int32)
        wanted = words[0] if tree.family == 4 else packed(*words)
        node = (np.searchsorted(self._keys, wanted, "right") - 1).astype(np.int32)
        open_ = np.flatnonzero(node >= 0)
        while len(open_):
            here = node[open_]
            covered = np.ones(len(open_), np.bool_)
            cut = masked(pick(words, open_), tree.family, tree.length[here])
            for mine, theirs in zip(cut, pick(tree.words, here), strict=True):
                covered &= mine == theirs
            open_ = open_[~covered]
            node[open_] = tree.parent[node[open_]]
            open_ = open_[node[open_] >= 0]
        return node
