"""Rows on their way from another form to the CSV of the contract, and what was said on the way.

In: one row at a time, as texts, with its line in the source. Out: the CSV, which the one parser of
registries (`policy/registry.py`) then reads, so that no form has rules of its own; and `Note`s of
what was dropped or changed. A problem that the parser finds is told with the line of the source.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from enforcer.errors import SHOWN_PROBLEMS, PolicyError, Problem
from enforcer.policy.registry import Columns, Registry, parse_registry
from enforcer.policy.registry_rows import FIELDS, HEADER

# Called now and then with how much was read: bytes or rows, as the reader says.
Progress = Callable[[int], None]
# More rows than the contract's CSV of the largest size has.
MOST_ROWS = 8_000_000
_MOST_BYTES = 512 * 1024**2
_SEE_LINT = "see: enforcer registry lint"
# Between two calls of `Progress`, in rows.
EVERY = 8192


@dataclass(frozen=True, slots=True)
class Note:
    """What a conversion dropped or changed: `count` times, first in `line` (0: the whole file)."""

    text: str
    count: int
    line: int

    def __str__(self) -> str:
        if not self.line:
            return self.text
        if self.count == 1:
            return f"{self.text}: line {self.line}"
        return f"{self.text}: {self.count:,} times, first in line {self.line}"


class Notes:
    """Gathers notes: one of a kind, however often."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int]] = {}

    def add(self, text: str, line: int = 0, count: int = 1) -> None:
        before, first = self._found.get(text, (0, line))
        self._found[text] = before + count, first

    def all(self) -> tuple[Note, ...]:
        return tuple(Note(text, count, line) for text, (count, line) in self._found.items())


class BadRowError(Exception):
    """What keeps a row from becoming one of the contract's, as `fact; remedy`. `field` is the
    field that it is about, for the column; empty for the row.
    """

    def __init__(self, message: str, field: str = "") -> None:
        self.field = field
        super().__init__(message)


class Gathering:
    """The rows so far. `name` is the source's, for messages."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.notes = Notes()
        self._csv = bytearray(f"{HEADER}\n".encode())
        self._lines = array("I")
        # The column of each field in the source, where it has any.
        self.columns: Mapping[str, int] = {}
        self._problems: list[Problem] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, line: int, fields: Sequence[str]) -> None:
        """Takes a row, its fields in the order of the contract. Raises PolicyError when there are
        too many.
        """
        row = ",".join(fields)
        # A line that begins with # would be a comment, and its row lost.
        if row.count(",") != len(FIELDS) - 1 or '"' in row or row.lstrip().startswith("#"):
            row = ",".join(map(_quoted, fields))
        self._csv += row.encode("utf-8", "replace")
        self._csv += b"\n"
        self._lines.append(line)
        if len(self._lines) > MOST_ROWS or len(self._csv) > _MOST_BYTES:
            fact = f"more than {len(self._lines) - 1:,} registrations come out of it"
            raise self.refused(f"{fact}, the most that is read; split it", line)

    def fault(self, line: int, fault: BadRowError) -> None:
        """Takes note of a row that is wrong: nothing of the file will be used."""
        self._count += 1
        if len(self._problems) < SHOWN_PROBLEMS:
            column = self.columns.get(fault.field, 1)
            self._problems.append(self._problem(line, column, str(fault), fault.field))

    def refused(self, message: str, line: int = 0, column: int = 1) -> PolicyError:
        if not line:
            return PolicyError([Problem(self.name, 0, 0, "", message)])
        return PolicyError([self._problem(line, column, message)])

    def _problem(self, line: int, column: int, message: str, field: str = "") -> Problem:
        told = f"{field or 'the line'} is not right; {_SEE_LINT}"
        return Problem(self.name, line, column, "", message, told)

    @property
    def is_empty(self) -> bool:
        """True when there was no row, right or wrong."""
        return not self._lines and not self._count

    def categories(self) -> tuple[str, ...]:
        return categories_of(bytes(self._csv))

    def registry(self, categories: Sequence[str]) -> Registry:
        """All rows, whole or not at all. Raises PolicyError with places of the source."""
        problems, count, more = self._problems, self._count, False
        if self._lines:
            try:
                read = parse_registry(self.name, bytes(self._csv), categories)
            except PolicyError as error:
                problems = problems + [self._at_source(p) for p in error.problems]
                count, more = count + error.count, error.more
        if problems:
            raise PolicyError(sorted(problems)[:SHOWN_PROBLEMS], count, more=more)
        lines = np.frombuffer(self._lines, np.uint32)
        return replace(read, v4=_placed(read.v4, lines), v6=_placed(read.v6, lines))

    def _at_source(self, problem: Problem) -> Problem:
        if problem.line < 2:
            return problem
        # Every message about a field begins with its name.
        field = problem.message.partition(" ")[0]
        line = self._lines[problem.line - 2]
        return replace(problem, line=line, column=self.columns.get(field, 1))


def _placed(columns: Columns, lines: np.ndarray) -> Columns:
    return replace(columns, line=lines[columns.line - 2])


def _quoted(text: str) -> str:
    if "," in text or '"' in text or "#" in text:
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


def categories_of(data: bytes) -> tuple[str, ...]:
    """The categories that rows of the contract's CSV name, sorted; those that could be none, left
    out. What is wrong with a row is not said here.
    """
    found = set()
    for line in data.split(b"\n"):
        if line.startswith(b"#"):
            continue
        if b'"' in line:
            fields = _fields_with_quotes(line)
        else:
            fields = line.split(b",", 3)
        if len(fields) > 3:
            found.add(fields[2])
    names = (category.decode("utf-8", "replace").strip() for category in found)
    return tuple(sorted(name for name in names if name and name != FIELDS[2]))


def _fields_with_quotes(line: bytes) -> list[bytes]:
    from enforcer.policy.registry_rows import RowError, decode_line, split_fields

    try:
        return [value.encode() for _, value in split_fields(decode_line(line.rstrip(b"\r")))]
    except RowError:
        return []
