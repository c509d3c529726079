"""What verbs print: JSON for programs, text for people, colours on a terminal only."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, TextIO

from enforcer.policy.model import Window
from enforcer.ruleset import question

# Below that, lines of a word each would be worse to read than those the terminal breaks.
_NARROWEST = 24
_COLOUR = re.compile(r"\x1b\[\d+m")
_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "dim": "2"}


class Painter:
    """Paints text when `--color auto` and the stream is a terminal that can (NO_COLOR: never)."""

    def __init__(self, args: argparse.Namespace, stream: TextIO | None = None) -> None:
        stream = stream or sys.stdout
        capable = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.on = args.color == "auto" and capable and "NO_COLOR" not in os.environ

    def __call__(self, text: str, style: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.on else text


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Iterable[Sequence[str]], header: Sequence[str]) -> list[str]:
    """Columns as wide as they need to be; the last one is not padded."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def fitted(
    rows: Iterable[Sequence[str]], header: Sequence[str], columns: int | None
) -> tuple[list[str], list[list[str]]]:
    """A table as (its heading, the lines of each row). Where it is wider than `columns` there is no
    heading: each row becomes a block, its first cell above the others with their names.
    """
    listed = [tuple(row) for row in rows]
    head, *lines = table(listed, header)
    if columns is None or max(map(len, (head, *lines))) <= columns:
        return [head], [[line] for line in lines]
    return [], [
        [
            row[0],
            *(f"  {line}" for line in fields(zip(header[1:], row[1:], strict=True), columns - 2)),
        ]
        for row in listed
    ]


def terminal_columns() -> int | None:
    """How wide the terminal is; None where standard output is none, and lines may be any length."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def both_times(instant: datetime, window: Window) -> str:
    """An instant in the window's zone and in UTC; once where the two are one."""
    local = instant.astimezone(window.zone)
    if window.zone_name == "UTC":
        return utc_short(instant)
    return f"{local:%Y-%m-%d %H:%M:%S} {local:%Z} ({utc_short(instant)})"


def utc_short(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def span(length: timedelta) -> str:
    """`2d 3h`, `45m`, `12s`: the two largest units."""
    seconds = int(length.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def measures_text(names: Iterable[str], *, stage: bool) -> str:
    """`guard (staged), mark`: a staged guard counts, and holds back nothing."""
    return ", ".join("guard (staged)" if stage and name == "guard" else name for name in names)


def cancelled(closed_at: str) -> str:
    """What stands in the place of the end of what was closed before it opened."""
    return f"cancelled {closed_at}"


def unless_confirmed(window: str, until: str) -> str:
    """What a window on trial is told with; `until` is its deadline for people."""
    return f"until {until} unless confirmed: enforcer confirm {window}"


def counted(number: int, noun: str) -> str:
    """`1 window`, `1,200 windows`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def fields(rows: Iterable[tuple[str, str]], columns: int | None = None) -> list[str]:
    """`name  value` in two columns; a value of several lines stays in its column, and one that is
    wider than a terminal of `columns` is broken at words.
    """
    listed = list(rows)
    width = max((len(name) for name, _ in listed), default=0)
    lines = []
    for name, value in listed:
        room = None if columns is None else columns - width - 2
        parts = [part for line in value.splitlines() for part in wrapped(line, room)]
        for head, line in zip_longest([name], parts or [""], fillvalue=""):
            lines.append(f"{head.ljust(width)}  {line}".rstrip())
    return lines


def wrapped(line: str, room: int | None) -> list[str]:
    """A line as several, broken at words where it is longer than `room` (None: endless). A word is
    never broken: it may be an address or a command.
    """
    if room is None or len(_COLOUR.sub("", line)) <= room:
        return [line]
    room = max(room, _NARROWEST)
    return textwrap.wrap(line, room, break_long_words=False, break_on_hyphens=False) or [""]


# Windows lie in these years (`policy`), the record begins after the first, and any span of days
# that may be asked for fits behind the last into the calendar.
_FIRST_YEAR, _LAST_YEAR = 1970, 2199


def instant(text: str) -> datetime:
    """An ISO 8601 instant given on the command line; without an offset it is UTC."""
    try:
        found = question.instant(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not _FIRST_YEAR <= found.year <= _LAST_YEAR:
        fact = f"{text!r} is outside the years that windows may be in"
        raise argparse.ArgumentTypeError(f"{fact}; write one from {_FIRST_YEAR} to {_LAST_YEAR}")
    return found


def instant_with_zone(text: str) -> datetime:
    """An instant that something is to begin at: its zone is not guessed, as in windows files."""
    found = instant(text)
    if datetime.fromisoformat(text).tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} has no zone; add Z for UTC, or an offset like +05:00"
        )
    return found
