"""A stretch of registry lines read at once with numpy: the fast path, which never says no.

In: the bytes of whole lines. Out: columns of the lines it is sure of, and the numbers of the other
lines, which go to `registry_rows.py`. It accepts nothing that the careful path refuses (a test
holds this), and knows no messages.

Text is compared eight bytes at a time: `_Text.words` reads unaligned 64-bit words.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.limits import REGISTERED_SHORTEST
from enforcer.policy.prefix import Family
from enforcer.policy.registry_columns import ALWAYS, FOREVER, MASKS, Words

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]

# An IPv4 prefix has at most 18 characters; this is the next multiple of eight.
_WINDOW = 24
_COLUMN = np.arange(_WINDOW, dtype=np.int32)
_LONGEST_FIELD = 64
_PAD = bytes(_LONGEST_FIELD + 8)
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_MIX = np.array([0x9E3779B97F4A7C15 * (2 * n + 1) % 2**64 | 1 for n in range(9)], np.uint64)
_NEWLINE, _RETURN, _COMMA, _QUOTE, _HASH, _SPACE, _DELETE = 10, 13, 44, 34, 35, 32, 127
_DOT, _SLASH, _ZERO = 46, 47, 48
_TENS = np.array([1, 10, 100], np.uint32)
_LEAST = np.array([0, 0, 10, 100], np.uint32)
# First octets under which some address is a bogon; 169 is looked at more closely.
_BOGON_OCTETS = np.array([o in (0, 127) or o >= 224 for o in range(256)])


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
    valid_from: Callable[[bytes], int | None]
    valid_until: Callable[[bytes], int | None]
    services: Callable[[bytes], int | None]


class _Text:
    """The bytes of a chunk, padded, with a view of the 64-bit word at each byte."""

    def __init__(self, chunk: bytes) -> None:
        self.raw = chunk + _PAD
        self.size = len(chunk)
        self.bytes = np.frombuffer(self.raw, np.uint8)
        self.word = np.ndarray((len(self.raw) - 7,), np.dtype("<u8"), self.raw, 0, (1,))

    def words(self, first: Ints, size: Ints, count: int) -> list[NDArray[np.uint64]]:
        """The first `count` words of each slice, bytes behind its end cleared."""
        return [self.word[first + 8 * k] & _KEEP[np.clip(size - 8 * k, 0, 8)] for k in range(count)]

    def lookup(
        self, first: Ints, last: Ints, decode: Callable[[bytes], int | None]
    ) -> tuple[Ints, Bools]:
        """`decode` of each slice, called once for each distinct text; and which ones it knew.

        A hash table with one place a bucket: whoever finds his bucket taken by another text tries
        again in the next round, with other buckets.
        """
        size = last - first
        known = size <= _LONGEST_FIELD
        nothing = decode(b"")
        values = np.full(len(first), nothing or 0, np.int32)
        if nothing is None:
            known &= size > 0
        left = np.flatnonzero(known & (size > 0))
        if not len(left):
            return values, known
        count = max(1, -(-int(size[left].max()) // 8))
        words = self.words(first[left], size[left], count)
        mixed = words[0] * _MIX[0]
        for word, factor in zip(words[1:], _MIX[1:], strict=False):
            mixed += word * factor
        here = np.arange(len(left), dtype=np.int32)
        for shift in (48, 40, 32, 24):
            bucket = (mixed[here] >> np.uint64(shift)).astype(np.uint16)
            owner = np.full(1 << 16, -1, np.int32)
            owner[bucket] = here
            taken = np.flatnonzero(owner >= 0)
            value = np.zeros(1 << 16, np.int32)
            valid = np.zeros(1 << 16, np.bool_)
            for place, who in zip(taken.tolist(), left[owner[taken]].tolist(), strict=True):
                found = decode(self.raw[first[who] : last[who]])
                if found is not None:
                    value[place], valid[place] = found, True
            same = np.ones(len(here), np.bool_)
            whose = owner[bucket]
            for word in words:
                same &= word[here] == word[whose]
            mine = left[here[same]]
            values[mine], known[mine] = value[bucket[same]], valid[bucket[same]]
            here = here[~same]
            if not len(here):
                break
        known[left[here]] = False
        return values, known

    def ipv4(self, first: Ints, last: Ints) -> tuple[NDArray[np.uint32], Ints, Bools]:
        """`(network, length, sure)` of slices that are IPv4 prefixes in their canonical form."""
        window = np.ndarray((len(self.raw) - _WINDOW + 1,), f"V{_WINDOW}", self.raw, 0, (1,))
        count, size = len(first), last - first
        sure = (size >= len("1.1.1.1/8")) & (size <= len("255.255.255.255/32"))
        network = np.zeros(count, np.uint32)
        length = np.zeros(count, np.int32)
        text = window[first].view(np.uint8).reshape(count, _WINDOW)
        separator = (text == _DOT) | (text == _SLASH)
        separator &= size[:, None] > _COLUMN
        # Each byte is 0 or 1: the product's top byte is the sum of a word's eight.
        tally = separator.view(np.uint64).sum(1) * np.uint64(0x0101010101010101)
        sure &= tally >> np.uint64(56) == 4
        rows = np.flatnonzero(sure).astype(np.int32)
        if not len(rows):
            return network, length, sure
        base = rows * _WINDOW
        flat = text.ravel()
        where = np.flatnonzero(separator if len(rows) == count else separator[rows])
        offset = np.arange(0, len(rows) * _WINDOW, _WINDOW, dtype=np.int32)
        stops = [*(where[k::4].astype(np.int32) - offset for k in range(4)), size[rows]]
        good = np.ones(len(rows), np.bool_)
        numbers = []
        begin = np.zeros(len(rows), np.int32)
        for k, stop in enumerate(stops):
            digits = stop - begin
            at = base + stop
            number = np.zeros(len(rows), np.uint32)
            for place in range(3):
                value = flat[np.maximum(at - 1 - place, 0)] - np.uint8(_ZERO)
                used = digits > place
                good &= (value < 10) | ~used
                number += np.where(used, value, 0) * _TENS[place]
            good &= (digits >= 1) & (digits <= 3) & (number <= 255)
            # A number of one digit may be zero; a longer one may not begin with it.
            good &= number >= _LEAST[np.clip(digits, 0, 3)]
            if k < 4:
                good &= flat[at] == (_SLASH if k == 3 else _DOT)
            numbers.append(number)
            begin = stop + 1
        top, bits = numbers[0], np.where(numbers[4] <= 32, numbers[4], 0)
        good &= (numbers[4] == bits) & (bits >= REGISTERED_SHORTEST[4])
        address = top << 24 | numbers[1] << 16 | numbers[2] << 8 | numbers[3]
        good &= address & ~MASKS[4][0][bits] == 0
        good &= ~_BOGON_OCTETS[np.minimum(top, 255)]
        good &= (address >> 16 != 169 << 8 | 254) & ((top != 169) | (bits >= 16))
        network[rows], length[rows], sure[rows] = address, bits, good
        return network, length, sure

    def ipv6(self, first: Ints, last: Ints) -> tuple[Words, Ints, Bools]:
        """As `ipv4`, with the C library's parser."""
        slash = np.where(self.bytes[np.maximum(last - 3, 0)] == _SLASH, last - 3, last - 4)
        length, sure = self._v6_length(slash + 1, last)
        sure &= slash > first
        first, slash = np.where(sure, first, 0), np.where(sure, slash, 0)
        text, convert, family = self.raw.decode("latin-1"), socket.inet_pton, socket.AF_INET6
        texts = [text[i:j] or "::" for i, j in zip(first.tolist(), slash.tolist(), strict=True)]
        try:
            packed = [convert(family, each) for each in texts]
        except (OSError, ValueError):
            packed = list(map(_v6_address, texts))
            sure &= np.array([bool(each) for each in packed], np.bool_)
            packed = [each or bytes(16) for each in packed]
        pairs = np.frombuffer(b"".join(packed), ">u8").astype(np.uint64).reshape(-1, 2)
        words: Words = (pairs[:, 0], pairs[:, 1])
        for word, mask in zip(words, MASKS[6], strict=True):
            sure &= word & ~mask[length] == 0
        # What begins with 00, and the end of the space, holds the bogons.
        top = words[0] >> np.uint64(56)
        sure &= (top != 0) & (top < 0xFE)
        return words, length, sure

    def _v6_length(self, first: Ints, last: Ints) -> tuple[Ints, Bools]:
        """The numbers of two or three digits, without a leading zero, that are lengths."""
        number = np.zeros(len(first), np.int32)
        sure = last - first >= 2
        for place in range(3):
            value = self.bytes[np.maximum(last - 1 - place, 0)] - np.uint8(_ZERO)
            used = last - first > place
            sure &= (value < 10) | ~used
            number += np.where(used, value, 0) * _TENS[place].astype(np.int32)
        sure &= number >= _LEAST[np.clip(last - first, 0, 3)]
        sure &= (number >= REGISTERED_SHORTEST[6]) & (number <= 128)
        return np.where(sure, number, 128), sure


def _v6_address(text: str) -> bytes:
    """In network order; empty for what is none."""
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return b""


def _lines(text: _Text) -> tuple[Ints, Ints, Bools]:
    """First and last position of each line (its line end left out), and which hold odd bytes."""
    body = text.bytes[: text.size]
    stops = np.flatnonzero(body == _NEWLINE).astype(np.int32)
    starts = np.concatenate([np.zeros(1, np.int32), stops[:-1] + 1])
    ends = stops - ((text.bytes[stops - 1] == _RETURN) & (stops > starts))
    strange = np.zeros(len(stops), np.bool_)
    special = np.flatnonzero((body < _SPACE) | (body == _QUOTE) | (body == _DELETE))
    if len(special) != len(stops) + int((ends != stops).sum()):
        line = np.searchsorted(stops, special)
        expected = (special == stops[line]) | (special == ends[line])
        strange[line[~expected]] = True
    if not text.raw[: text.size].isascii():
        # Letters of any script may stand in an id; what is not UTF-8 is found line by line.
        high = np.flatnonzero(body >= 0x80)
        for line in np.unique(np.searchsorted(stops, high)).tolist():
            piece = text.raw[starts[line] : ends[line]]
            try:
                strange[line] |= not piece.decode().isprintable()
            except UnicodeDecodeError:
                strange[line] = True
    return starts, ends, strange


def read_csv(chunk: bytes, decoders: Decoders) -> Chunk:
    """Whole lines of the CSV form, each ended by a newline, below 2**31 bytes in all."""
    text = _Text(chunk)
    starts, ends, strange = _lines(text)
    commas = np.flatnonzero(text.bytes[: text.size] == _COMMA).astype(np.int32)
    before = np.searchsorted(commas, ends).astype(np.int32)
    first_comma = np.concatenate([np.zeros(1, np.int32), before[:-1]])
    skip = (ends == starts) | (text.bytes[starts] == _HASH)
    regular = (before - first_comma == 5) & ~strange & ~skip
    lines = np.flatnonzero(regular).astype(np.int32)
    start, end = starts[lines], ends[lines]
    comma = [commas[first_comma[lines] + k] for k in range(5)]
    sure = comma[0] > start
    sure &= (text.bytes[start] != _SPACE) & (text.bytes[comma[0] - 1] != _SPACE)
    category, known = text.lookup(comma[1] + 1, comma[2], decoders.category)
    sure &= known
    valid_from, known = text.lookup(comma[2] + 1, comma[3], decoders.valid_from)
    sure &= known
    valid_until, known = text.lookup(comma[3] + 1, comma[4], decoders.valid_until)
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


def read_plain(chunk: bytes) -> Chunk:
    """Whole lines of the plain form: one prefix each, always of category 0, for any service."""
    text = _Text(chunk)
    starts, ends, strange = _lines(text)
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
    text: _Text, first: Ints, last: Ints, sure: Bools
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
