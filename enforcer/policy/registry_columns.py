"""Registrations as columns: what a parsed registry is, at a million rows as at twenty.

In: columns that the parser of `registry.py` checked. Out: one row on demand, counts, comparisons.
There is never an object per prefix. Addresses are *words*: one uint32 column for IPv4, two uint64
columns (high, low) for IPv6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import BITS, FAMILIES, Family, Prefix, Service

Words = tuple[NDArray[Any], ...]

# Days since 1970-01-01 that stand for an empty valid_from and an empty valid_until.
ALWAYS = -(2**31)
FOREVER = 2**31 - 1
_EPOCH = date(1970, 1, 1).toordinal()


def _masks(family: Family) -> Words:
    bits = BITS[family]
    masks = [((1 << bits) - 1) ^ ((1 << (bits - length)) - 1) for length in range(bits + 1)]
    if family == 4:
        return (np.array(masks, np.uint32),)
    low = (1 << 64) - 1
    return np.array([m >> 64 for m in masks], np.uint64), np.array(
        [m & low for m in masks], np.uint64
    )


# By family and length, as words.
MASKS: dict[Family, Words] = {family: _masks(family) for family in FAMILIES}


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH


def join_words(words: Words, index: int) -> int:
    """The address at `index` as an integer."""
    if len(words) == 1:
        return int(words[0][index])
    return int(words[0][index]) << 64 | int(words[1][index])


def pick(words: Words, rows: Any) -> Words:
    """The words at an index array, a mask or a slice."""
    return tuple(word[rows] for word in words)


def masked(words: Words, family: Family, length: Any) -> Words:
    """The addresses cut to `length` (one number, or one each)."""
    return tuple(word & mask[length] for word, mask in zip(words, MASKS[family], strict=True))


def sort_order(
    words: Words, minor: NDArray[Any], *, of_sorted_runs: bool = False
) -> NDArray[np.intp]:
    """The order by address, then by `minor` (below 2**32), then as they stand. Cheapest for IPv4 in
    a few sorted runs, when told so.
    """
    if of_sorted_runs and len(words) == 1:
        keys = words[0].astype(np.uint64) << np.uint64(32) | minor.astype(np.uint64)
        return np.argsort(keys, kind="stable")
    # Numbers of 16 bits are sorted by radix: two to three times as fast.
    return np.lexsort([half for column in (minor, *words[::-1]) for half in _halves(column)])


def _halves(column: NDArray[Any]) -> list[NDArray[Any]]:
    """The column as columns of 16 bits, the least significant first; as it is when it is short."""
    bits = 8 * column.dtype.itemsize
    if bits <= 16:
        return [column]
    return [(column >> column.dtype.type(at)).astype(np.uint16) for at in range(0, bits, 16)]


def run_starts(*columns: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a row of sorted columns differs from the row before it, and on the first row."""
    starts = np.ones(len(columns[0]), np.bool_)
    if len(starts) > 1:
        np.not_equal(columns[0][1:], columns[0][:-1], out=starts[1:])
        for column in columns[1:]:
            starts[1:] |= column[1:] != column[:-1]
    return starts


@dataclass(frozen=True, slots=True)
class Registration:
    """One row, for people: `valid_until` is included; no services means any service."""

    id: str
    prefix: Prefix
    category: str
    valid_from: date | None
    valid_until: date | None
    services: tuple[Service, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The rows of one family, in the order of the files.

    `category` and `services` index the registry's tuples; dates are days since 1970-01-01 with
    `ALWAYS` and `FOREVER` for none. `ids[id_ends[i-1]:id_ends[i]]` is the id in UTF-8, empty where
    a plain list gave none. `file` indexes the registry's `files`, `line` counts from 1.
    """

    family: Family
    words: Words
    length: NDArray[np.uint8]
    category: NDArray[np.uint16]
    valid_from: NDArray[np.int32]
    valid_until: NDArray[np.int32]
    services: NDArray[np.uint16]
    ids: bytes
    id_ends: NDArray[np.uint32]
    file: NDArray[np.uint16]
    line: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.length)

    def valid(self, day: date) -> NDArray[np.bool_]:
        """Which rows are valid on the UTC day, first and last day included."""
        number = day_number(day)
        return (self.valid_from <= number) & (self.valid_until >= number)

    def prefix(self, index: int) -> Prefix:
        return Prefix(self.family, join_words(self.words, index), int(self.length[index]))


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """All registrations. Row numbers run over the IPv4 rows, then over the IPv6 rows.

    `services` is sorted; `services[0]` is the empty tuple: any service. Rows that say the same
    twice are both kept.
    """

    categories: tuple[str, ...]
    services: tuple[tuple[Service, ...], ...]
    files: tuple[str, ...]
    v4: Columns
    v6: Columns
    # What was found out once; never part of it.
    _known: dict[str, str] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.v4) + len(self.v6)

    def of_family(self, family: Family) -> Columns:
        return self.v4 if family == 4 else self.v6

    def first_row(self, family: Family) -> int:
        """The row number at which the family's rows begin."""
        return 0 if family == 4 else len(self.v4)

    def _place(self, row: int) -> tuple[Columns, int]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        return (self.v4, row) if row < len(self.v4) else (self.v6, row - len(self.v4))

    def row(self, row: int) -> Registration:
        """The registration with this row number. A row without an id has its prefix for one."""
        columns, i = self._place(row)
        prefix = columns.prefix(i)
        first = int(columns.id_ends[i - 1]) if i else 0
        name = columns.ids[first : int(columns.id_ends[i])].decode()
        since, until = int(columns.valid_from[i]), int(columns.valid_until[i])
        return Registration(
            id=name or str(prefix),
            prefix=prefix,
            category=self.categories[columns.category[i]],
            valid_from=None if since == ALWAYS else date.fromordinal(since + _EPOCH),
            valid_until=None if until == FOREVER else date.fromordinal(until + _EPOCH),
            services=self.services[columns.services[i]],
        )

    def place(self, row: int) -> tuple[str, int]:
        """The file and the line (from 1) that the row stands in."""
        columns, i = self._place(row)
        return self.files[columns.file[i]], int(columns.line[i])

    def count(self, day: date) -> dict[tuple[Family, str], int]:
        """Distinct prefixes valid on the day, by family and category; families in order, then
        categories as declared. Nothing for zero.
        """
        counts: dict[tuple[Family, str], int] = {}
        for family in FAMILIES:
            words, minor = _distinct(self.of_family(family), day)
            found = np.bincount(minor[run_starts(*words, minor)] >> 8)
            for category in np.flatnonzero(found):
                counts[family, self.categories[category]] = int(found[category])
        return counts

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that name every row in its order, files and lines left out.

        Found once: some 40 ms at a million rows.
        """
        if "digest" not in self._known:
            self._known["digest"] = self._digest()
        return self._known["digest"]

    def _digest(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        digest.update(repr((self.categories, self.services)).encode())
        for columns in (self.v4, self.v6):
            digest.update(f"{columns.family}:{len(columns)}".encode())
            for column in (
                *columns.words,
                columns.length,
                columns.category,
                columns.valid_from,
                columns.valid_until,
                columns.services,
                columns.id_ends,
            ):
                digest.update(np.ascontiguousarray(column).data)
            digest.update(columns.ids)
        return digest.hexdigest()


def _distinct(columns: Columns, day: date) -> tuple[Words, NDArray[Any]]:
    """The day's rows sorted by address, then by category and length: `category << 8 | length`."""
    rows = np.flatnonzero(columns.valid(day))
    minor = columns.category[rows].astype(np.uint32) << 8 | columns.length[rows]
    words = pick(columns.words, rows)
    order = sort_order(words, minor)
    return pick(words, order), minor[order]


def numbered(lists: Iterable[tuple[Service, ...]]) -> dict[tuple[Service, ...], int]:
    """The lists of services by number: any service first, then by their text, so that the numbers
    do not tell in what order the rows came.
    """
    ordered = sorted({(), *lists}, key=lambda services: " ".join(map(str, services)))
    return {services: number for number, services in enumerate(ordered)}


def merge(registries: Sequence[Registry]) -> Registry:
    """Several sources as one registry, in the order given. All share the declared categories."""
    if len(registries) == 1:
        return registries[0]
    first = registries[0]
    if any(registry.categories != first.categories for registry in registries):
        raise ValueError("registries with different declared categories cannot be merged")
    index = numbered(services for registry in registries for services in registry.services)
    files = tuple(name for registry in registries for name in registry.files)

    def joined(family: Family) -> Columns:
        parts = [registry.of_family(family) for registry in registries]
        numbers = [
            np.array([index[s] for s in registry.services], np.uint16) for registry in registries
        ]
        file_base = np.cumsum([0, *(len(registry.files) for registry in registries)])
        id_base = np.cumsum([0, *(len(part.ids) for part in parts)])
        return Columns(
            family=family,
            words=tuple(np.concatenate(w) for w in zip(*(p.words for p in parts), strict=True)),
            length=np.concatenate([part.length for part in parts]),
            category=np.concatenate([part.category for part in parts]),
            valid_from=np.concatenate([part.valid_from for part in parts]),
            valid_until=np.concatenate([part.valid_until for part in parts]),
            services=np.concatenate([n[p.services] for n, p in zip(numbers, parts, strict=True)]),
            ids=b"".join(part.ids for part in parts),
            id_ends=np.concatenate(
                [p.id_ends + np.uint32(base) for p, base in zip(parts, id_base, strict=False)]
            ),
            file=np.concatenate(
                [p.file + np.uint16(base) for p, base in zip(parts, file_base, strict=False)]
            ),
            line=np.concatenate([part.line for part in parts]),
        )

    return Registry(first.categories, tuple(index), files, joined(4), joined(6))
