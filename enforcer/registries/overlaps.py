"""Rows inside rows: what says the same twice, adds nothing, contradicts, or belongs to two.

In: a report and both families with what lies around what. Out: findings in the report. One walk
over all chains; of each kind a row is told once, with the nearest other row.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.registries.findings import Report, Severity
from enforcer.registries.nesting import DEEPEST, Side, together


def overlaps(report: Report, sides: list[Side], day: date) -> None:
    """One walk over all chains. Of each kind a row is told once, with the nearest other row."""
    kinds = ("duplicate", "redundant", "two-categories", "overlap")
    pairs: dict[str, list[tuple[NDArray[np.intp], NDArray[Any]]]] = {kind: [] for kind in kinds}
    deep = []
    for side in sides:
        columns = side.columns
        seen = {kind: np.full(len(columns), -1, np.intp) for kind in kinds}
        depth = 0
        last = np.zeros(0, np.intp)
        for rows, others in side.nesting.chains():
            depth += 1
            last = rows
            # In a plain list nobody knows whose a row is: all may be one registrant's.
            own = side.ids[rows] == side.ids[others]
            meet = together(columns, rows, others)
            same = columns.category[rows] == columns.category[others]
            equal = columns.length[rows] == columns.length[others]
            services = columns.services[rows] == columns.services[others]
            since = columns.valid_from[others] <= columns.valid_from[rows]
            until = columns.valid_until[others] >= columns.valid_until[rows]
            exact = (columns.valid_from[rows] == columns.valid_from[others]) & (
                columns.valid_until[rows] == columns.valid_until[others]
            )
            duplicate = own & same & equal & services & exact
            wider = services | (columns.services[others] == 0)
            for kind, which in (
                ("duplicate", duplicate),
                ("redundant", own & same & wider & since & until & ~duplicate),
                ("two-categories", own & ~same & meet),
                ("overlap", ~own & meet),
            ):
                _note(seen[kind], rows, others, which)
        for kind in kinds:
            rows = np.flatnonzero(seen[kind] >= 0)
            pairs[kind].append((rows, seen[kind][rows] + side.first))
        deepest = last if depth == DEEPEST else last[:0]
        deep.append((deepest, deepest))

    def tell(kind: str, severity: Severity, text: str) -> None:
        report.add_of(
            kind,
            severity,
            sides,
            pairs[kind],
            lambda row, other: text.format(report.where(other, row)),
        )

    tell("duplicate", "warning", "says the same as {}; remove one of them")
    tell("overlap", "warning", "overlaps {} of another registrant; agree on whose it is")
    tell("two-categories", "warning", "is of another category than {} around it; correct one")
    tell("redundant", "warning", "adds nothing to {}, which covers it; remove it")
    report.add_of(
        "nested-deep",
        "note",
        sides,
        deep,
        lambda *_: f"lies inside {DEEPEST} other rows or more; only the nearest were compared",
    )


def _note(
    seen: NDArray[np.intp], rows: NDArray[Any], others: NDArray[Any], which: NDArray[np.bool_]
) -> None:
    fresh = which & (seen[rows] < 0)
    seen[rows[fresh]] = others[fresh]
