"""A zip archive that came by mail, unpacked a piece at a time and never to disk.

In: the bytes of the archive and the most that may come out of it. Out: pieces of one member. Only
what spreadsheets use is read: stored or deflated members, no encryption, no zip64 (PKWARE
APPNOTE 6.3.10, 4.3). What an archive says of sizes is not believed, it is held to it: nothing is
set aside for a size that is only claimed. Raises `SheetError`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MOST_MEMBERS = 10_000
_MOST_COMMENT = 65_535
_PIECE = 1 << 16
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1


class SheetError(Exception):
    """Why a spreadsheet cannot be read, as `fact; remedy`."""


@dataclass(frozen=True, slots=True)
class _Member:
    method: int
    crc: int
    packed: int
    unpacked: int
    at: int


class Archive:
    """The members of `data` by name; at most `most_bytes` come out of it in all."""

    def __init__(self, data: bytes, most_bytes: int) -> None:
        self._data = memoryview(data)
        self._left = most_bytes
        self._most = most_bytes
        count, at, end = _directory(data)
        self._members: dict[str, _Member] = {}
        for _ in range(count):
            if at + _ENTRY.size > end:
                raise SheetError("its table of contents is cut short; fetch or save it anew")
            entry = _ENTRY.unpack_from(data, at)
            flags, method, crc, packed, unpacked = entry[3], entry[4], *entry[7:10]
            name_size, extra_size, comment_size, local = entry[10], entry[11], entry[12], entry[16]
            raw = data[at + _ENTRY.size : at + _ENTRY.size + name_size]
            name = raw.decode("utf-8", "replace")
            if entry[0] != b"PK\x01\x02" or len(raw) != name_size:
                raise SheetError("its table of contents is broken; fetch or save it anew")
            if flags & _ENCRYPTED:
                raise SheetError("is protected by a password; save it without one")
            if 0xFFFFFFFF in (packed, unpacked, local):
                raise SheetError("is a zip64 archive; save it anew with a spreadsheet program")
            if name in self._members:
                raise SheetError("has two members of one name; save it anew")
            self._members[name] = _Member(method, crc, packed, unpacked, local)
            at += _ENTRY.size + name_size + extra_size + comment_size

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def pieces(self, name: str) -> Iterator[bytes]:
        """The member's bytes, some 64 kB at a time; checked against its size and its CRC."""
        member = self._members.get(name)
        if member is None:
            raise SheetError(f"has no {name!r} in it; save it anew with a spreadsheet program")
        size, crc = 0, 0
        for piece in self._unpacked(member):
            size += len(piece)
            self._left -= len(piece)
            if self._left < 0:
                fact = f"unpacks to more than {self._most // 1024**2:,} MB"
                raise SheetError(f"{fact}, the most that is read; export it as CSV")
            crc = zlib.crc32(piece, crc)
            yield piece
        if size != member.unpacked or crc != member.crc:
            raise SheetError("is damaged: a checksum in it is wrong; fetch or save it anew")

    def _unpacked(self, member: _Member) -> Iterator[bytes]:
        if member.at + _LOCAL.size > len(self._data):
            raise SheetError("is damaged; fetch or save it anew")
        local = _LOCAL.unpack_from(self._data, member.at)
        first = member.at + _LOCAL.size + local[9] + local[10]
        packed = self._data[first : first + member.packed]
        if local[0] != b"PK\x03\x04" or len(packed) != member.packed:
            raise SheetError("is damaged or cut short; fetch or save it anew")
        if member.method == _STORED:
            for at in range(0, len(packed), _PIECE):
                yield bytes(packed[at : at + _PIECE])
            return
        if member.method != _DEFLATED:
            raise SheetError("is packed in a way that is not read; save it anew")
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            for at in range(0, len(packed), _PIECE):
                rest: bytes | memoryview = packed[at : at + _PIECE]
                while len(rest):
                    yield inflate.decompress(rest, _PIECE)
                    rest = inflate.unconsumed_tail
            while not inflate.eof:
                piece = inflate.decompress(b"", _PIECE)
                if not piece:
                    break
                yield piece
        except zlib.error:
            raise SheetError("is damaged: it does not unpack; fetch or save it anew") from None


def _directory(data: bytes) -> tuple[int, int, int]:
    """Members, and where the table of contents begins and ends."""
    at = len(data)
    lowest = max(0, len(data) - _END.size - _MOST_COMMENT)
    while (at := data.rfind(b"PK\x05\x06", lowest, at)) >= 0:
        if at + _END.size > len(data):
            continue
        _, disk, first_disk, here, count, size, begin, comment = _END.unpack_from(data, at)
        if at + _END.size + comment != len(data):
            continue
        if count == 0xFFFF or 0xFFFFFFFF in (size, begin):
            raise SheetError("is a zip64 archive; save it anew with a spreadsheet program")
        if disk or first_disk or here != count or begin + size > at:
            raise SheetError("its table of contents is broken; fetch or save it anew")
        if count > _MOST_MEMBERS:
            raise SheetError(f"has {count:,} members, which no spreadsheet has; export it as CSV")
        return count, begin, begin + size
    raise SheetError("is cut short: its end is missing; fetch it anew")
