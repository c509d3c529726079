"""The stages of a plan with the keys of a few blocks of addresses made anew.

In: the plan before, and what is in the blocks now. Out: its stages; those in which nothing has
changed are the same objects, so that what is known of them stays known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.expansion import expand, packed
from enforcer.lookup.nodes import Nodes
from enforcer.lookup.tables import Keys, LookupClass, Stage, Tables
from enforcer.lookup.tree import first_at, parents
from enforcer.policy.prefix import FAMILIES, Prefix
from enforcer.policy.registry_columns import Words, pick


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What is in `prefix` now, itself left out: `nodes`, in place of those from `start` to `stop`
    of the plan before. `around` is the longest of its prefixes that holds this one: length and
    class.
    """

    prefix: Prefix
    nodes: Nodes
    classes: tuple[LookupClass, ...]
    start: int
    stop: int
    around: tuple[int, int] | None


def root_words(block: Prefix, like: Words) -> Words:
    parts = [block.network] if len(like) == 1 else [block.network >> 64, block.network % (1 << 64)]
    return tuple(np.array([p], word.dtype) for p, word in zip(parts, like, strict=True))


def stages_again(before: Tables, blocks: list[Block]) -> list[Stage]:
    found: list[Stage] = []
    for family in FAMILIES:
        mine = [block for block in blocks if block.prefix.family == family]
        stages = before.of_family(family)
        belows = [stage.length for stage in stages[1:]] + [-1]
        found += [_stage(stage, below, mine) for stage, below in zip(stages, belows, strict=False)]
    return found


def _stage(old: Stage, below: int, blocks: list[Block]) -> Stage:
    """The stage for lengths above `below`, its keys in each of the blocks made anew."""
    keys: list[Keys] = []
    classes: list[NDArray[np.uint32]] = []
    uses = Counter(old.uses())
    at, changed = 0, False
    for block in (b for b in blocks if b.prefix.length < old.length):
        start, stop = (_place(old, address) for address in _ends(block.prefix))
        new_keys, new_classes = _expanded(old, below, block)
        here = old.keys[start:stop], old.classes[start:stop]
        if here[0].tobytes() == new_keys.tobytes() and np.array_equal(here[1], new_classes):
            continue
        changed = True
        uses.subtract(Counter(here[1].tolist()))
        uses.update(Counter(new_classes.tolist()))
        keys += [old.keys[at:start], new_keys]
        classes += [old.classes[at:start], new_classes]
        at = stop
    if not changed:
        return old
    return Stage.of(
        old.family,
        old.length,
        np.concatenate([*keys, old.keys[at:]]),
        np.concatenate([*classes, old.classes[at:]]),
        {number: count for number, count in uses.items() if count},
    )


def _expanded(stage: Stage, below: int, block: Block) -> tuple[Keys, NDArray[np.uint32]]:
    """The block's keys in the stage. A prefix around it fills it, where this stage holds that."""
    nodes = block.nodes
    rows = np.flatnonzero((nodes.length <= stage.length) & (nodes.length.astype(np.int16) > below))
    words, length = pick(nodes.words, rows), nodes.length[rows]
    classes = nodes.class_number[rows]
    if block.around is not None and block.around[0] > below:
        top = root_words(block.prefix, words)
        words = tuple(np.concatenate(pair) for pair in zip(top, words, strict=True))
        length = np.concatenate([np.array([block.prefix.length], np.uint8), length])
        classes = np.concatenate([np.array([block.around[1]], np.uint32), classes])
    part = Nodes(words, length, classes, parents(stage.family, words, length))
    made, ids = expand(stage.family, part, np.arange(len(length)), stage.length)
    return packed(made), ids.astype(np.uint32)


def _ends(prefix: Prefix) -> tuple[int, int]:
    return prefix.network, prefix.last + 1


def _place(stage: Stage, address: int) -> int:
    """The first key at or after the address."""
    if stage.family == 4:
        return first_at([stage.keys.data], address)
    if address >> 128:
        return len(stage.keys)
    wanted = address.to_bytes(16, "big")
    first, last = 0, len(stage.keys)
    while first < last:
        middle = (first + last) // 2
        if stage.keys[middle].tobytes() < wanted:
            first = middle + 1
        else:
            last = middle
    return first
