"""A stretch of registry lines read at once with numpy: the fast path, which never says no.

In: the bytes of whole lines. Out: columns of the lines it is sure of, and the numbers of the other
lines, which go to `registry_rows.py`. It accepts nothing that the careful path refuses (a test
holds this), and knows no messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import Family
from enforcer.policy.registry_columns import ALWAYS, FOREVER, Words
from enforcer.policy.registry_text import Bools, Ints, Text

_NEWLINE, _RETURN, _COMMA, _QUOTE, _HASH, _SPACE, _DELETE = 10, 13, 44, 34, 35, 32, 127


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one family: `lines` are numbers from 0 in the chunk, `ids` one after the other."""

    lines: Ints
    words: Words
    length: NDArray[np.uint8]
    category: NDArray[np.uint16]
    valid_from: Ints
    valid_until: Ints
    services: NDArray[np.uint16]
    ids: bytes
    id_sizes: Ints

    def __len__(self) -> int:
        return len(self.lines)

    def in_line_order(self, other: Rows) -> Rows:
        """These rows and the other ones, by line."""
        lines = np.concatenate([self.lines, other.lines])
        order = np.argsort(lines)
        sizes = np.concatenate([self.id_sizes, other.id_sizes])
        last = np.cumsum(sizes, dtype=np.int32)[order]
        ids = np.frombuffer(self.ids + other.ids, np.uint8)

        def ordered(mine: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([mine, others])[order]

        return Rows(
            lines[order],
            tuple(ordered(*pair) for pair in zip(self.words, other.words, strict=True)),
            ordered(self.length, other.length),
            ordered(self.category, other.category),
            ordered(self.valid_from, other.valid_from),
            ordered(self.valid_until, other.valid_until),
            ordered(self.services, other.services),
            _gather(ids, last - sizes[order], last),
            sizes[order],
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """What was read: the rows by family, and the lines (first and last position of each; those of
    `odd` are for the careful path).
    """

    starts: Ints
    ends: Ints
    odd: Ints
    families: dict[Family, Rows]


@dataclass(frozen=True, slots=True)
class Decoders:
    """What the text of a field stands for, as a number; None sends the line to the careful path."""

    category: Callable[[bytes], int | None]
    services: Callable[[bytes], int | None]


def _lines(text: Text, stops: Ints) -> tuple[Ints, Ints, Bools]:
    """First and last position of each line (its line end left out), and which hold odd bytes."""
    body = text.bytes[: text.size]
    starts = np.concatenate([np.zeros(1, np.int32), stops[:-1] + 1])
    ends = stops - ((text.bytes[stops - 1] == _RETURN) & (stops > starts))
    strange = np.zeros(len(stops), np.bool_)
    special = body < _SPACE
    special |= body == _QUOTE
    special |= body == _DELETE
    if np.count_nonzero(special) != len(stops) + np.count_nonzero(ends != stops):
        places = np.flatnonzero(special)
        line = np.searchsorted(stops, places)
        expected = (places == stops[line]) | (places == ends[line])
        strange[line[~expected]] = True
    if not text.raw.isascii():
        # Letters of any script may stand in an id; what is not UTF-8 is found line by line.
        high = np.flatnonzero(body >= 0x80)
        for line in np.unique(np.searchsorted(stops, high)).tolist():
            piece = text.raw[starts[line] : ends[line]]
            try:
                strange[line] |= not piece.decode().isprintable()
            except UnicodeDecodeError:
                strange[line] = True
    return starts, ends, strange


def read_csv(chunk: bytes | memoryview, decoders: Decoders) -> Chunk:
    """Whole lines of the CSV form, each ended by a newline, below 2**31 bytes in all."""
    text = Text(chunk)
    body = text.bytes[: text.size]
    marks = np.flatnonzero((body == _COMMA) | (body == _NEWLINE)).astype(np.int32)
    # Where among these marks each line has its first, and where it has its end.
    last = np.flatnonzero(body[marks] == _NEWLINE).astype(np.int32)
    first = np.concatenate([np.zeros(1, np.int32), last[:-1] + 1])
    starts, ends, strange = _lines(text, marks[last])
    skip = (ends == starts) | (text.bytes[starts] == _HASH)
    lines = np.flatnonzero((last - first == 5) & ~strange & ~skip).astype(np.int32)
    start, end = starts[lines], ends[lines]
    comma = [marks[first[lines] + k] for k in range(5)]
    sure = comma[0] > start
    sure &= (text.bytes[start] != _SPACE) & (text.bytes[comma[0] - 1] != _SPACE)
    category, known = text.lookup(comma[1] + 1, comma[2], decoders.category)
    sure &= known
    valid_from, known = text.days(comma[2] + 1, comma[3], ALWAYS)
    sure &= known
    valid_until, known = text.days(comma[3] + 1, comma[4], FOREVER)
    sure &= known & (valid_from <= valid_until)
    services, known = text.lookup(comma[4] + 1, end, decoders.services)
    sure &= known
    families = {
        family: Rows(
            lines[rows],
            words,
            length,
            category[rows].astype(np.uint16),
            valid_from[rows],
            valid_until[rows],
            services[rows].astype(np.uint16),
            _gather(text.bytes, start[rows], comma[0][rows]),
            (comma[0] - start)[rows],
        )
        for family, (rows, words, length) in _prefixes(text, comma[0] + 1, comma[1], sure).items()
    }
    return Chunk(starts, ends, _odd(skip, families), families)


def read_plain(chunk: bytes | memoryview) -> Chunk:
    """Whole lines of the plain form: one prefix each, always of category 0, for any service."""
    text = Text(chunk)
    stops = np.flatnonzero(text.bytes[: text.size] == _NEWLINE).astype(np.int32)
    starts, ends, strange = _lines(text, stops)
    skip = (ends == starts) | (text.bytes[starts] == _HASH)
    lines = np.flatnonzero(~strange & ~skip).astype(np.int32)
    sure = np.ones(len(lines), np.bool_)
    families = {
        family: Rows(
            lines[rows],
            words,
            length,
            np.zeros(len(rows), np.uint16),
            np.full(len(rows), ALWAYS, np.int32),
            np.full(len(rows), FOREVER, np.int32),
            np.zeros(len(rows), np.uint16),
            b"",
            np.zeros(len(rows), np.int32),
        )
        for family, (rows, words, length) in _prefixes(
            text, starts[lines], ends[lines], sure
        ).items()
    }
    return Chunk(starts, ends, _odd(skip, families), families)


def _odd(skip: Bools, families: dict[Family, Rows]) -> Ints:
    odd = ~skip
    for rows in families.values():
        odd[rows.lines] = False
    return np.flatnonzero(odd).astype(np.int32)


def _gather(source: NDArray[np.uint8], first: Ints, last: Ints) -> bytes:
    """The slices of `source`, one after the other."""
    sizes = last - first
    total = int(sizes.sum())
    shift = first - np.concatenate([np.zeros(1, np.int32), np.cumsum(sizes, dtype=np.int32)[:-1]])
    return source[np.repeat(shift, sizes) + np.arange(total, dtype=np.int32)].tobytes()


def _prefixes(
    text: Text, first: Ints, last: Ints, sure: Bools
) -> dict[Family, tuple[Ints, Words, NDArray[np.uint8]]]:
    """By family: which of the slices are prefixes without doubt, their words and lengths."""
    network, bits4, is4 = text.ipv4(first, last)
    others = np.flatnonzero(~is4 & sure).astype(np.int32)
    rows4 = np.flatnonzero(is4 & sure).astype(np.int32)
    words6, bits6, is6 = text.ipv6(first[others], last[others])
    return {
        4: (rows4, (network[rows4],), bits4[rows4].astype(np.uint8)),
        6: (
            others[is6],
            (words6[0][is6], words6[1][is6]),
            bits6[is6].astype(np.uint8),
        ),
    }
