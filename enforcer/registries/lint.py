"""What in a registry can hardly be meant: findings for the person who keeps it.

In: a registry that the daemon would take, the day, and RPKI payloads where there are any. Out:
findings. Everything here is legal in the file; errors are what can help nobody on the Internet, and
warnings what a person should look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.aggregate import aggregate
from enforcer.policy.prefix import FAMILIES, Family, Prefix, parse_prefix
from enforcer.policy.registry import Columns, Registry, day_number
from enforcer.policy.registry_columns import masked, pick, run_starts
from enforcer.registries.findings import Finding, Report
from enforcer.registries.nesting import DEEPEST, Nesting, id_codes, together
from enforcer.registries.rpki import Payloads, check_origins

# Never seen on the Internet (RFC 6890, RFC 5737, RFC 3849, RFC 9637), and no bogon that the parser
# refuses: laboratories use them.
_NOT_ON_THE_INTERNET = [
    (parse_prefix(text), what)
    for text, what in (
        ("10.0.0.0/8", "private"),
        ("172.16.0.0/12", "private"),
        ("192.168.0.0/16", "private"),
        ("100.64.0.0/10", "shared (carrier-grade NAT)"),
        ("192.0.0.0/24", "special-purpose"),
        ("192.0.2.0/24", "documentation"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("198.18.0.0/15", "benchmarking"),
        ("2001::/23", "special-purpose"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("3fff::/20", "documentation"),
        ("::/3", "not global"),
        ("4000::/2", "not global"),
        ("8000::/1", "not global"),
    )
]
# A row is far broader than usual when it is so many bits shorter than half of its category, and
# few of the category are.
_BITS_BROADER: dict[Family, int] = {4: 8, 6: 16}
_LEAST_TO_COMPARE = 20
_FEW = 0.05


@dataclass(frozen=True, slots=True)
class _Side:
    """One family: its rows, the number of each id, and what lies around what."""

    columns: Columns
    first: int
    ids: NDArray[np.int64]
    nesting: Nesting


def lint(
    registry: Registry,
    day: date,
    *,
    most: int = 10,
    laboratory: bool = False,
    payloads: Mapping[Family, Payloads] | None = None,
    origins: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    progress: Callable[[int], None] = lambda _: None,
) -> list[Finding]:
    """Findings, the worst first, `most` places of each. `laboratory`: addresses that are not on
    the Internet are meant. With `payloads` origins are checked (`rpki.py`). `progress` is
    called with the checks done, of `CHECKS`.
    """
    report = Report(registry, most)
    parts = [registry.of_family(family) for family in FAMILIES]
    codes = id_codes(parts)
    sides = [
        _Side(columns, registry.first_row(columns.family), ids, Nesting.of(columns))
        for columns, ids in zip(parts, codes, strict=True)
    ]
    checks: list[Callable[[Report, list[_Side], date], None]] = [
        _days,
        _duplicates_and_overlaps,
        _broad,
        _aggregatable,
    ]
    _special(report, sides, laboratory)
    for done, check in enumerate(checks, 1):
        progress(done)
        check(report, sides, day)
    if payloads is not None:
        check_origins(report, registry, payloads, origins)
    return report.done()


CHECKS = 5


def _gathered(
    report: Report,
    check: str,
    severity: Any,
    sides: list[_Side],
    found: list[tuple[NDArray[np.intp], NDArray[Any]]],
    message: Callable[[int, int], str],
) -> None:
    """Reports rows of both families; `found` has the rows and one number for each, for `message`
    (which gets the row number and that number).
    """
    rows = np.concatenate([rows + side.first for (rows, _), side in zip(found, sides, strict=True)])
    more = np.concatenate([more for _, more in found])
    report.add(check, severity, rows, lambda k: message(int(rows[k]), int(more[k])))


def _special(report: Report, sides: list[_Side], laboratory: bool) -> None:
    found = []
    for side in sides:
        kind = np.full(len(side.columns), -1, np.intp)
        for number, (prefix, _) in enumerate(_NOT_ON_THE_INTERNET):
            if prefix.family == side.columns.family:
                kind[(kind < 0) & _overlapping(side.columns, prefix)] = number
        rows = np.flatnonzero(kind >= 0)
        found.append((rows, kind[rows]))
    _gathered(
        report,
        "not-on-the-internet",
        "note" if laboratory else "error",
        sides,
        found,
        lambda _, kind: (
            f"{_NOT_ON_THE_INTERNET[kind][1]} addresses, which nobody on the Internet "
            "has; register the public ones"
        ),
    )


def _overlapping(columns: Columns, prefix: Prefix) -> NDArray[np.bool_]:
    length = np.minimum(columns.length, prefix.length)
    words = (
        (prefix.network,)
        if prefix.family == 4
        else (prefix.network >> 64, prefix.network & (1 << 64) - 1)
    )
    wanted = tuple(
        np.full(len(columns), word, column.dtype)
        for word, column in zip(words, columns.words, strict=True)
    )
    same = np.ones(len(columns), np.bool_)
    for mine, theirs in zip(
        masked(columns.words, columns.family, length),
        masked(wanted, columns.family, length),
        strict=True,
    ):
        same &= mine == theirs
    return same


def _days(report: Report, sides: list[_Side], day: date) -> None:
    today = day_number(day)
    expired, early = [], []
    for side in sides:
        rows = np.flatnonzero(side.columns.valid_until < today)
        expired.append((rows, today - side.columns.valid_until[rows]))
        rows = np.flatnonzero(side.columns.valid_from > today)
        early.append((rows, side.columns.valid_from[rows] - today))
    _gathered(
        report,
        "expired",
        "warning",
        sides,
        expired,
        lambda _, days: f"ended {_many(days, 'day')} ago; renew it, or remove the row",
    )
    _gathered(
        report,
        "not-yet-valid",
        "note",
        sides,
        early,
        lambda _, days: f"begins in {_many(days, 'day')}; until then nothing is registered by it",
    )


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _duplicates_and_overlaps(report: Report, sides: list[_Side], day: date) -> None:
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

    def tell(kind: str, severity: str, text: str) -> None:
        _gathered(
            report,
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
    _gathered(
        report,
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


def _broad(report: Report, sides: list[_Side], day: date) -> None:
    found = []
    for side in sides:
        length = side.columns.length.astype(np.int16)
        rows_found, usual = [np.zeros(0, np.intp)], [np.zeros(0, np.int64)]
        for category in np.unique(side.columns.category):
            rows = np.flatnonzero(side.columns.category == category)
            if len(rows) < _LEAST_TO_COMPARE:
                continue
            middle = int(np.median(length[rows]))
            broad = rows[length[rows] <= middle - _BITS_BROADER[side.columns.family]]
            if 0 < len(broad) <= _FEW * len(rows):
                rows_found.append(broad)
                usual.append(np.full(len(broad), middle))
        found.append((np.concatenate(rows_found), np.concatenate(usual)))
    lengths = np.concatenate([side.columns.length for side in sides])
    _gathered(
        report,
        "broad",
        "warning",
        sides,
        found,
        lambda row, usual: (
            f"a /{lengths[row]}, where half of its category are /{usual} or longer; "
            "register the part that is in use"
        ),
    )


def _aggregatable(report: Report, sides: list[_Side], day: date) -> None:
    """Rows that differ in the prefix only, and whose prefixes are halves of one."""
    found = []
    for side in sides:
        columns = side.columns
        others = np.full(len(columns), -1, np.intp)
        if len(columns) > 1:
            above = np.maximum(columns.length, 1) - 1
            parent = masked(columns.words, columns.family, above)
            order = np.lexsort(
                (
                    *columns.words,
                    *parent,
                    columns.length,
                    columns.services,
                    columns.valid_until,
                    columns.valid_from,
                    columns.category,
                    side.ids,
                )
            )
            keys = [
                column[order]
                for column in (
                    *parent,
                    columns.length,
                    columns.services,
                    columns.valid_until,
                    columns.valid_from,
                    columns.category,
                    side.ids,
                )
            ]
            same = ~run_starts(*keys)
            distinct = run_starts(*pick(columns.words, order))
            second = np.flatnonzero(same & distinct)
            others[order[second]] = order[second - 1]
        rows = np.flatnonzero(others >= 0)
        found.append((rows, others[rows] + side.first))
    lengths = np.concatenate([side.columns.length for side in sides])
    _gathered(
        report,
        "aggregatable",
        "note",
        sides,
        found,
        lambda row, other: (
            f"and {report.where(other, row)} are the two halves of a "
            f"/{lengths[row] - 1}; write one row"
        ),
    )


def covered(registry: Registry, day: date) -> dict[Family, int]:
    """The number of prefixes that hold just what is registered on the day, by family."""
    counts: dict[Family, int] = {}
    for family in FAMILIES:
        columns = registry.of_family(family)
        valid = columns.valid(day)
        _, length = aggregate(family, pick(columns.words, valid), columns.length[valid])
        counts[family] = len(length)
    return counts
