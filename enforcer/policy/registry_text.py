"""The text of a stretch of lines as numpy sees it: slices of it compared, and read as prefixes and
days, a column at a time.

In: bytes, and the first and last position of each slice. Out: values, and which of them are sure: a
slice that is not is for the careful path of `registry_rows.py`, which tells what is wrong with it.

Text is read eight bytes at a time: `word` are the unaligned 64-bit words, one at each byte.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.limits import REGISTERED_SHORTEST
from enforcer.policy.registry_columns import MASKS, Words

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]

_LONGEST_FIELD = 64
_PAD = bytes(_LONGEST_FIELD + 8)
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_MIX = np.array([0x9E3779B97F4A7C15 * (2 * n + 1) % 2**64 | 1 for n in range(9)], np.uint64)
_DOT, _SLASH, _ZERO = 46, 47, 48
_TENS = np.array([1, 10, 100], np.uint32)
_LEAST = np.array([0, 0, 10, 100], np.uint32)
# First octets under which some address is a bogon; 169 is looked at more closely.
_BOGON_OCTETS = np.array([o in (0, 127) or o >= 224 for o in range(256)])

# Text xor zeros is a number in each byte. Added to it, these leave a byte's top bit clear where it
# is at most 9, and where it is 0; a carry spoils only what stands behind a byte that is wrong.
_DIGITS, _NONE = 0x76, 0x7F
# By which of three bytes are no digits (bit 0 the first): how many digits they begin with.
_LEADING = np.array([3, 0, 1, 0, 2, 0, 1, 0], np.uint32)
# As `YYYY-MM-DD` lies in memory.
_DATE = np.frombuffer(b"0000-00-00" + bytes(6), "<u8")
_DATE_BYTES = 10
_DATE_LIMITS = np.frombuffer(
    bytes([*[_DIGITS] * 4, _NONE, *[_DIGITS] * 2, _NONE, *[_DIGITS] * 2]) + bytes(6), "<u8"
)
_TOPS = np.uint64(0x8080808080808080)
# Days since 1970-01-01 at which the months begin, from the first of the year 0 to that of 10000.
_MONTHS = (np.arange(120_001) - 1970 * 12).astype("M8[M]").astype("M8[D]").astype(np.int32)


class Text:
    """The bytes of a chunk, padded, so that words at its end can be read."""

    def __init__(self, chunk: bytes | memoryview) -> None:
        self.raw = b"".join((chunk, _PAD))
        self.size = len(chunk)
        self.bytes = np.frombuffer(self.raw, np.uint8)
        self.word = np.ndarray((len(self.raw) - 7,), np.dtype("<u8"), self.raw, 0, (1,))
        self._half = np.ndarray((len(self.raw) - 3,), np.dtype("<u4"), self.raw, 0, (1,))

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
        rows = np.flatnonzero(known & (size > 0))
        if not len(rows):
            return values, known
        at, size = first[rows], size[rows]
        # The words of each slice, bytes behind its end cleared.
        words = [
            self.word[at + start] & _KEEP[np.clip(size - start, 0, 8)]
            for start in range(0, int(size.max()), 8)
        ]
        mixed = words[0] * _MIX[0]
        for word, factor in zip(words[1:], _MIX[1:], strict=False):
            mixed += word * factor
        for shift in (48, 40, 32, 24):
            bucket = (mixed >> np.uint64(shift)).astype(np.uint16)
            owner = np.full(1 << 16, -1, np.int32)
            owner[bucket] = np.arange(len(rows), dtype=np.int32)
            taken = np.flatnonzero(owner >= 0)
            value = np.zeros(1 << 16, np.int32)
            valid = np.zeros(1 << 16, np.bool_)
            for place, who in zip(taken.tolist(), rows[owner[taken]].tolist(), strict=True):
                found = decode(self.raw[first[who] : last[who]])
                if found is not None:
                    value[place], valid[place] = found, True
            whose = owner[bucket]
            same = np.ones(len(rows), np.bool_)
            for word in words:
                same &= word == word[whose]
            mine = rows[same]
            values[mine], known[mine] = value[bucket[same]], valid[bucket[same]]
            rows, mixed = rows[~same], mixed[~same]
            if not len(rows):
                break
            words = [word[~same] for word in words]
        known[rows] = False
        return values, known

    def days(self, first: Ints, last: Ints, empty: int) -> tuple[Ints, Bools]:
        """Days since 1970-01-01 of slices like `2026-12-31`; `empty` for an empty one."""
        values = np.full(len(first), empty, np.int32)
        known = first == last
        rows = np.flatnonzero(last - first == _DATE_BYTES)
        at = first[rows]
        head, tail = self.word[at] ^ _DATE[0], self.word[at + 8] & _KEEP[2] ^ _DATE[1]
        wrong = (head + _DATE_LIMITS[0] | head) & _TOPS
        wrong |= (tail + _DATE_LIMITS[1] | tail) & _TOPS
        # In every second byte a number of two digits.
        head = head * np.uint64(10) + (head >> np.uint64(8))
        tail = tail * np.uint64(10) + (tail >> np.uint64(8))
        century, year, month, day = (
            (word >> np.uint64(shift) & _KEEP[1]).astype(np.int32)
            for word, shift in ((head, 0), (head, 16), (head, 40), (tail, 0))
        )
        sure = (wrong == 0) & (month >= 1) & (month <= 12) & (day >= 1)
        year += century * 100
        sure &= year >= 1
        month = np.where(sure, year * 12 + month - 1, 0)
        values[rows] = _MONTHS[month] + day - 1
        known[rows] = sure & (values[rows] < _MONTHS[month + 1])
        return values, known

    def ipv4(self, first: Ints, last: Ints) -> tuple[NDArray[np.uint32], Ints, Bools]:
        """`(network, length, sure)` of slices that are IPv4 prefixes in their canonical form."""
        sure = np.ones(len(first), np.bool_)
        address = np.zeros(len(first), np.uint32)
        at = first
        for end in (_DOT, _DOT, _DOT, _SLASH, None):
            number, digits = self._number(at)
            # A number of one digit may be zero; a longer one may not begin with it.
            sure &= (digits > 0) & (number >= _LEAST[digits]) & (number <= 255)
            at = at + digits.astype(np.int32)
            if end is not None:
                sure &= self.bytes[at] == end
                address = address << np.uint32(8) | number
                at += np.int32(1)
        sure &= at == last
        sure &= (number <= 32) & (number >= REGISTERED_SHORTEST[4])
        bits = np.where(sure, number, 0).astype(np.int32)
        top = address >> np.uint32(24)
        sure &= address & ~MASKS[4][0][bits] == 0
        sure &= ~_BOGON_OCTETS[top]
        sure &= (address >> np.uint32(16) != 169 << 8 | 254) & ((top != 169) | (bits >= 16))
        return address, bits, sure

    def _number(self, at: Ints) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The number that begins here, of three digits at most, and how many it has."""
        text = self._half[at] ^ np.uint32(0x30303030)
        other = (text + np.uint32(_DIGITS * 0x010101) | text) & np.uint32(0x808080)
        # The three top bits side by side.
        other = (other >> np.uint32(7)) * np.uint32(1 << 16 | 1 << 9 | 1 << 2) >> np.uint32(16)
        digits = _LEADING[other & np.uint32(7)]
        text <<= np.uint32(8) * (np.uint32(3) - digits)
        byte = np.uint32(0xFF)
        number = (text & byte) * np.uint32(100)
        number += (text >> np.uint32(8) & byte) * np.uint32(10)
        number += text >> np.uint32(16) & byte
        return number, digits

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
