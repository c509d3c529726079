"""Netlink as bytes: attributes, messages and batches, packed and parsed with struct.

In: numbers and bytes. Out: bytes, or parsed attributes. No socket, no meaning: what the numbers
stand for is said in `encode`, `decode` and `shaping`. Why not pyroute2's message classes:
docs/decisions/0002. Source: <linux/netlink.h>, <linux/netfilter/nfnetlink.h>, <nf_tables.h>.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, DUMP_INTERRUPTED = 0x1, 0x4, 0x10
DUMP = 0x300
REPLACE, EXCLUSIVE, CREATE, APPEND = 0x100, 0x200, 0x400, 0x800
NESTED = 0x8000
_TYPE_MASK = 0x3FFF
# The length of an attribute is a 16-bit number; rounded down to the alignment of 4.
LONGEST_ATTRIBUTE = 0xFFFC

_BATCH_BEGIN, _BATCH_END = 16, 17
_BATCH_GENID = 1
SUBSYSTEM_NFTABLES = 10
FAMILY_INET = 1

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


def attribute(number: int, payload: bytes) -> bytes:
    """One attribute with its padding. Raises struct.error above 64 KiB."""
    size = len(payload)
    return _ATTRIBUTE.pack(size + 4, number) + payload + _PADDING[size & 3]


def nested(number: int, *inner: bytes) -> bytes:
    return attribute(number | NESTED, b"".join(inner))


def text(number: int, value: str) -> bytes:
    return attribute(number, value.encode() + b"\0")


def be32(number: int, value: int) -> bytes:
    """nf_tables has its numbers in network order, signed ones as their two's complement."""
    return attribute(number, struct.pack(">I", value & 0xFFFFFFFF))


def be64(number: int, value: int) -> bytes:
    return attribute(number, struct.pack(">Q", value))


@dataclass(frozen=True, slots=True)
class Message:
    """A request before it has a sequence number: `kind` is the whole netlink message type."""

    kind: int
    flags: int
    body: bytes

    @property
    def nft_kind(self) -> int:
        return self.kind & 0xFF

    def packed(self, sequence: int) -> bytes:
        size = 16 + len(self.body)
        head = _HEADER.pack(size, self.kind, self.flags | REQUEST, sequence, 0)
        return head + self.body + _PADDING[size & 3]


def nftables(kind: int, flags: int, *attributes: bytes, family: int = FAMILY_INET) -> Message:
    """A message of nf_tables: nfgenmsg (family, version 0, resource 0) and attributes."""
    body = struct.pack(">BBH", family, 0, 0) + b"".join(attributes)
    return Message(SUBSYSTEM_NFTABLES << 8 | kind, flags, body)


def batch_edges(generation: int, first: int, last: int) -> tuple[bytes, bytes]:
    """What opens and what closes a transaction, with their sequence numbers.

    The kernel refuses the whole with ERESTART when the generation is no longer `generation`;
    without the closing message it acknowledges everything and commits nothing.
    """
    edge = struct.pack(">BBH", 0, 0, SUBSYSTEM_NFTABLES)
    begin = Message(_BATCH_BEGIN, 0, edge + be32(_BATCH_GENID, generation))
    return begin.packed(first), Message(_BATCH_END, 0, edge).packed(last)


# --- parsing ------------------------------------------------------------------------------------

# What a reply raises that is cut short, or says less than its kind must say, wherever it is read:
# attributes that are missing, numbers of the wrong size, bodies without a head. For whoever asked
# to turn into an error of the kernel's.
MALFORMED = (LookupError, ValueError, struct.error)


@dataclass(frozen=True, slots=True)
class Reply:
    """A message from the kernel. `error` is the errno of an NLMSG_ERROR (0: acknowledged). `port`
    is the socket that asked for it: its process's id, unless that has several of them (0: nobody).
    """

    kind: int
    flags: int
    sequence: int
    body: memoryview
    error: int | None = None
    port: int = 0

    @property
    def nft_kind(self) -> int:
        """The NFT_MSG number, or -1 for a message of another subsystem."""
        return self.kind & 0xFF if self.kind >> 8 == SUBSYSTEM_NFTABLES else -1


def replies(data: bytes) -> Iterator[Reply]:
    """The messages of one datagram. A truncated tail is left out."""
    view, at = memoryview(data), 0
    while at + 16 <= len(view):
        size, kind, flags, sequence, port = _HEADER.unpack_from(view, at)
        if size < 16 or at + size > len(view):
            return
        body = view[at + 16 : at + size]
        error = None
        if kind == NLMSG_ERROR:
            error = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else errno.EBADMSG
        yield Reply(kind, flags, sequence, body, error, port)
        at += (size + 3) & ~3


def whole_replies(data: bytes) -> list[Reply]:
    """The messages of one datagram. Raises OSError, EBADMSG, when it is cut short: what is missing
    may be a rule, and a dump without it would look whole.
    """
    found = list(replies(data))
    size = sum(16 + len(reply.body) + 3 & ~3 for reply in found)
    if not data or size < len(data):
        raise OSError(errno.EBADMSG, "netlink")
    return found


def attributes(data: memoryview | bytes) -> dict[int, memoryview]:
    """Number → payload, without flags. Of a repeated attribute the last one stays."""
    return dict(each_attribute(data))


def each_attribute(data: memoryview | bytes) -> Iterator[tuple[int, memoryview]]:
    """(number, payload) in order, for lists whose entries share one number."""
    view, at = memoryview(data), 0
    while at + 4 <= len(view):
        size, number = _ATTRIBUTE.unpack_from(view, at)
        if size < 4 or at + size > len(view):
            return
        yield number & _TYPE_MASK, view[at + 4 : at + size]
        at += (size + 3) & ~3


def number32(data: memoryview | bytes) -> int:
    value: int = struct.unpack(">I", data)[0]
    return value


def signed32(data: memoryview | bytes) -> int:
    value: int = struct.unpack(">i", data)[0]
    return value


def number64(data: memoryview | bytes) -> int:
    value: int = struct.unpack(">Q", data)[0]
    return value


def string(data: memoryview | bytes) -> str:
    return bytes(data).rstrip(b"\0").decode(errors="replace")
