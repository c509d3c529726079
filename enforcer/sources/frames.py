"""Captured frames → IP packets as columns: link layers, VLAN tags, IPv4, IPv6 with its extensions.

In: `Records`. Out: `Packets`, and how many frames are none, by kind. Only headers are looked at: up
to the ports and the TCP flags. What a field is follows the kernel's own walk (nft_set_pktinfo_ipv4
and _ipv6, ipv6_find_hdr), so that a packet here is what a rule would see.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.prefix import PROTOCOLS
from enforcer.policy.registry_columns import Words
from enforcer.ruleset.packets import EITHER, IN, NONE, OUT, Packets
from enforcer.sources.capture import PADDING, Records

# https://www.tcpdump.org/linktypes.html. 12 and 14 are what some systems write for raw IP.
ETHERNET, LINUX_COOKED, LINUX_COOKED_2, NULL, LOOP = 1, 113, 276, 0, 108
_RAW = {12, 14, 101, 228, 229}
KNOWN = {ETHERNET, LINUX_COOKED, LINUX_COOKED_2, NULL, LOOP, *_RAW}
COOKED = {LINUX_COOKED, LINUX_COOKED_2}
LINK_NAMES = {
    8: "SLIP",
    9: "PPP",
    50: "PPP in HDLC",
    51: "PPPoE",
    104: "Cisco HDLC",
    105: "Wi-Fi",
    119: "Wi-Fi with a Prism header",
    127: "Wi-Fi with radiotap",
    189: "USB",
    220: "USB",
    239: "NFLOG",
    249: "USB",
    253: "netlink",
    274: "MPLS over Ethernet in a slot",
}
_IP4, _IP6, _VLAN = 0x0800, 0x86DD, (0x8100, 0x88A8, 0x9100)
_ETHERTYPES = {
    0x0806: "ARP",
    0x8035: "RARP",
    0x8847: "MPLS",
    0x8848: "MPLS",
    0x8863: "PPPoE",
    0x8864: "PPPoE",
    0x8809: "LACP",
    0x888E: "802.1X",
    0x88CC: "LLDP",
    0x88E5: "MACsec",
}
_TAGS_LOOKED_AT = 8
# IPv6 extension headers that are walked over; AH is not: rules see it as the protocol 51.
_HOP, _ROUTING, _FRAGMENT, _NOTHING, _OPTIONS = 0, 43, 44, 59, 60
_EXTENSIONS = np.array([_HOP, _ROUTING, _FRAGMENT, _OPTIONS], np.int64)
_TAIL = np.array([*_EXTENSIONS, PROTOCOLS["ah"], _NOTHING], np.int64)
_HEADERS_LOOKED_AT = 32
_TCP = PROTOCOLS["tcp"]
_WITH_PORTS = np.array([PROTOCOLS[name] for name in ("tcp", "udp", "sctp")])
_SYN, _ACK = 0x02, 0x10
_OUTGOING, _OTHER_HOST = 4, 3


@dataclass(slots=True)
class Skipped:
    """Frames that are judged by nobody, by kind."""

    not_ip: Counter[str] = field(default_factory=Counter)
    malformed: int = 0
    other_stations: int = 0


@dataclass(slots=True)
class _Frames:
    """Where the IP header of each frame begins, and of which kind the frame says it is."""

    ip_at: NDArray[np.int64]
    ethertype: NDArray[np.int64]
    direction: NDArray[np.uint8]
    others: NDArray[np.bool_]


class _Bytes:
    """Numbers in network order at places of a chunk; zeros beyond its end."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data, self._last = data, len(data) - PADDING

    def at(self, place: NDArray[np.int64], width: int = 1) -> NDArray[np.int64]:
        place = np.minimum(place, self._last)
        found = self._data[place].astype(np.int64)
        for step in range(1, width):
            found = found << 8 | self._data[place + step]
        return found

    def wide(self, place: NDArray[np.int64], count: int) -> NDArray[Any]:
        """`count` numbers of 64 bits from each place."""
        place = np.minimum(place, self._last)
        span = self._data[place[:, None] + np.arange(8 * count)]
        numbers: NDArray[Any] = span.view(">u8").astype(np.uint64)
        return numbers


def decode(records: Records, macs: frozenset[int], skipped: Skipped) -> Packets:
    """The IP packets among `records`, which must be of a known link type.

    `macs`: the gateway's own addresses on an Ethernet; they tell the direction, and what is between
    other stations is skipped.
    """
    read, end = _Bytes(records.data), records.at + records.kept
    frames = _frames(records, read, end, macs)
    skipped.other_stations += int(frames.others.sum())
    is4, is6 = frames.ethertype == _IP4, frames.ethertype == _IP6
    for kind, count in zip(
        *np.unique(frames.ethertype[~(is4 | is6 | frames.others)], return_counts=True), strict=True
    ):
        skipped.not_ip[_kind(int(kind))] += int(count)
    rows4 = np.flatnonzero(is4 & ~frames.others)
    rows6 = np.flatnonzero(is6 & ~frames.others)
    parts = [
        reader(records, frames, rows, read, end)
        for reader, rows in ((_ipv4, rows4), (_ipv6, rows6))
    ]
    count = sum(len(part) for part in parts)
    skipped.malformed += len(rows4) + len(rows6) - count
    return _joined(parts) if len(parts[1]) else parts[0]


def _kind(ethertype: int) -> str:
    if ethertype == NONE:
        return "cut off"
    if ethertype <= 1500:
        return "802.3"
    return _ETHERTYPES.get(ethertype, f"0x{ethertype:04x}")


def _joined(parts: list[Packets]) -> Packets:
    def column(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    names = ("protocol", "sport", "dport", "starts", "size", "direction", "later", "cut", "record")

    def words(end: str) -> Words:
        return tuple(np.concatenate(w) for w in zip(*(getattr(p, end) for p in parts), strict=True))

    return Packets(
        family=column("family"),
        source=words("source"),
        target=words("target"),
        **{name: column(name) for name in names},
    )


# --- link layers --------------------------------------------------------------------------------


def _frames(
    records: Records, read: _Bytes, end: NDArray[np.int64], macs: frozenset[int]
) -> _Frames:
    at, link = records.at, records.link_type
    direction, others = records.direction.copy(), np.zeros(len(at), np.bool_)
    if link == ETHERNET:
        ip_at, ethertype = at + 14, read.at(at + 12, 2)
        if macs:
            own = np.array(sorted(macs), np.int64)
            to, of = read.at(at, 6), read.at(at + 6, 6)
            to_us, of_us = np.isin(to, own), np.isin(of, own)
            group = (to >> 40) & 1 == 1
            direction[:] = np.where(of_us, OUT, np.where(to_us | group, IN, EITHER))
            others = ~(of_us | to_us | group)
    elif link == LINUX_COOKED:
        ip_at, ethertype = at + 16, read.at(at + 14, 2)
        direction = _cooked(read.at(at, 2))
    elif link == LINUX_COOKED_2:
        ip_at, ethertype = at + 20, read.at(at, 2)
        direction = _cooked(read.at(at + 10))
    else:
        # No type, or one that differs between systems: the version of IP tells.
        ip_at = at if link in _RAW else at + 4
        version = read.at(ip_at) >> 4
        ethertype = np.select([version == 4, version == 6], [_IP4, _IP6], 0xFFFF)
    ethertype = np.where(ip_at <= end, ethertype, NONE)
    for _ in range(_TAGS_LOOKED_AT):
        tagged = np.flatnonzero(np.isin(ethertype, _VLAN))
        if not len(tagged):
            break
        inner = read.at(ip_at[tagged] + 2, 2)
        ip_at[tagged] += 4
        ethertype[tagged] = np.where(ip_at[tagged] <= end[tagged], inner, NONE)
    return _Frames(ip_at, ethertype, direction, others)


def _cooked(packet_type: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.where(packet_type == _OUTGOING, OUT, IN).astype(np.uint8)


# --- IP -------------------------------------------------------------------------------------------


def _ipv4(
    records: Records, frames: _Frames, rows: NDArray[Any], read: _Bytes, end: NDArray[np.int64]
) -> Packets:
    at = frames.ip_at[rows]
    first, total = read.at(at), read.at(at + 2, 2)
    header = (first & 15) * 4
    # Without a length: a segment that the network card was to cut (TSO).
    wire = _on_the_wire(records, frames, rows)
    total = np.where(total == 0, wire, total)
    good = (first >> 4 == 4) & (header >= 20) & (header <= total) & (total <= wire)
    good &= at + 20 <= end[rows]
    rows, at, header, total = rows[good], at[good], header[good], total[good]
    offset = (read.at(at + 6, 2) & 0x1FFF) != 0
    ends = read.wide(at + 12, 1)[:, 0]
    zero = np.zeros(len(rows), np.uint64)
    return _transport(
        records,
        frames,
        rows,
        read,
        end,
        (4, (zero, ends >> np.uint64(32)), (zero, ends & np.uint64(0xFFFFFFFF))),
        (read.at(at + 9), at + header, at + total, total, offset),
    )


def _ipv6(
    records: Records, frames: _Frames, rows: NDArray[Any], read: _Bytes, end: NDArray[np.int64]
) -> Packets:
    at = frames.ip_at[rows]
    payload = read.at(at + 4, 2)
    wire = _on_the_wire(records, frames, rows)
    # Without a length only a jumbogram (RFC 2675), which begins with hop-by-hop options.
    total = np.where((payload == 0) & (read.at(at + 6) == _HOP), wire, payload + 40)
    good = (read.at(at) >> 4 == 6) & (total <= wire) & (at + 40 <= end[rows])
    rows, at, total = rows[good], at[good], total[good]
    words = read.wide(at + 8, 4)
    protocol, header_at, later = _beyond_extensions(read, at, np.minimum(end[rows], at + total))
    return _transport(
        records,
        frames,
        rows,
        read,
        end,
        (6, (words[:, 0], words[:, 1]), (words[:, 2], words[:, 3])),
        (protocol, header_at, at + total, total, later),
    )


def _on_the_wire(records: Records, frames: _Frames, rows: NDArray[Any]) -> NDArray[np.int64]:
    """The length from the IP header to the end of the frame."""
    found: NDArray[np.int64] = records.length[rows] - frames.ip_at[rows] + records.at[rows]
    return found


def _beyond_extensions(
    read: _Bytes, ip_at: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """(protocol or NONE, where its header begins, whether a later fragment): ipv6_find_hdr."""
    protocol, at = read.at(ip_at + 6), ip_at + 40
    later = np.zeros(len(at), np.bool_)
    for _ in range(_HEADERS_LOOKED_AT):
        rows = np.flatnonzero(np.isin(protocol, _EXTENSIONS) & ~later)
        if not len(rows):
            break
        here = at[rows]
        following, kind = read.at(here), protocol[rows]
        fragment = kind == _FRAGMENT
        not_first = fragment & (read.at(here + 2, 2) & 0xFFF8 != 0)
        # Of a later fragment the kernel knows the protocol only when it is no extension itself.
        extended = np.isin(following, _TAIL[:-1])
        following = np.where(not_first & extended, NONE, following)
        seen = here + np.where(fragment, 4, 2) <= end[rows]
        protocol[rows] = np.where(seen, following, NONE)
        at[rows] += np.where(fragment, 8, 8 * (read.at(here + 1) + 1))
        later[rows] = not_first & seen
    else:
        protocol[np.isin(protocol, _EXTENSIONS) & ~later] = NONE
    return protocol, at, later


def _transport(
    records: Records,
    frames: _Frames,
    rows: NDArray[Any],
    read: _Bytes,
    end: NDArray[np.int64],
    ends: tuple[int, Any, Any],
    network: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]],
) -> Packets:
    """`network`: protocol, where its header begins, where the packet ends, its length, later."""
    protocol, at, packet_end, total, later = network
    asked = np.isin(protocol, _WITH_PORTS) & ~later
    within = np.minimum(packet_end, end[rows])
    sport, dport = (asked & (at + size <= within) for size in (2, 4))
    tcp, flags = dport & (protocol == _TCP), read.at(at + 13)
    starts = tcp & (at + 14 <= within) & (flags & (_SYN | _ACK) == _SYN)
    # Cut: it has what a rule asks for, and the capture does not.
    needed = at + np.where(protocol == _TCP, 14, 4)
    cut = asked & (needed <= packet_end) & (needed > end[rows])
    cut |= (protocol == NONE) & (end[rows] < packet_end)
    count = len(rows)
    return Packets(
        np.full(count, ends[0], np.uint8),
        ends[1],
        ends[2],
        protocol.astype(np.int16),
        np.where(sport, read.at(at, 2), NONE).astype(np.int32),
        np.where(dport, read.at(at + 2, 2), NONE).astype(np.int32),
        starts,
        total,
        frames.direction[rows],
        later,
        cut,
        rows.astype(np.int64),
    )
