"""What changed from one registry to another: rows, and addresses by category.

In: two registries and a day. Out: a `Difference`. Rows belong together by id and prefix: what is in
both with other words is changed. Counts are exact; of rows only line numbers are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.aggregate import aggregate
from enforcer.policy.prefix import FAMILIES, Family
from enforcer.policy.registry import Columns, Registry
from enforcer.policy.registry_columns import Words, masked, pick, run_starts, sort_order
from enforcer.registries.nesting import id_codes


@dataclass(frozen=True, slots=True)
class Line:
    """A row that is not in both. `old` and `new` are lines of the two files, None where it is in
    one only; `fields` are the names of those that differ.
    """

    old: int | None
    new: int | None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """Distinct prefixes and addresses valid on the day. `addresses` are IPv4, `slash_64s` those
    IPv6 /64s of which anything is registered: `(old, new, appear, vanish)` of each.
    """

    category: str
    prefixes: tuple[int, int, int, int]
    addresses: tuple[int, int, int, int]
    slash_64s: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Difference:
    """`lines` are the first rows that differ, in the order of the files, removed ones first."""

    added: int
    removed: int
    changed: int
    lines: tuple[Line, ...]
    categories: tuple[CategoryChange, ...]

    @property
    def is_none(self) -> bool:
        return not (self.added or self.removed or self.changed)


def compare(old: Registry, new: Registry, day: date, most: int = 20) -> Difference:
    """`most` rows are told. Rows that say the same twice count twice."""
    removed: list[tuple[int, int]] = []
    added: list[tuple[int, int]] = []
    changed: list[tuple[int, int]] = []
    for family in FAMILIES:
        gone, come = _leftovers(old, new, family)
        paired, left, right = _pairs(gone, come)
        changed += paired
        removed += [(0, int(row)) for row in left]
        added += [(0, int(row)) for row in right]
    first_removed = sorted(old.place(row)[1] for _, row in removed)[:most]
    first_added = sorted(new.place(row)[1] for _, row in added)[:most]
    first_changed = sorted(changed, key=lambda pair: new.place(pair[1]))[:most]
    lines = [
        *(Line(line, None) for line in first_removed),
        *(
            Line(old.place(a)[1], new.place(b)[1], _differing(old, a, new, b))
            for a, b in first_changed
        ),
        *(Line(None, line) for line in first_added),
    ]
    return Difference(
        len(added), len(removed), len(changed), tuple(lines[:most]), _categories(old, new, day)
    )


def _leftovers(
    old: Registry, new: Registry, family: Family
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the old that have no equal in the new, and the other way round, as two columns: the
    number of the row's id and prefix, and its row number.
    """
    sides = [(old, old.of_family(family)), (new, new.of_family(family))]
    names = {name: i for i, name in enumerate(dict.fromkeys(old.categories + new.categories))}
    lists = {each: i for i, each in enumerate(dict.fromkeys(old.services + new.services))}

    def both(column: Any) -> NDArray[Any]:
        return np.concatenate([column(registry, part) for registry, part in sides])

    words = tuple(
        np.concatenate(pair) for pair in zip(sides[0][1].words, sides[1][1].words, strict=True)
    )
    ids = np.concatenate(id_codes([part for _, part in sides]))
    length = both(lambda _, part: part.length)
    key = (ids, length, *reversed(words))
    rest = (
        both(lambda r, part: np.array([names[n] for n in r.categories], np.int32)[part.category]),
        both(lambda r, part: np.array([lists[n] for n in r.services], np.int32)[part.services]),
        both(lambda _, part: part.valid_from),
        both(lambda _, part: part.valid_until),
    )
    side = np.repeat(np.array([0, 1], np.int8), [len(part) for _, part in sides])
    order = np.lexsort((side, *rest, *key))
    side = side[order]
    group = np.cumsum(run_starts(*(column[order] for column in key))) - 1
    run = np.cumsum(run_starts(*(column[order] for column in (*key, *rest)))) - 1
    runs = int(run[-1]) + 1 if len(run) else 0
    counts = [np.bincount(run[side == s], minlength=runs) for s in (0, 1)]
    begins = np.concatenate([[0], np.cumsum(counts[0] + counts[1])])[:-1]
    place = np.arange(len(order)) - begins[run]
    place = np.where(side == 1, place - counts[0][run], place)
    # As many as the other side has too are equal; what is beyond has no equal.
    spare = place >= np.where(side == 0, counts[1][run], counts[0][run])
    found = []
    for number, (registry, part) in enumerate(sides):
        mine = spare & (side == number)
        rows = order[mine] - (len(sides[0][1]) if number else 0) + registry.first_row(part.family)
        found.append(np.stack([group[mine], rows]).astype(np.int64))
    return found[0], found[1]


def _pairs(
    gone: NDArray[np.int64], come: NDArray[np.int64]
) -> tuple[list[tuple[int, int]], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of one id and prefix that are in both, one by one, and the rows that remain."""

    def ranked(group: NDArray[np.int64]) -> NDArray[np.int64]:
        first = np.flatnonzero(run_starts(group))
        rank = np.arange(len(group)) - np.repeat(first, np.diff(np.append(first, len(group))))
        return group << 32 | rank

    _, mine, theirs = np.intersect1d(
        ranked(gone[0]), ranked(come[0]), assume_unique=True, return_indices=True
    )
    pairs = list(zip(gone[1][mine].tolist(), come[1][theirs].tolist(), strict=True))
    return pairs, np.delete(gone[1], mine), np.delete(come[1], theirs)


def _differing(old: Registry, a: int, new: Registry, b: int) -> tuple[str, ...]:
    one, other = old.row(a), new.row(b)
    names = ("category", "valid_from", "valid_until", "services")
    return tuple(name for name in names if getattr(one, name) != getattr(other, name))


def _categories(old: Registry, new: Registry, day: date) -> tuple[CategoryChange, ...]:
    found = []
    for name in dict.fromkeys(old.categories + new.categories):
        parts = {f: (_valid(old, name, day, f), _valid(new, name, day, f)) for f in FAMILIES}
        prefixes = [_change(*parts[f], _distinct, f) for f in FAMILIES]
        change = CategoryChange(
            name,
            tuple(map(sum, zip(*prefixes, strict=True))),  # type: ignore[arg-type]
            _change(*parts[4], _addresses, 4),
            _change(*parts[6], _slash_64s, 6),
        )
        if any(change.prefixes):
            found.append(change)
    return tuple(found)


_Part = tuple[Words, NDArray[np.uint8]]


def _valid(registry: Registry, category: str, day: date, family: Family) -> _Part:
    columns: Columns = registry.of_family(family)
    number = registry.categories.index(category) if category in registry.categories else -1
    rows = columns.valid(day) & (columns.category == number)
    return pick(columns.words, rows), columns.length[rows]


def _change(old: _Part, new: _Part, measure: Any, family: Family) -> tuple[int, int, int, int]:
    words = tuple(np.concatenate(pair) for pair in zip(old[0], new[0], strict=True))
    union = measure(family, words, np.concatenate([old[1], new[1]]))
    before, after = measure(family, *old), measure(family, *new)
    return before, after, union - before, union - after


def _distinct(_: Family, words: Words, length: NDArray[np.uint8]) -> int:
    order = sort_order(words, length)
    return int(run_starts(*pick(words, order), length[order]).sum()) if len(length) else 0


def _addresses(family: Family, words: Words, length: NDArray[np.uint8]) -> int:
    _, lengths = aggregate(family, words, length)
    return _size(lengths, 32)


def _slash_64s(family: Family, words: Words, length: NDArray[np.uint8]) -> int:
    cut = np.minimum(length, 64).astype(np.uint8)
    _, lengths = aggregate(family, masked(words, family, cut), cut)
    return _size(lengths, 64)


def _size(lengths: NDArray[np.uint8], bits: int) -> int:
    counts = np.bincount(lengths, minlength=bits + 1).tolist()
    return sum(count << (bits - length) for length, count in enumerate(counts))
