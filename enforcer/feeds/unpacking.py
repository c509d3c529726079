"""What came over the wire → the body: gzip undone, in bounded memory.

In: pieces of bytes. Out: bytes, or UnpackError with `fact; remedy`. A bomb is refused at the first
byte over the limit, and never held.
"""

from __future__ import annotations

import zlib
from typing import Protocol

MAGIC = b"\x1f\x8b"
_GZIP = 31
_PIECE_BYTES = 64 * 1024
# Files of many members exist (one a block); of more than these each costs more than it holds.
_MOST_MEMBERS = 10_000


class UnpackError(ValueError):
    """The body is not what it says it is, or too large. `again`: another attempt may mend it."""

    def __init__(self, text: str, *, again: bool = False) -> None:
        super().__init__(text)
        self.again = again


def size_text(size: int) -> str:
    return f"{size / 1024**2:,.4g} MB"


def too_large(most: int) -> UnpackError:
    return UnpackError(f"is larger than max_size, {size_text(most)}; raise it if that is meant")


class Unpacking(Protocol):
    def feed(self, piece: bytes) -> None:
        """Takes the next piece. Raises UnpackError."""

    def whole(self) -> bytes:
        """The body, once everything came. Raises UnpackError when it did not."""


class Plain:
    """A body that is what was sent."""

    def __init__(self, most: int) -> None:
        self._most, self._body = most, bytearray()

    def feed(self, piece: bytes) -> None:
        if len(self._body) + len(piece) > self._most:
            raise too_large(self._most)
        self._body += piece

    def whole(self) -> bytes:
        return bytes(self._body)


class Gunzip:
    """One gzip member or several in a row (RFC 1952, 2.2), each with its checksum looked at."""

    def __init__(self, most: int) -> None:
        self._most, self._sent, self._body = most, 0, bytearray()
        self._member, self._members = zlib.decompressobj(_GZIP), 1

    def feed(self, piece: bytes) -> None:
        self._sent += len(piece)
        if self._sent > self._most:
            raise too_large(self._most)
        while piece:
            if self._member.eof:
                self._member, self._members = zlib.decompressobj(_GZIP), self._members + 1
            if self._members > _MOST_MEMBERS:
                raise UnpackError(f"has over {_MOST_MEMBERS:,} parts of gzip; pack it as one")
            try:
                # One more than is left, so that a bomb shows.
                self._body += self._member.decompress(piece, self._most - len(self._body) + 1)
            except zlib.error:
                fact = "is broken gzip; fetch it again, or correct the server"
                raise UnpackError(fact, again=True) from None
            if len(self._body) > self._most:
                raise too_large(self._most)
            piece = self._member.unused_data or self._member.unconsumed_tail

    def whole(self) -> bytes:
        if not self._member.eof:
            raise UnpackError("is gzip that was cut short; fetch it again", again=True)
        return bytes(self._body)


def unpacking(encoding: str, most: int) -> Unpacking:
    """For a value of Content-Encoding. Raises UnpackError."""
    match encoding.strip().lower():
        case "" | "identity":
            return Plain(most)
        case "gzip" | "x-gzip":
            return Gunzip(most)
    raise UnpackError("comes in an encoding that nobody asked for; have the server send gzip")


def opened(body: bytes, most: int) -> bytes:
    """The registry in a body, which may be a .gz file itself. Raises UnpackError."""
    if not body.startswith(MAGIC):
        return body
    inside = Gunzip(most)
    for at in range(0, len(body), _PIECE_BYTES):
        inside.feed(body[at : at + _PIECE_BYTES])
    return inside.whole()
