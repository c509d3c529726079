"""The registry file → `Registry`, whole or not at all.

In: the bytes of a registry file, in the CSV form (`id,prefix,category,valid_from,valid_until,
services`) or as a plain list of prefixes. Out: columns (`registry_columns.py`), or a `PolicyError`
with the place, fact and remedy of everything wrong. A file with one bad row is refused as a whole:
half a registry would hold half the customers back.

Read generously: a UTF-8 byte order mark, CRLF, blank lines, `#` comment lines, quoted fields, a
last line without its newline. In a plain list a bare address is its host prefix, a comment may
follow a prefix, and the one declared category is meant; its rows have their prefix for an id.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from enforcer.errors import SHOWN_PROBLEMS, PolicyError, Problem
from enforcer.policy.disguise import MARKUP, disguised, is_markup
from enforcer.policy.prefix import FAMILIES, Family, Service
from enforcer.policy.registry_chunks import Decoders, Rows, read_csv, read_plain
from enforcer.policy.registry_columns import (
    ALWAYS,
    FOREVER,
    Columns,
    Registration,
    Registry,
    Words,
    day_number,
    merge,
    numbered,
    shrink,
)
from enforcer.policy.registry_rows import (
    FIELDS,
    HEADER,
    LONGEST_LINE,
    TOO_LONG,
    Row,
    RowError,
    decode_line,
    parse_day,
    parse_plain_row,
    parse_row,
    parse_services,
    split_fields,
)

__all__ = [
    "ALWAYS",
    "FOREVER",
    "HEADER",
    "Columns",
    "Registration",
    "Registry",
    "day_number",
    "empty_registry",
    "merge",
    "parse_registry",
    "shrink",
]

# Large enough that numpy's cost per call vanishes, small enough to stay in the cache.
_CHUNK_BYTES = 1 << 22
_BOM = b"\xef\xbb\xbf"
_SERVICE_LISTS = 65535
# So many wrong rows are counted one by one; of a file with more nobody needs the number.
MOST_COUNTED = 1_000_000
# The header stands within so many lines of comments and blanks.
_PREAMBLE_LINES = 10_000
# What a line of the plain form begins with.
PREFIX_LIKE = re.compile(r"[0-9A-Fa-f]{0,4}[:.]|[0-9]{1,3}(/|$)")


def empty_registry(categories: Sequence[str]) -> Registry:
    """No registrations at all: what stands before the first source was read."""
    builder = _Builder("", categories)
    return builder.registry()


def parse_registry(name: str, data: bytes, categories: Sequence[str]) -> Registry:
    """The registry in `data`. `name` is the file's name, for messages; `categories` the declared.

    Raises PolicyError with the first 20 problems and the number of all, counted up to a million.
    """
    builder = _Builder(name, categories)
    at, line, plain = _form(name, data, categories)
    while at < len(data) and builder.count < MOST_COUNTED:
        stop = len(data)
        if stop - at > _CHUNK_BYTES:
            full = at + _CHUNK_BYTES
            stop = data.find(b"\n", full, full + LONGEST_LINE) + 1
            if not stop:
                # Not a line of ours, and what comes after it cannot be told apart from it.
                builder.problem(line + data.count(b"\n", at, full), TOO_LONG)
                break
        chunk = data[at:stop]
        if not chunk.endswith(b"\n"):
            chunk += b"\n"
        line += builder.read(chunk, line, plain)
        at = stop
    if builder.count:
        raise PolicyError(builder.problems, builder.count, more=at < len(data))
    registry = builder.registry()
    if not len(registry):
        raise _refused(
            name, "no registration in it; write at least one row, or leave the file out of sources"
        )
    return registry


def _refused(name: str, message: str, line: int = 0, column: int = 0) -> PolicyError:
    return PolicyError([Problem(name, line, column, "", message)])


def _form(name: str, data: bytes, categories: Sequence[str]) -> tuple[int, int, bool]:
    """Where the rows begin: position and line number; and whether it is the plain form."""
    other = disguised(data)
    if other is not None:
        raise _refused(name, other)
    at = len(_BOM) if data.startswith(_BOM) else 0
    number = 0
    while at < len(data):
        if number == _PREAMBLE_LINES:
            fact = f"the first {_PREAMBLE_LINES:,} lines are blank or comments"
            raise _refused(name, f"{fact}; begin with {HEADER}", number, 1)
        stop = data.find(b"\n", at)
        stop = len(data) if stop < 0 else stop
        if stop - at > LONGEST_LINE:
            raise _refused(name, TOO_LONG.message, number + 1, 1)
        line = data[at:stop].removesuffix(b"\r")
        number += 1
        if line.strip() and not line.lstrip().startswith(b"#"):
            if _is_header(name, number, line):
                return min(stop + 1, len(data)), number + 1, False
            if len(categories) != 1:
                raise _refused(
                    name,
                    f"a plain list of prefixes cannot say which of the {len(categories)} declared "
                    f"categories is meant; use the CSV form with the header {HEADER}",
                )
            return at, number, True
        at = stop + 1
    raise _refused(
        name, "is empty; write at least one registration, or leave the file out of sources"
    )


def _is_header(name: str, number: int, line: bytes) -> bool:
    """True for the header, False for a line of the plain form; raises PolicyError otherwise."""
    if is_markup(line):
        raise _refused(name, MARKUP, number, 1)
    if line.lstrip()[:1] in (b"[", b"{"):
        raise _refused(name, f"is JSON; write CSV that begins with {HEADER}", number, 1)
    for other, title in ((b";", "semicolons"), (b"\t", "tabs"), (b"|", "bars")):
        if line.count(other) == len(FIELDS) - 1:
            raise _refused(name, f"fields are separated by {title}; use commas", number, 1)
    try:
        text = decode_line(line)
        if "," not in text and PREFIX_LIKE.match(text.strip()):
            return False
        names = [value for _, value in split_fields(text)]
    except RowError as error:
        raise _refused(name, error.message, number, error.column) from None
    if tuple(names) == FIELDS:
        return True
    shown = text if len(text) <= 80 else text[:77] + "…"
    raise _refused(name, f"{shown!r} is not the header; begin with {HEADER}", number, 1)


class _Builder:
    """Gathers columns chunk by chunk, and the problems."""

    def __init__(self, name: str, categories: Sequence[str]) -> None:
        self.name = name
        self.categories = tuple(categories)
        self.problems: list[Problem] = []
        self.count = 0
        self.service_lists: dict[tuple[Service, ...], int] = {(): 0}
        self.parts: dict[Family, list[tuple[int, Rows]]] = {4: [], 6: []}
        self.by_text: dict[bytes, int | None] = {b"": 0}
        known = {category.encode(): i for i, category in enumerate(categories)}
        days: dict[bytes, int | None] = {}

        def day(text: bytes, empty: int) -> int | None:
            if not text:
                return empty
            if text not in days:
                days[text] = parse_day(text.decode("latin-1"))
            return days[text]

        self.decoders = Decoders(
            category=known.get,
            valid_from=lambda text: day(text, ALWAYS),
            valid_until=lambda text: day(text, FOREVER),
            services=self.services_number,
        )

    def services_number(self, text: bytes) -> int | None:
        if text not in self.by_text:
            try:
                number = self.service_number(parse_services(text.decode("ascii")))
            except ValueError:
                return None
            self.by_text[text] = number
        return self.by_text[text]

    def service_number(self, services: tuple[Service, ...]) -> int:
        number = self.service_lists.setdefault(services, len(self.service_lists))
        if number >= _SERVICE_LISTS:
            raise _refused(
                self.name,
                f"more than {_SERVICE_LISTS:,} different lists of services; register ranges of "
                "ports, or any service",
            )
        return number

    def problem(self, line: int, error: RowError) -> None:
        self.count += 1
        if self.count <= SHOWN_PROBLEMS:
            self.problems.append(Problem(self.name, line, error.column, "", error.message))

    def read(self, chunk: bytes, first_line: int, plain: bool) -> int:
        """Takes in whole lines, the first of which has the number given; returns how many."""
        read = read_plain(chunk) if plain else read_csv(chunk, self.decoders)
        careful: dict[Family, list[tuple[int, Row]]] = {4: [], 6: []}
        for line in read.odd.tolist():
            raw = chunk[read.starts[line] : read.ends[line]]
            try:
                if len(raw) > LONGEST_LINE:
                    raise TOO_LONG
                row = _plain_row(raw) if plain else parse_row(raw, self.categories)
            except RowError as error:
                self.problem(first_line + line, error)
            else:
                if row is not None:
                    careful[row.prefix.family].append((line, row))
        if not self.count:
            for family in FAMILIES:
                rows = read.families[family]
                if careful[family]:
                    rows = rows.in_line_order(self._rows(family, careful[family]))
                self.parts[family].append((first_line, rows))
        return len(read.starts)

    def _rows(self, family: Family, found: list[tuple[int, Row]]) -> Rows:
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
            services=np.array([self.service_number(row.services) for row in rows], np.uint16),
            ids=b"".join(row.id for row in rows),
            id_sizes=np.array([len(row.id) for row in rows], np.int32),
        )

    def registry(self) -> Registry:
        """All rows taken in."""
        index = numbered(self.service_lists)
        numbers = np.array([index[services] for services in self.service_lists], np.uint16)
        v4, v6 = (self._columns(family, self.parts.pop(family), numbers) for family in FAMILIES)
        return Registry(self.categories, tuple(index), (self.name,), v4, v6)

    def _columns(
        self, family: Family, parts: list[tuple[int, Rows]], numbers: NDArray[np.uint16]
    ) -> Columns:
        parts = parts or [(0, self._rows(family, []))]
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
