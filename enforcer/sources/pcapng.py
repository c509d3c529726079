"""pcapng → `Records`: sections, interfaces with their own link types and clocks, packet blocks.

In: the chunks of a file that begins as pcapng. Out: records, one interface at a time. Blocks of
other kinds (names, statistics, secrets, comments) are passed over.
Source: draft-ietf-opsawg-pcapng, sections 4.1 to 4.4 and the obsolete packet block.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enforcer.sources.capture import (
    LONGEST,
    NO_TIME,
    PCAPNG,
    CaptureError,
    Chunks,
    Order,
    Records,
    cut_off,
    damaged,
    gather,
    pad,
)

_SECTION, _INTERFACE, _OBSOLETE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_MAGIC = 0x1A2B3C4D
_IF_NAME, _IF_TSRESOL, _IF_TSOFFSET, _EPB_FLAGS = 2, 9, 14, 2
_SMALLEST = {_SECTION: 28, _INTERFACE: 20, _OBSOLETE: 32, _SIMPLE: 16, _ENHANCED: 32}
_OPTIONS_LOOKED_AT = 8
# Instants beyond the year 2262 do not fit 64 bits of nanoseconds: damage, or a clock gone mad.
_LAST_S = 2**63 // 10**9 - 1


@dataclass(frozen=True, slots=True)
class _Interface:
    """`resolution`: the byte of if_tsresol, a power of ten, or of two when its top bit is set."""

    link_type: int
    snap_bytes: int
    name: str | None
    resolution: int
    offset_s: int

    def nanoseconds(self, ticks: NDArray[np.uint64]) -> NDArray[np.int64]:
        power = self.resolution & 0x7F
        if self.resolution & 0x80:
            seconds = ticks >> np.uint64(min(power, 63)) if power < 64 else ticks * np.uint64(0)
            part = ticks - (seconds << np.uint64(min(power, 63)))
            # 30 bits are a nanosecond, and 30 more still fit.
            drop = max(0, power - 30)
            rest = ((part >> np.uint64(min(drop, 63))) * np.uint64(10**9)) >> np.uint64(
                power - drop
            )
        elif power <= 19:
            seconds, part = np.divmod(ticks, np.uint64(10**power))
            scale = 10 ** abs(9 - power)
            rest = part * np.uint64(scale) if power <= 9 else part // np.uint64(scale)
        else:
            seconds, rest = ticks * np.uint64(0), ticks * np.uint64(0)
        known = seconds < np.uint64(_LAST_S - abs(self.offset_s))
        whole = np.where(known, seconds, 0).astype(np.int64) + self.offset_s
        return np.where(known, whole * 10**9 + rest.astype(np.int64), NO_TIME)

    @property
    def finer_than_microseconds(self) -> bool:
        power = self.resolution & 0x7F
        return power > 20 if self.resolution & 0x80 else power > 6


class _Section:
    """What the blocks since the last section header say."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.interfaces: list[_Interface] = []
        self.pair = struct.Struct(f"{order}II").unpack_from

    def interface(self, block: bytes) -> None:
        link_type, _, snap = struct.unpack_from(f"{self.order}HHI", block, 8)
        options = self._options(block, 16)
        name = options.get(_IF_NAME, b"").decode(errors="replace").rstrip("\0") or None
        offset = options.get(_IF_TSOFFSET, b"")
        self.interfaces.append(
            _Interface(
                link_type,
                snap,
                name,
                (options.get(_IF_TSRESOL) or b"\x06")[0],
                _offset_s(struct.unpack(f"{self.order}q", offset)[0]) if len(offset) == 8 else 0,
            )
        )

    def _options(self, block: bytes, at: int) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        while at + 4 <= len(block) - 4:
            code, size = struct.unpack_from(f"{self.order}HH", block, at)
            if code == 0:
                break
            found.setdefault(code, block[at + 4 : at + 4 + size])
            at += 4 + size + -size % 4
        return found


def _offset_s(seconds: int) -> int:
    """What is added to each time; nothing where it could not be meant."""
    return seconds if abs(seconds) < _LAST_S // 2 else 0


def read_pcapng(head: bytes, chunks: Chunks) -> Iterator[Records]:
    """All packets. `head` are the first bytes, read already. Raises CaptureError."""
    tail, before = head, 0
    section = _Section("<")
    while new := chunks.more():
        data, at = tail + new, 0
        found = _Found(pad(data))
        trouble = False
        while at + 12 <= len(data):
            if data[at : at + 4] == PCAPNG:
                bad = found.check(section)
                yield from found.records(section)
                if bad is not None:
                    raise damaged(before + bad)
                found = _Found(found.padded)
                section = _section(data, at, before)
            kind, size = section.pair(data, at)
            if size < _SMALLEST.get(kind, 12) or size & 3 or size > LONGEST:
                trouble = True
                break
            if at + size > len(data):
                break
            if section.pair(data, at + size - 8)[1] != size:
                trouble = True
                break
            if kind in (_ENHANCED, _SIMPLE, _OBSOLETE):
                found.add(kind, at, size)
            elif kind == _INTERFACE:
                section.interface(data[at : at + size])
            at += size
        bad = found.check(section)
        yield from found.records(section)
        if bad is not None or trouble:
            raise damaged(before + (at if bad is None else bad))
        before += at
        tail = data[at:]
    if tail or chunks.spoilt:
        if before == 0:
            raise CaptureError("ends inside the head of the file: no packet in it; capture it anew")
        raise cut_off(before, chunks)


def _section(data: bytes, at: int, before: int) -> _Section:
    orders: tuple[Order, Order] = ("<", ">")
    for order in orders:
        if struct.unpack_from(f"{order}I", data, at + 8)[0] == _MAGIC:
            return _Section(order)
    raise damaged(before + at)


class _Found:
    """Where packet blocks begin, by kind, in one stretch of one section."""

    def __init__(self, padded: NDArray[np.uint8]) -> None:
        self.padded = padded
        self._at: dict[int, list[int]] = {_ENHANCED: [], _SIMPLE: [], _OBSOLETE: []}
        self._size: dict[int, list[int]] = {_ENHANCED: [], _SIMPLE: [], _OBSOLETE: []}

    def add(self, kind: int, at: int, size: int) -> None:
        self._at[kind].append(at)
        self._size[kind].append(size)

    def _arrays(self, kind: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.array(self._at[kind], np.int64), np.array(self._size[kind], np.int64)

    def check(self, section: _Section) -> int | None:
        """Drops what stands behind the first impossible block, and says where that is."""
        first: int | None = None
        for kind, header in ((_ENHANCED, 32), (_OBSOLETE, 32), (_SIMPLE, 16)):
            at, size = self._arrays(kind)
            if not len(at):
                continue
            if kind == _SIMPLE:
                wrong = np.full(len(at), not section.interfaces)
            else:
                interface, kept = _interface_of(self.padded, at, kind, section.order)
                wrong = (interface >= len(section.interfaces)) | (kept > size - header)
            bad = at[wrong]
            if len(bad):
                first = int(bad[0]) if first is None else min(first, int(bad[0]))
        if first is not None:
            for kind, starts in self._at.items():
                stay = sum(1 for start in starts if start < first)
                self._at[kind], self._size[kind] = starts[:stay], self._size[kind][:stay]
        return first

    def records(self, section: _Section) -> Iterator[Records]:
        padded = self.padded
        for kind in (_ENHANCED, _OBSOLETE):
            at, size = self._arrays(kind)
            if not len(at):
                continue
            interface, _ = _interface_of(padded, at, kind, section.order)
            for number in np.unique(interface).tolist():
                rows = interface == number
                yield _packets(padded, at[rows], size[rows], section, number)
        at, size = self._arrays(_SIMPLE)
        if len(at):
            yield _simple(padded, at, size, section)


def _interface_of(
    padded: NDArray[np.uint8], at: NDArray[np.int64], kind: int, order: Order
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(interface, captured length) of enhanced or obsolete packet blocks."""
    words = gather(padded, at + 8, 4, order).astype(np.int64)
    interface = words[:, 0]
    if kind == _OBSOLETE:
        interface = interface & 0xFFFF if order == "<" else interface >> 16
    return interface, words[:, 3]


def _packets(
    padded: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    section: _Section,
    number: int,
) -> Records:
    interface = section.interfaces[number]
    words = gather(padded, at + 12, 4, section.order)
    ticks = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]
    kept, length = words[:, 2].astype(np.int64), words[:, 3].astype(np.int64)
    return Records(
        padded,
        at + 28,
        kept,
        np.maximum(kept, length),
        interface.nanoseconds(ticks),
        _directions(padded, at, kept, size, section.order),
        interface.link_type,
        interface.name,
        interface.finer_than_microseconds,
    )


def _directions(
    padded: NDArray[np.uint8],
    at: NDArray[np.int64],
    kept: NDArray[np.int64],
    size: NDArray[np.int64],
    order: Order,
) -> NDArray[np.uint8]:
    """The lowest two bits of the flags option, which most writers leave out: 1 in, 2 out."""
    direction = np.zeros(len(at), np.uint8)
    option, end = at + 28 + kept + -kept % 4, at + size - 4
    rows = np.flatnonzero(option + 8 <= end)
    for _ in range(_OPTIONS_LOOKED_AT):
        if not len(rows):
            break
        words = gather(padded, option[rows], 2, order).astype(np.int64)
        code = words[:, 0] & 0xFFFF if order == "<" else words[:, 0] >> 16
        length = words[:, 0] >> 16 if order == "<" else words[:, 0] & 0xFFFF
        flags = (code == _EPB_FLAGS) & (length == 4)
        direction[rows[flags]] = words[flags, 1] & 3
        option[rows] += 4 + length + -length % 4
        rows = rows[~flags & (code != 0) & (option[rows] + 8 <= end[rows])]
    direction[direction == 3] = 0
    return direction


def _simple(
    padded: NDArray[np.uint8], at: NDArray[np.int64], size: NDArray[np.int64], section: _Section
) -> Records:
    """Simple blocks: of the first interface, without a time, cut at its snapshot length."""
    interface = section.interfaces[0]
    length = gather(padded, at + 8, 1, section.order)[:, 0].astype(np.int64)
    snap = interface.snap_bytes or LONGEST
    return Records(
        padded,
        at + 12,
        np.minimum(np.minimum(length, snap), size - 16),
        length,
        np.full(len(at), NO_TIME),
        np.zeros(len(at), np.uint8),
        interface.link_type,
        interface.name,
    )
