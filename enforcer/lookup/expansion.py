"""Prefixes of several lengths as addresses cut to one length: the keys of a stage.

In: nodes in pre-order. Out: the addresses, sorted, each with the class of its longest prefix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.nodes import Nodes
from enforcer.lookup.tables import Keys
from enforcer.policy.prefix import Family
from enforcer.policy.registry_columns import Words, pick


def expand(
    family: Family, nodes: Nodes, rows: NDArray[np.intp], length: int
) -> tuple[Words, NDArray[np.int32]]:
    """The prefixes `rows` of one stage as addresses cut to `length`, sorted, longest prefix first.

    The outermost of them follow one another without overlap, so their expansions are sorted as
    they are; what lies inside only replaces classes, the deeper the later.
    """
    member = np.zeros(len(nodes.length), np.bool_)
    member[rows] = True
    parent = nodes.parent[rows]
    nested = (parent >= 0) & member[parent]
    depth = np.zeros(len(nodes.length), np.int16)
    inner = rows[nested]
    nested_at = np.zeros(len(nodes.length), np.bool_)
    nested_at[inner] = True
    # In pre-order a parent stands before its children, but not beside: walk down level by level.
    deepest, waiting = 0, inner
    while len(waiting):
        settled = (depth != 0)[nodes.parent[waiting]] | ~nested_at[nodes.parent[waiting]]
        depth[waiting[settled]] = depth[nodes.parent[waiting[settled]]] + 1
        waiting = waiting[~settled]
        deepest += 1
    words, number = _blocks(family, nodes, rows[~nested], length)
    for level in range(1, deepest + 1):
        at_level = inner[depth[inner] == level]
        inside, inside_number = _blocks(family, nodes, at_level, length)
        number[_positions(words, inside)] = inside_number
    return words, number


def _blocks(
    family: Family, nodes: Nodes, rows: NDArray[np.intp], length: int
) -> tuple[Words, NDArray[np.int32]]:
    """Each prefix as all addresses of `length` in it, one block after the other."""
    own = nodes.length[rows].astype(np.int64)
    words, number = pick(nodes.words, rows), nodes.class_number[rows]
    if not len(rows) or int(own.min()) == length:
        return words, number
    size = np.int64(1) << (length - own)
    begin = np.cumsum(size) - size
    step = (np.arange(int(size.sum())) - np.repeat(begin, size)).astype(np.uint64)
    number = np.repeat(number, size)
    if family == 4:
        shifted = (step << np.uint64(32 - length)).astype(np.uint32)
        return (np.repeat(words[0], size) | shifted,), number
    high, low = np.repeat(words[0], size), np.repeat(words[1], size)
    # No block has 2**64 addresses, so a step is one word; it may straddle the two.
    if length <= 64:
        return (high | step << np.uint64(64 - length), low), number
    low |= step << np.uint64(128 - length)
    return (high | step >> np.uint64(length - 64) if length < 128 else high, low), number


def _positions(words: Words, wanted: Words) -> NDArray[np.intp]:
    """Where each of the wanted addresses, all present, stands in the sorted distinct addresses."""
    if len(words) == 1:
        return np.searchsorted(words[0], wanted[0])
    return np.searchsorted(packed(words).view(_TEXT), packed(wanted).view(_TEXT))


_TEXT = np.dtype("S16")


def packed(words: Words) -> Keys:
    """uint32 for IPv4, V16 in network order for IPv6."""
    if len(words) == 1:
        return np.ascontiguousarray(words[0], np.uint32)
    pairs = np.empty((len(words[0]), 2), ">u8")
    pairs[:, 0], pairs[:, 1] = words
    return pairs.view("V16").reshape(-1)
