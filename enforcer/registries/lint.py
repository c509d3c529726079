"""What in a registry can hardly be meant: findings for the person who keeps it.

In: a registry that the daemon would take, the day, and RPKI payloads where there are any. Out:
findings. Everything here is legal in the file; errors are what can help nobody on the Internet, and
warnings what a person should look at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import Family, Prefix, parse_prefix
from enforcer.policy.registry import Columns, Registry, day_number
from enforcer.policy.registry_columns import masked, pick, run_starts
from enforcer.registries.findings import Finding, Report
from enforcer.registries.nesting import Side
from enforcer.registries.overlaps import overlaps
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
    sides = Side.both(registry)
    checks: list[Callable[[Report, list[Side], date], None]] = [
        _days,
        overlaps,
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


def _special(report: Report, sides: list[Side], laboratory: bool) -> None:
    found = []
    for side in sides:
        kind = np.full(len(side.columns), -1, np.intp)
        for number, (prefix, _) in enumerate(_NOT_ON_THE_INTERNET):
            if prefix.family == side.columns.family:
                kind[(kind < 0) & _overlapping(side.columns, prefix)] = number
        rows = np.flatnonzero(kind >= 0)
        found.append((rows, kind[rows]))
    report.add_of(
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


def _days(report: Report, sides: list[Side], day: date) -> None:
    today = day_number(day)
    expired, early = [], []
    for side in sides:
        rows = np.flatnonzero(side.columns.valid_until < today)
        expired.append((rows, today - side.columns.valid_until[rows]))
        rows = np.flatnonzero(side.columns.valid_from > today)
        early.append((rows, side.columns.valid_from[rows] - today))
    report.add_of(
        "expired",
        "warning",
        sides,
        expired,
        lambda _, days: f"ended {_many(days, 'day')} ago; renew it, or remove the row",
    )
    report.add_of(
        "not-yet-valid",
        "note",
        sides,
        early,
        lambda _, days: f"begins in {_many(days, 'day')}; until then nothing is registered by it",
    )


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _broad(report: Report, sides: list[Side], day: date) -> None:
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
    report.add_of(
        "broad",
        "warning",
        sides,
        found,
        lambda row, usual: (
            f"a /{lengths[row]}, where half of its category are /{usual} or longer; "
            "register the part that is in use"
        ),
    )


def _aggregatable(report: Report, sides: list[Side], day: date) -> None:
    """Rows that differ in the prefix only, and whose prefixes are halves of one."""
    found = []
    for side in sides:
        columns = side.columns
        others = np.full(len(columns), -1, np.intp)
        if len(columns) > 1:
            above = np.maximum(columns.length, 1) - 1
            parent = masked(columns.words, columns.family, above)
            by = (
                *parent,
                columns.length,
                columns.services,
                columns.valid_until,
                columns.valid_from,
                columns.category,
                side.ids,
            )
            order = np.lexsort((*columns.words, *by))
            keys = [column[order] for column in by]
            same = ~run_starts(*keys)
            distinct = run_starts(*pick(columns.words, order))
            second = np.flatnonzero(same & distinct)
            others[order[second]] = order[second - 1]
        rows = np.flatnonzero(others >= 0)
        found.append((rows, others[rows] + side.first))
    lengths = np.concatenate([side.columns.length for side in sides])
    report.add_of(
        "aggregatable",
        "note",
        sides,
        found,
        lambda row, other: (
            f"and {report.where(other, row)} are the two halves of a "
            f"/{lengths[row] - 1}; write one row"
        ),
    )
