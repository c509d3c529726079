"""Which registrations lie inside which: rows in order, and the row that is just around each.

In: the columns of one family. Out: `Nesting`: a chain from each row to every row that covers it,
followed for all rows at once. Rows with the same prefix form one chain in the order of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.tree import parents
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry import Registry
from enforcer.policy.registry_columns import Columns, pick, run_starts, sort_order

Rows = NDArray[np.intp]
# More rows around one row are a mistake of their own; a hostile file could have a million.
DEEPEST = 64


@dataclass(frozen=True, slots=True, eq=False)
class Nesting:
    """`around[i]` is the row of `columns` next around row i (or equal and before it), -1 for none.
    `order` are the rows by address, then by length, then as they stand.
    """

    order: Rows
    around: Rows

    @classmethod
    def of(cls, columns: Columns) -> Nesting:
        count = len(columns)
        if not count:
            return cls(np.zeros(0, np.intp), np.zeros(0, np.intp))
        order = sort_order(columns.words, columns.length)
        words, length = pick(columns.words, order), columns.length[order]
        first = run_starts(*words, length)
        node = np.cumsum(first) - 1
        # The sort need not be stable: rows of one prefix stand in the order of the file.
        order = order[np.lexsort((order, node))]
        starts = np.flatnonzero(first)
        ends = np.append(starts[1:], count) - 1
        parent = parents(columns.family, pick(words, starts), length[starts])
        before = np.arange(-1, count - 1)
        outer = np.where(parent >= 0, ends[np.maximum(parent, 0)], -1)
        before[starts] = outer
        around = np.full(count, -1, np.intp)
        around[order] = np.where(before >= 0, order[np.maximum(before, 0)], -1)
        return cls(order, around)

    def chains(self) -> Iterator[tuple[Rows, Rows]]:
        """`(rows, others)`: each row with the next row around it, then with the one around that,
        and so on, up to `DEEPEST` times.
        """
        rows = np.flatnonzero(self.around >= 0)
        others = self.around[rows]
        for _ in range(DEEPEST):
            if not len(rows):
                return
            yield rows, others
            others = self.around[others]
            rows, others = rows[others >= 0], others[others >= 0]


def id_codes(parts: list[Columns]) -> list[NDArray[np.int64]]:
    """A number for each row's id, the same for the same id in all parts; -1 without an id."""
    known: dict[bytes, int] = {}
    found: list[NDArray[np.int64]] = []
    for columns in parts:
        ids, first = columns.ids, 0
        numbers = []
        for end in columns.id_ends.tolist():
            numbers.append(known.setdefault(ids[first:end], len(known)) if end > first else -1)
            first = end
        found.append(np.array(numbers, np.int64))
    return found


@dataclass(frozen=True, slots=True)
class Side:
    """One family: its rows, the number of each id, and what lies around what."""

    columns: Columns
    first: int
    ids: NDArray[np.int64]
    nesting: Nesting

    @classmethod
    def both(cls, registry: Registry) -> list[Side]:
        """Of both families."""
        parts = [registry.of_family(family) for family in FAMILIES]
        return [
            cls(columns, registry.first_row(columns.family), ids, Nesting.of(columns))
            for columns, ids in zip(parts, id_codes(parts), strict=True)
        ]


def together(columns: Columns, rows: Any, others: Any) -> NDArray[np.bool_]:
    """True where two rows are valid on a same day."""
    begun: NDArray[np.bool_] = columns.valid_from[rows] <= columns.valid_until[others]
    going: NDArray[np.bool_] = columns.valid_from[others] <= columns.valid_until[rows]
    return begun & going
