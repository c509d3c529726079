"""The registry of one day → hash stages for the kernel: controlled prefix expansion.

In: the radix tree and a memory budget. Out: `Tables`. Method: V. Srinivasan and G. Varghese, "Fast
address lookups using controlled prefix expansion", ACM TOCS 17(1), 1999.

First the prefixes are aggregated: sibling prefixes of one class become their parent, and what says
the same as the prefix around it goes. Then a few lengths are chosen for each family by cost under
the budget (`stages.py`), and every prefix is expanded to the next of these lengths; inside a stage
the longest prefix wins.

Stages are looked up from the longest to the shortest, always: then the first hit is the longest
match whatever is nested in what. Another order would be right only while no prefix of one stage
lies in a prefix of another, so one new row could turn the rules round; measured it wins nothing
(shared facts: the /24 first 1.36, the /32 first 1.35).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.classes import classify_nodes
from enforcer.lookup.stages import choose_lengths, estimated_cost, kernel_bytes
from enforcer.lookup.tables import Keys, LookupClass, Stage, Tables
from enforcer.lookup.tree import FamilyTree, RadixTree, parents
from enforcer.policy.prefix import BITS, FAMILIES, Family
from enforcer.policy.registry_columns import MASKS, Words, pick, sort_order


def plan(tree: RadixTree, budget_bytes: int) -> Tables:
    """The stages that stand for the tree, equal for equal registries.

    Raises PolicyError when no choice of stages fits into `budget_bytes` of kernel memory.
    """
    classes = classify_nodes(tree)
    nodes = {
        family: _aggregate(tree.of_family(family), classes.of_family(family)) for family in FAMILIES
    }
    counts = {
        family: np.bincount(nodes[family].length, minlength=BITS[family] + 1).tolist()
        for family in FAMILIES
    }
    lengths = choose_lengths(counts, budget_bytes)
    stages = [
        stage
        for family in FAMILIES
        for stage in _stages(family, nodes[family], lengths[family], classes.ids)
    ]
    used = np.zeros(len(classes.classes), np.bool_)
    for part in nodes.values():
        used[part.class_number] = True
    return Tables(
        stages=tuple(stages),
        classes=tuple(classes.classes[i] for i in np.flatnonzero(used).tolist()),
        prefixes=tuple(entry for family in FAMILIES for entry in _counted(tree, family)),
        front=front_of(nodes[4].words[0], nodes[4].length) if len(nodes[4].length) else None,
    )


# Beyond a quarter of the address space most unregistered addresses pass the filter; and the kernel
# looks for each new element of a bitmap set through all the others (nft_bitmap_insert).
FRONT_AT_MOST = 1 << 14


def front_of(network: NDArray[np.uint32], length: NDArray[np.uint8]) -> Stage | None:
    """The /16s that hold any of these IPv4 prefixes, as a stage; None when they are too many."""
    blocks = network >> np.uint32(16)
    wide = np.flatnonzero(length < 16)
    spans = [
        np.arange(blocks[i], int(blocks[i]) + (1 << (16 - int(length[i]))), dtype=np.uint32)
        for i in wide.tolist()
    ]
    blocks = np.unique(np.concatenate([blocks, *spans]))
    if len(blocks) > FRONT_AT_MOST:
        return None
    return Stage.of(4, 16, blocks << np.uint32(16), np.zeros(len(blocks), np.uint32))


def _counted(tree: RadixTree, family: Family) -> list[tuple[Family, str, int]]:
    """As `Registry.count`, from the rows that the tree has in order already."""
    part, registry = tree.of_family(family), tree.registry
    category = registry.of_family(family).category[part.rows - registry.first_row(family)]
    first = category[part.row_starts[:-1]]
    counts = np.bincount(first, minlength=len(registry.categories))
    if len(part.rows) > len(part):
        node = np.repeat(np.arange(len(part)), np.diff(part.row_starts))
        more = np.flatnonzero(category != first[node])
        pairs = np.unique(node[more] * len(registry.categories) + category[more])
        counts += np.bincount(pairs % len(registry.categories), minlength=len(counts))
    return [
        (family, name, int(count))
        for name, count in zip(registry.categories, counts, strict=True)
        if count
    ]


def classify(tables: Tables, family: Family, address: int) -> LookupClass | None:
    """What the kernel finds for an address: the stages in their order, the first hit."""
    hit = first_hit(tables, family, address)
    if hit is None:
        return None
    stage, place = hit
    number = int(stage.classes[place])
    return next(entry for entry in tables.classes if entry.id == number)


def first_hit(tables: Tables, family: Family, address: int) -> tuple[Stage, int] | None:
    """The stage that answers for an address, and the place of its key; None when none does."""
    for stage in tables.of_family(family):
        bits = BITS[family]
        key = address >> (bits - stage.length) << (bits - stage.length)
        place = _find(stage.keys, family, key)
        if place is not None:
            return stage, place
    return None


def _find(keys: Keys, family: Family, key: int) -> int | None:
    wanted: Any = key if family == 4 else key.to_bytes(16, "big")
    first, last = 0, len(keys)
    while first < last:
        middle = (first + last) // 2
        found: Any = int(keys[middle]) if family == 4 else keys[middle].tobytes()
        if found == wanted:
            return middle
        if found < wanted:
            first = middle + 1
        else:
            last = middle
    return None


def explain_plan(tables: Tables, budget_bytes: int) -> list[str]:
    """The choice in words: a line a stage in lookup order, then memory and cost."""
    lines = []
    total = 0
    for family in FAMILIES:
        stages = tables.of_family(family)
        if not stages:
            lines.append(f"IPv{family}: nothing registered, no lookup")
            continue
        cost = sum(estimated_cost(len(stage)) for stage in stages)
        registered = sum(count for f, _, count in tables.prefixes if f == family)
        noun = "stage" if len(stages) == 1 else "stages"
        lines.append(
            f"IPv{family}: {registered:,} registered prefixes in {len(stages)} {noun}; a packet "
            f"that misses them all costs {cost:.2f} of a bare forwarded packet more"
        )
        for number, stage in enumerate(stages, 1):
            memory = kernel_bytes(family, len(stage))
            total += memory
            lines.append(
                f"  {number}. /{stage.length}: {len(stage):,} elements, "
                f"{memory / 2**20:.1f} MB, cost {estimated_cost(len(stage)):.2f}"
            )
    lines.append(
        f"{total / 2**20:.1f} MB of kernel memory of {budget_bytes / 2**20:.0f} MB allowed, "
        f"{len(tables.classes)} classes; costs are estimates"
    )
    return lines


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Distinct prefixes in pre-order, each with the number of its class."""

    words: Words
    length: NDArray[np.uint8]
    class_number: NDArray[np.int32]
    parent: NDArray[np.int32]


def _aggregate(tree: FamilyTree, class_number: NDArray[np.int32]) -> _Nodes:
    """Fewer prefixes with the same longest match everywhere."""
    words, length, class_number = _merge_siblings(
        tree.family, tree.words, tree.length, class_number
    )
    parent = tree.parent if words is tree.words else parents(tree.family, words, length)
    # The parent's own class is right even where the parent itself goes: it equals what is around.
    same = (parent >= 0) & (class_number[parent] == class_number) if len(parent) else parent < 0
    if same.any():
        keep = np.flatnonzero(~same)
        words, length, class_number = pick(words, keep), length[keep], class_number[keep]
        parent = parents(tree.family, words, length)
    return _Nodes(words, length, class_number, parent)


def _merge_siblings(
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
    present = np.bincount(length, minlength=BITS[family] + 1)
    for bits in range(BITS[family], 0, -1):
        if not present[bits] and arrived is None:
            continue
        rows = np.flatnonzero(length == bits)
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


def _stages(
    family: Family, nodes: _Nodes, lengths: tuple[int, ...], ids: NDArray[np.uint32]
) -> list[Stage]:
    stages = []
    for length, below in pairwise((*lengths, -1)):
        inside = (nodes.length <= length) & (nodes.length.astype(np.int16) > below)
        rows = np.flatnonzero(inside)
        words, number = _expand(family, nodes, rows, length)
        keys = _packed(words)
        occurring = ids[np.flatnonzero(np.bincount(number, minlength=len(ids)))]
        stages.append(Stage.of(family, length, keys, ids[number], frozenset(occurring.tolist())))
    return stages


def _expand(
    family: Family, nodes: _Nodes, rows: NDArray[np.intp], length: int
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
    family: Family, nodes: _Nodes, rows: NDArray[np.intp], length: int
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
    return np.searchsorted(_packed(words).view(_TEXT), _packed(wanted).view(_TEXT))


_TEXT = np.dtype("S16")


def _packed(words: Words) -> Keys:
    """uint32 for IPv4, V16 in network order for IPv6."""
    if len(words) == 1:
        return np.ascontiguousarray(words[0], np.uint32)
    pairs = np.empty((len(words[0]), 2), ">u8")
    pairs[:, 0], pairs[:, 1] = words
    return pairs.view("V16").reshape(-1)
