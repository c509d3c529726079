"""Which rows of two registries are the same: what a file says again need not be worked out again.

In: the columns of a family, before and after. Out: runs of rows that say the same in the same order
(prefix, category, services, dates; not ids). Files change by a few rows, so the two are walked side
by side, long stretches at once, from one difference to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import Family
from enforcer.policy.registry_columns import Registry

# More than this is not followed: everything anew is then hardly slower.
MOST_CHANGES = 2000
_FIRST_BLOCK, _LARGEST_BLOCK = 64, 1 << 16
# Behind a difference the two are looked through so far for where they go on alike, and so many rows
# alike are believed (whatever is believed is compared: a wrong guess is a longer list of changes).
_LOOK_AHEAD, _ALIKE = (64, 1024), 3
_Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Run:
    """Rows `[old, old + count)` of the one say what rows `[new, new + count)` of the other say."""

    old: int
    new: int
    count: int


def same_rows(old: Registry, new: Registry, family: Family) -> list[Run] | None:
    """The runs, in order in both; None when too much has changed. Row numbers are the family's."""
    if old.categories != new.categories:
        return None
    mine, theirs = _columns(old, family), _columns(new, family)
    if old.services != new.services:
        index = {services: number for number, services in enumerate(new.services)}
        # A list of services that is no longer there equals none.
        known = np.array([index.get(s, 1 << 16) for s in old.services], np.uint32)
        mine[-1] = known[mine[-1]]
    return _walk(mine, theirs)


def _columns(registry: Registry, family: Family) -> list[_Column]:
    c = registry.of_family(family)
    return [*c.words, c.length, c.category, c.valid_from, c.valid_until, c.services]


def _walk(mine: list[_Column], theirs: list[_Column]) -> list[Run] | None:
    runs: list[Run] = []
    ends = len(mine[0]), len(theirs[0])
    i, j, block = 0, 0, _FIRST_BLOCK
    begun, changes = (0, 0), 0
    while i < ends[0] and j < ends[1]:
        count = min(block, ends[0] - i, ends[1] - j)
        first = _first_difference(mine, theirs, i, j, count)
        i, j = i + first, j + first
        if first == count:
            block = min(2 * block, _LARGEST_BLOCK)
            continue
        if i > begun[0]:
            runs.append(Run(*begun, i - begun[0]))
        step = _resume(mine, theirs, i, j)
        if step is None:
            return None
        i, j, block = i + step[0], j + step[1], _FIRST_BLOCK
        begun, changes = (i, j), changes + sum(step)
        if changes > MOST_CHANGES:
            return None
    if i > begun[0]:
        runs.append(Run(*begun, i - begun[0]))
    return runs if changes + ends[0] - i + ends[1] - j <= MOST_CHANGES else None


def _first_difference(
    mine: list[_Column], theirs: list[_Column], i: int, j: int, count: int
) -> int:
    different = np.zeros(count, np.bool_)
    for a, b in zip(mine, theirs, strict=True):
        different |= a[i : i + count] != b[j : j + count]
    first = int(different.argmax())
    return first if different[first] else count


def _resume(mine: list[_Column], theirs: list[_Column], i: int, j: int) -> tuple[int, int] | None:
    """How many rows to leave out on either side until both go on alike, the fewest together."""
    for ahead in _LOOK_AHEAD:
        here, there = _rows(mine, i, ahead), _rows(theirs, j, ahead)
        places: dict[tuple[int, ...], int] = {}
        for b, row in enumerate(there):
            places.setdefault(row, b)
        found = [(a + places[row], a, places[row]) for a, row in enumerate(here) if row in places]
        for _, a, b in sorted(found):
            if here[a : a + _ALIKE] == there[b : b + len(here[a : a + _ALIKE])]:
                return a, b
        if len(here) < ahead and len(there) < ahead:
            # Nothing alike up to the end of both.
            return len(here), len(there)
    return None


def _rows(columns: list[_Column], at: int, count: int) -> list[tuple[int, ...]]:
    return list(zip(*(column[at : at + count].tolist() for column in columns), strict=True))
