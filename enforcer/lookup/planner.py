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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.classes import classify_nodes
from enforcer.lookup.expansion import expand, packed
from enforcer.lookup.nodes import NO_PARENTS, Nodes, aggregate
from enforcer.lookup.stages import choose_lengths, estimated_cost, kernel_bytes
from enforcer.lookup.tables import Keys, LookupClass, Stage, Tables
from enforcer.lookup.tree import RadixTree
from enforcer.policy.prefix import BITS, FAMILIES, Family
from enforcer.policy.registry_columns import run_starts


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """Tables, and what they were made of, from which others are made when little changes.

    `nodes` are the aggregated prefixes, with ids of classes and without parents; `uses` says how
    many of them are of each class; `counts[family][length]` how many have that length.
    """

    tree: RadixTree
    budget_bytes: int
    nodes: Mapping[Family, Nodes]
    counts: Mapping[Family, list[int]]
    uses: Mapping[int, int]
    tables: Tables


def plan(tree: RadixTree, budget_bytes: int) -> Tables:
    """The stages that stand for the tree, equal for equal registries.

    Raises PolicyError when no choice of stages fits into `budget_bytes` of kernel memory.
    """
    return planned(tree, budget_bytes).tables


def planned(tree: RadixTree, budget_bytes: int) -> Planned:
    """As `plan`, with what the next plan can be made of."""
    classes = classify_nodes(tree)
    nodes = {
        family: aggregate(tree.of_family(family), classes.of_family(family)) for family in FAMILIES
    }
    counts = {
        family: np.bincount(nodes[family].length, minlength=BITS[family] + 1).tolist()
        for family in FAMILIES
    }
    lengths = choose_lengths(counts, budget_bytes)
    ids = classes.ids
    stages = [
        stage
        for family in FAMILIES
        for stage in _stages(family, nodes[family], lengths[family], ids)
    ]
    used = np.zeros(len(ids), np.int64)
    for part in nodes.values():
        used += np.bincount(part.class_number, minlength=len(ids))
    tables = Tables(
        stages=tuple(stages),
        classes=tuple(classes.classes[i] for i in np.flatnonzero(used).tolist()),
        prefixes=tuple(entry for family in FAMILIES for entry in counted(tree, family)),
        front=front_of(nodes[4].words[0], nodes[4].length) if len(nodes[4].length) else None,
    )
    kept = {
        family: replace(part, class_number=ids[part.class_number], parent=NO_PARENTS)
        for family, part in nodes.items()
    }
    return Planned(tree, budget_bytes, kept, counts, _by_id(ids, used), tables)


def _by_id(ids: NDArray[np.uint32], counts: NDArray[Any]) -> dict[int, int]:
    present = np.flatnonzero(counts)
    return dict(zip(ids[present].tolist(), counts[present].tolist(), strict=True))


# Beyond a quarter of the address space most unregistered addresses pass the filter; and the kernel
# looks for each new element of a bitmap set through all the others (nft_bitmap_insert).
FRONT_AT_MOST = 1 << 14


def front_of(network: NDArray[np.uint32], length: NDArray[np.uint8]) -> Stage | None:
    """The /16s that hold any of these IPv4 prefixes, as a stage; None when they are too many."""
    blocks = network >> np.uint32(16)
    # They are sorted: the first of each block stands for it.
    blocks = blocks[run_starts(blocks)]
    if len(blocks) > FRONT_AT_MOST:
        return None
    wide = np.flatnonzero(length < 16)
    spans = [
        np.arange(first, first + (1 << (16 - bits)), dtype=np.uint32)
        for first, bits in zip((network[wide] >> 16).tolist(), length[wide].tolist(), strict=True)
    ]
    blocks = np.unique(np.concatenate([blocks, *spans]))
    if len(blocks) > FRONT_AT_MOST:
        return None
    return Stage.of(4, 16, blocks << np.uint32(16), np.zeros(len(blocks), np.uint32))


def counted(tree: RadixTree, family: Family) -> list[tuple[Family, str, int]]:
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


def _stages(
    family: Family, nodes: Nodes, lengths: tuple[int, ...], ids: NDArray[np.uint32]
) -> list[Stage]:
    stages = []
    for length, below in pairwise((*lengths, -1)):
        inside = (nodes.length <= length) & (nodes.length.astype(np.int16) > below)
        rows = np.flatnonzero(inside)
        words, number = expand(family, nodes, rows, length)
        uses = _by_id(ids, np.bincount(number, minlength=len(ids)))
        stages.append(Stage.of(family, length, packed(words), ids[number], uses))
    return stages
