"""What to take out of one stage and put into it to make it another: constructed, never replayed.

In: two stages of one family and length. Out: two stages, removed and added; None when equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.tables import Keys, Stage

# Up to here the two are walked side by side from one difference to the next; beyond it a sort of
# everything is cheaper.
_WALKED_DIFFERENCES = 2000
_FIRST_BLOCK, _LARGEST_BLOCK = 64, 1 << 16


def delta(old: Stage, new: Stage) -> tuple[Stage, Stage] | None:
    """`(removed, added)`; a key whose class changes is in both. None when there is no change."""
    if (old.family, old.length) != (new.family, new.length):
        raise ValueError("a delta joins two stages of one family and length")
    if old.digest == new.digest:
        return None
    lost, gained = _walk(old, new) or _sorted_difference(old, new)
    return _part(old, lost), _part(new, gained)


def _part(stage: Stage, rows: NDArray[Any]) -> Stage:
    return Stage.of(stage.family, stage.length, stage.keys[rows], stage.classes[rows])


def _comparable(keys: Keys) -> NDArray[Any]:
    """Keys that numpy orders: bytes that end in zeros compare as such, whatever `S` cuts off."""
    return keys if keys.dtype == np.uint32 else keys.view("S16")


def _walk(old: Stage, new: Stage) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """The rows that leave and those that arrive, found by comparing long stretches at once. None
    when there are so many that this is slow.
    """
    mine, theirs = _comparable(old.keys), _comparable(new.keys)
    lost: list[int] = []
    gained: list[int] = []
    i, j, block = 0, 0, _FIRST_BLOCK
    while i < len(mine) and j < len(theirs):
        count = min(block, len(mine) - i, len(theirs) - j)
        different = mine[i : i + count] != theirs[j : j + count]
        different |= old.classes[i : i + count] != new.classes[j : j + count]
        first = int(different.argmax())
        if not different[first]:
            i, j, block = i + count, j + count, min(2 * block, _LARGEST_BLOCK)
            continue
        i, j, block = i + first, j + first, _FIRST_BLOCK
        # Both step over a key whose class changed.
        leaves, arrives = mine[i] <= theirs[j], mine[i] >= theirs[j]
        if leaves:
            lost.append(i)
            i += 1
        if arrives:
            gained.append(j)
            j += 1
        if len(lost) + len(gained) > _WALKED_DIFFERENCES:
            return None
    return (
        np.concatenate([np.array(lost, np.intp), np.arange(i, len(mine))]),
        np.concatenate([np.array(gained, np.intp), np.arange(j, len(theirs))]),
    )


def _sorted_difference(old: Stage, new: Stage) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same by one sort of both together, which for two sorted runs is a merge."""
    keys = np.concatenate([_comparable(old.keys), _comparable(new.keys)])
    classes = np.concatenate([old.classes, new.classes])
    order = np.argsort(keys, kind="stable")
    keys, classes = keys[order], classes[order]
    pair = np.flatnonzero((keys[1:] == keys[:-1]) & (classes[1:] == classes[:-1]))
    common = np.zeros(len(order), np.bool_)
    common[order[pair]] = True
    common[order[pair + 1]] = True
    return np.flatnonzero(~common[: len(old)]), np.flatnonzero(~common[len(old) :])
