"""Rows of a registry file, piece by piece in their order → `Registry`, and what is wrong with them.

In: pieces as they were read. The lines that the fast path is not sure of are read here, carefully.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from enforcer.errors import SHOWN_PROBLEMS, PolicyError, Problem
from enforcer.policy.prefix import FAMILIES, Family, Service
from enforcer.policy.registry_chunks import Rows
from enforcer.policy.registry_columns import (
    ALWAYS,
    FOREVER,
    Columns,
    Registry,
    Words,
    numbered,
)
from enforcer.policy.registry_pieces import Piece, Read
from enforcer.policy.registry_rows import (
    LONGEST_LINE,
    TOO_LONG,
    Row,
    RowError,
    parse_plain_row,
    parse_row,
)

_SERVICE_LISTS = 65535


class Builder:
    """Gathers columns piece by piece, and the problems. `plain`: the form has prefixes alone."""

    def __init__(self, name: str, categories: Sequence[str], *, plain: bool = False) -> None:
        self.name, self.plain = name, plain
        self.categories = tuple(categories)
        self.problems: list[Problem] = []
        self.count = 0
        self._service_lists: dict[tuple[Service, ...], int] = {(): 0}
        self._parts: dict[Family, list[tuple[int, Rows]]] = {4: [], 6: []}
        self._taken: dict[Family, int] = {4: 0, 6: 0}

    def _service_number(self, services: tuple[Service, ...]) -> int:
        number = self._service_lists.setdefault(services, len(self._service_lists))
        if number >= _SERVICE_LISTS:
            fact = f"more than {_SERVICE_LISTS:,} different lists of services"
            remedy = "register ranges of ports, or any service"
            raise PolicyError([Problem(self.name, 0, 0, "", f"{fact}; {remedy}")])
        return number

    def problem(self, line: int, error: RowError) -> None:
        self.count += 1
        if self.count <= SHOWN_PROBLEMS:
            self.problems.append(
                Problem(self.name, line, error.column, "", error.message, error.told)
            )

    def take(self, read: Read, first_line: int) -> Piece:
        """Takes in a piece, whose first line has the number given."""
        careful: dict[Family, list[tuple[int, Row]]] = {4: [], 6: []}
        for line, start, end in read.odd:
            raw = read.text[start:end]
            try:
                if len(raw) > LONGEST_LINE:
                    raise TOO_LONG
                row = _plain_row(raw) if self.plain else parse_row(raw, self.categories)
            except RowError as error:
                self.problem(first_line + line, error)
            else:
                if row is not None:
                    careful[row.prefix.family].append((line, row))
        found: dict[Family, tuple[int, int]] = {4: (0, 0), 6: (0, 0)}
        if not self.count:
            numbers = np.array([self._service_number(s) for s in read.services], np.uint16)
            for family in FAMILIES:
                rows = read.rows[family]
                if len(rows):
                    rows = replace(rows, services=numbers[rows.services])
                if careful[family]:
                    rows = rows.in_line_order(self._rows(careful[family], family))
                self._parts[family].append((first_line, rows))
                begin = self._taken[family]
                self._taken[family] += len(rows)
                found[family] = begin, self._taken[family]
        return Piece(read.digest, first_line, read.lines, found)

    def _rows(self, found: list[tuple[int, Row]], family: Family) -> Rows:
        rows = [row for _, row in found]
        networks = [row.prefix.network for row in rows]
        words: Words = (
            (np.array(networks, np.uint32),)
            if family == 4
            else (
                np.array([n >> 64 for n in networks], np.uint64),
                np.array([n & (1 << 64) - 1 for n in networks], np.uint64),
            )
        )
        return Rows(
            lines=np.array([line for line, _ in found], np.int32),
            words=words,
            length=np.array([row.prefix.length for row in rows], np.uint8),
            category=np.array([row.category for row in rows], np.uint16),
            valid_from=np.array([row.valid_from for row in rows], np.int32),
            valid_until=np.array([row.valid_until for row in rows], np.int32),
            services=np.array([self._service_number(row.services) for row in rows], np.uint16),
            ids=b"".join(row.id for row in rows),
            id_sizes=np.array([len(row.id) for row in rows], np.int32),
        )

    def registry(self) -> Registry:
        """All rows taken in."""
        index = numbered(self._service_lists)
        numbers = np.array([index[services] for services in self._service_lists], np.uint16)
        v4, v6 = (self._columns(family, self._parts.pop(family), numbers) for family in FAMILIES)
        return Registry(self.categories, tuple(index), (self.name,), v4, v6)

    def _columns(
        self, family: Family, parts: list[tuple[int, Rows]], numbers: NDArray[np.uint16]
    ) -> Columns:
        parts = parts or [(0, self._rows([], family))]
        rows = [part for _, part in parts]
        lines = [part.lines.astype(np.uint32) + np.uint32(first) for first, part in parts]
        line = np.concatenate(lines)
        return Columns(
            family=family,
            words=tuple(
                np.concatenate(word) for word in zip(*(r.words for r in rows), strict=True)
            ),
            length=np.concatenate([r.length for r in rows]),
            category=np.concatenate([r.category for r in rows]),
            valid_from=np.concatenate([r.valid_from for r in rows]),
            valid_until=np.concatenate([r.valid_until for r in rows]),
            services=numbers[np.concatenate([r.services for r in rows])],
            ids=b"".join(r.ids for r in rows),
            id_ends=np.cumsum(np.concatenate([r.id_sizes for r in rows]), dtype=np.uint32),
            file=np.zeros(len(line), np.uint16),
            line=line,
        )


def _plain_row(raw: bytes) -> Row | None:
    prefix = parse_plain_row(raw)
    return None if prefix is None else Row(b"", prefix, 0, ALWAYS, FOREVER, ())
