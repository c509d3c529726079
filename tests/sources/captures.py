"""Captures and frames as bytes, built from the formats' definitions and not from our reader."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence

from enforcer.policy.prefix import parse_address

ETHERNET, COOKED, COOKED_2, RAW, NULL, LOOP = 1, 113, 276, 101, 0, 108
OUR_MAC, THEIR_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
AT_S = 1796112000  # 2026-12-01T08:00:00Z
SYN, ACK = 0x02, 0x10


def ports(sport: int, dport: int) -> bytes:
    """The header of a UDP datagram without content."""
    return struct.pack("!HHHH", sport, dport, 8, 0)


def tcp(sport: int, dport: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, flags, 1000, 0, 0)


def ipv4(
    source: str,
    target: str,
    protocol: int,
    payload: bytes,
    *,
    fragment: int = 0,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    """`fragment` is the field of flags and offset."""
    size = 20 + len(options)
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | size // 4,
        0,
        size + len(payload) if total is None else total,
        7,
        fragment,
        64,
        protocol,
        0,
        socket.inet_aton(source),
        socket.inet_aton(target),
    )
    return head + options + payload


def ipv6(source: str, target: str, protocol: int, payload: bytes) -> bytes:
    """`protocol` is the first next header; extensions stand in `payload`."""
    ends = (parse_address(end)[1].to_bytes(16, "big") for end in (source, target))
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + b"".join(ends) + payload


def fragment_header(following: int, offset: int, *, more: bool = False) -> bytes:
    return struct.pack("!BBHI", following, 0, offset << 3 | more, 9)


def ethernet(
    packet: bytes,
    *,
    tags: Iterable[int] = (),
    kind: int | None = None,
    to: bytes = OUR_MAC,
    of: bytes = THEIR_MAC,
) -> bytes:
    """`tags` are the types of VLAN tags, from outside in."""
    if kind is None:
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    tagged = b"".join(struct.pack("!HH", tag, 42) for tag in tags)
    return to + of + tagged + struct.pack("!H", kind) + packet


def cooked(packet: bytes, packet_type: int = 0, kind: int = 0x0800) -> bytes:
    return struct.pack("!HHH8sH", packet_type, 1, 6, bytes(8), kind) + packet


def cooked_2(packet: bytes, packet_type: int = 0, kind: int = 0x0800) -> bytes:
    return struct.pack("!HHIHBB8s", kind, 0, 3, 1, packet_type, 6, bytes(8)) + packet


def pcap(
    frames: Sequence[bytes],
    *,
    link: int = ETHERNET,
    order: str = "<",
    nanoseconds: bool = False,
    snap: int = 1 << 18,
    at_s: Sequence[float] = (),
) -> bytes:
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    parts = [struct.pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, snap, link)]
    for number, frame in enumerate(frames):
        when = at_s[number] if at_s else AT_S
        tick = int(when % 1 * (10**9 if nanoseconds else 10**6))
        kept = frame[:snap]
        parts += [struct.pack(f"{order}IIII", int(when), tick, len(kept), len(frame)), kept]
    return b"".join(parts)


# --- pcapng -----------------------------------------------------------------------------------


def block(order: str, kind: int, body: bytes) -> bytes:
    size = 12 + len(body) + -len(body) % 4
    padding = bytes(-len(body) % 4)
    return struct.pack(f"{order}II", kind, size) + body + padding + struct.pack(f"{order}I", size)


def option(order: str, code: int, value: bytes) -> bytes:
    return struct.pack(f"{order}HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(
    order: str = "<",
    *,
    link: int = ETHERNET,
    name: str | None = None,
    resolution: int | None = None,
    offset_s: int | None = None,
    snap: int = 0,
) -> bytes:
    options = b""
    if name is not None:
        options += option(order, 2, name.encode())
    if resolution is not None:
        options += option(order, 9, bytes([resolution]))
    if offset_s is not None:
        options += option(order, 14, struct.pack(f"{order}q", offset_s))
    if options:
        options += option(order, 0, b"")
    return block(order, 1, struct.pack(f"{order}HHI", link, 0, snap) + options)


def enhanced(
    frame: bytes,
    order: str = "<",
    *,
    number: int = 0,
    ticks: int = AT_S * 10**6,
    flags: int | None = None,
    comment: str | None = None,
    kept: int | None = None,
) -> bytes:
    held = frame[:kept]
    body = struct.pack(
        f"{order}IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(held), len(frame)
    )
    options = b""
    if comment is not None:
        options += option(order, 1, comment.encode())
    if flags is not None:
        options += option(order, 2, struct.pack(f"{order}I", flags))
    if options:
        options += option(order, 0, b"")
    return block(order, 6, body + held + bytes(-len(held) % 4) + options)


def simple(frame: bytes, order: str = "<", *, kept: int | None = None) -> bytes:
    return block(order, 3, struct.pack(f"{order}I", len(frame)) + frame[:kept])


def obsolete(
    frame: bytes, order: str = "<", *, number: int = 0, ticks: int = AT_S * 10**6
) -> bytes:
    head = struct.pack(
        f"{order}HHIIII", number, 0xFFFF, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
    )
    return block(order, 2, head + frame)
