"""Packets as bytes, of every kind that meets a gateway, near the edges of what a world names.

Each comes with the facts that a rule may know of it, from how it was built and not from parsing it:
its protocol, ports and flags where they are in it and can be found, -1 (0 for flags) where not.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from random import Random

from enforcer.policy.prefix import BITS, Family, Service
from tests.ruleset.machine import checksum_of
from tests.ruleset.simulator import ACK, SYN, Packet
from tests.ruleset.strategies import CORNER, World, edges, port_edges

TCP, UDP, SCTP, ESP, AH, GRE, ICMP, ICMP6 = 6, 17, 132, 50, 51, 47, 1, 58
HOP, ROUTING, FRAGMENT, NONE, DESTINATION = 0, 43, 44, 59, 60
WITH_PORTS = (TCP, UDP, SCTP)
DEVICES = ("wan0", "wan0", "wan1", "lan0")
_HIDDEN = -1
_KINDS = (*("plain",) * 8, *("fragment",) * 3, *("extensions",) * 2, "icmp_error", "cut")


@dataclass(frozen=True, slots=True)
class Raw:
    """`data` from the network header on. `kind` says what it is of; `number` stands in the
    identification or the flow label. `sound`: no length in it lies, and the checksum is right.
    """

    kind: str
    data: bytes
    packet: Packet
    number: int
    sound: bool = True

    def __str__(self) -> str:
        return f"{self.kind} {self.packet} {self.data.hex()}"


@dataclass(slots=True)
class _Upper:
    """What stands behind the IP header: its first protocol, its bytes, and the facts."""

    first: int
    data: bytes
    protocol: int
    sport: int = _HIDDEN
    dport: int = _HIDDEN
    flags: int = 0


class Packets:
    """Draws packets for a world. The same `seed` gives the same packets."""

    def __init__(self, world: World, seed: int) -> None:
        self.draw = Random(seed)
        self.world = world
        # Where something may be dropped: a third of the packets aim at it.
        guards = [a.window.guard.estate for a in world.activations if a.window.guard]
        self.guarded = [world.policy.estate(name) for name in guards]
        estates, rows = world.policy.estates, world.rows
        self.services = [s for e in estates for s in e.services * 2]
        self.services += [s for row in rows for s in row.services]
        self.sources: dict[Family, list[int]] = {}
        self.targets: dict[Family, list[int]] = {}
        families: tuple[Family, ...] = (4, 6)
        for family in families:
            of_estates = [p for e in estates for p in e.prefixes if p.family == family]
            of_rows = [row.prefix for row in rows if row.prefix.family == family]
            lifelines = [p for p in world.policy.lifelines if p.family == family]
            corner = CORNER[family]
            strangers = [corner + 64, corner + 999, corner + (1 << 16)]
            self.sources[family] = strangers + [a for p in (*of_rows, *lifelines) for a in edges(p)]
            self.targets[family] = strangers + [
                a for p in of_estates * 2 + of_rows for a in edges(p)
            ]

    def some(self, count: int) -> list[Raw]:
        """Numbered from 1: a machine's own packets have 0 where these have their number."""
        return [self.one(number) for number in range(1, count + 1)]

    def one(self, number: int) -> Raw:
        draw = self.draw
        family: Family = draw.choice((4, 6))
        iif = draw.choice(DEVICES)
        daddr, services = draw.choice(self.targets[family]), self.services
        if self.guarded and draw.random() < 0.33:
            estate = draw.choice(self.guarded)
            prefix = draw.choice(estate.prefixes)
            family, daddr, iif = prefix.family, draw.choice(edges(prefix)[:2]), "wan0"
            services = [*estate.services]
        saddr = draw.choice(self.sources[family])
        if iif == "lan0" and draw.random() < 0.5:
            saddr, daddr = daddr, saddr
        kind = draw.choice(_KINDS)
        kind = "options" if kind == "extensions" and family == 4 else kind
        upper = self._upper(services)
        if kind == "icmp_error":
            upper = self._icmp_error(family, saddr)
        if kind == "cut":
            upper = self._cut(upper)
        build = self._ipv4 if family == 4 else self._ipv6
        return build(kind, iif, saddr, daddr, upper, number)

    # --- transport --------------------------------------------------------------------------------

    def _upper(self, services: list[Service]) -> _Upper:
        draw = self.draw
        asked = draw.choice(services)
        protocol = draw.choice([asked.protocol] * 5 + [TCP, UDP, SCTP, ESP, AH, GRE, ICMP, ICMP6])
        if protocol not in WITH_PORTS:
            # Its first bytes look like ports: whoever takes them for ports is found out.
            lies = struct.pack(
                ">HH", draw.choice(port_edges(asked)), draw.choice(port_edges(asked))
            )
            return _Upper(protocol, lies + bytes(28), protocol)
        ports = [*port_edges(asked) * 2, *port_edges(draw.choice(self.services)), 1024]
        sport, dport = draw.choice(ports), draw.choice(ports)
        flags = 0
        behind = bytes(12)
        if protocol == TCP:
            flags = draw.choice((SYN, SYN, SYN, SYN | ACK, ACK, 0, SYN | 0x04, SYN | 0xC0, 0x11))
            behind = bytes(8) + bytes([0x50, flags]) + bytes(6)
        elif protocol == UDP:
            behind = b"\0\x10" + bytes(10)
        data = struct.pack(">HH", sport, dport) + behind + bytes(12)
        return _Upper(protocol, data, protocol, sport, dport, flags)

    def _icmp_error(self, family: Family, saddr: int) -> _Upper:
        """Too big, unreachable or time exceeded, with the packet that it is about inside."""
        size = BITS[family] // 8
        about = saddr.to_bytes(size, "big") * 2 + struct.pack(">HH", 51820, 51820)
        if family == 4:
            kind, code = self.draw.choice(((3, 4), (3, 4), (3, 3), (11, 0)))
            return _Upper(ICMP, bytes([kind, code]) + bytes(4) + b"\x05\0" + about, ICMP)
        kind = self.draw.choice((2, 2, 1, 3))
        return _Upper(ICMP6, bytes([kind, 0]) + bytes(4) + b"\x05\0" + about, ICMP6)

    def _cut(self, upper: _Upper) -> _Upper:
        """The transport header ends too soon, and the lengths before it say so. Of three bytes
        the first two are a port; two alone are no header to the rules (docs/decisions/0015).
        """
        size = self.draw.choice((0, 1, 2, 3, 4, 8, 13, 14))
        return _Upper(
            upper.first,
            upper.data[:size],
            upper.protocol,
            upper.sport if size >= 3 else _HIDDEN,
            upper.dport if size >= 4 else _HIDDEN,
            upper.flags if size >= 14 else 0,
        )

    def _later(self, upper: _Upper) -> _Upper:
        """A later fragment: its protocol is known, and nothing of its transport header."""
        return _Upper(upper.first, upper.data, upper.protocol)

    # --- network ----------------------------------------------------------------------------------

    def _ipv4(self, kind: str, iif: str, saddr: int, daddr: int, upper: _Upper, number: int) -> Raw:
        draw = self.draw
        offset, more = 0, 0
        if kind == "fragment":
            offset, more = draw.choice(((0, 1), (0, 1), (1, 1), (1, 0), (185, 0)))
            upper = self._later(upper) if offset else self._cut(upper)
        options = b"\x01" * draw.choice((4, 8, 40)) if kind == "options" else b""
        total = 20 + len(options) + len(upper.data)
        sound, lie = True, draw.random() if kind == "cut" else 1.0
        head = bytearray(
            struct.pack(
                ">BBHHHBBHII",
                0x40 | 5 + len(options) // 4,
                draw.choice((0, 46 << 2, 3)),
                total + (draw.choice((1, 100)) if lie < 0.2 else 0),
                number,
                more << 13 | offset,
                64,
                upper.first,
                0,
                saddr,
                daddr,
            )
            + options
        )
        if 0.2 <= lie < 0.3:
            head[0] = draw.choice((0x44, 0x4F, 0x55))
        head[10:12] = struct.pack(">H", checksum_of(bytes(head)))
        if 0.3 <= lie < 0.4:
            head[10] ^= 1
        sound = lie >= 0.4
        # Behind what the header says there may be more, of the link: none of the packet's business.
        data = bytes(head) + upper.data + bytes(draw.choice((0, 0, 6)) if sound else 0)
        return Raw(
            kind, data, self._facts(4, iif, saddr, daddr, upper, head[1] >> 2), number, sound
        )

    def _ipv6(self, kind: str, iif: str, saddr: int, daddr: int, upper: _Upper, number: int) -> Raw:
        draw = self.draw
        if kind == "fragment":
            first = draw.random() < 0.4
            if draw.random() < 0.3:
                upper = self._behind(draw.choice((DESTINATION, AH, ROUTING, NONE)), upper)
            if first:
                upper = self._fragment(upper, 0, 1)
            else:
                hidden = upper.first in (HOP, ROUTING, FRAGMENT, AH, DESTINATION)
                upper = self._later(upper)
                upper.protocol = _HIDDEN if hidden else upper.first
                upper = self._fragment(upper, draw.choice((1, 185)), draw.choice((0, 1)))
        elif kind == "extensions":
            for _ in range(draw.choice((1, 1, 2, 3))):
                following = draw.choice((DESTINATION, DESTINATION, ROUTING, FRAGMENT, AH, NONE))
                upper = (
                    self._fragment(upper, 0, draw.choice((0, 1)))
                    if following == FRAGMENT
                    else self._behind(following, upper)
                )
        if kind != "plain" and draw.random() < 0.3:
            upper = self._behind(HOP, upper)
        lie = draw.random() if kind == "cut" else 1.0
        if kind == "extensions" and draw.random() < 0.3:
            return self._headers_cut(iif, saddr, daddr, upper, number)
        size = len(upper.data) + (draw.choice((1, 100)) if lie < 0.2 else 0)
        traffic_class = draw.choice((0, 46 << 2, 3))
        head = self._head(traffic_class, number, size, upper.first, saddr, daddr)
        sound = lie >= 0.3
        if 0.2 <= lie < 0.3:
            head = bytes([0x50 | head[0] & 15]) + head[1:]
        data = head + upper.data + bytes(draw.choice((0, 0, 6)) if sound else 0)
        facts = self._facts(6, iif, saddr, daddr, upper, traffic_class >> 2)
        return Raw(kind, data, facts, number, sound)

    def _head(
        self, traffic_class: int, number: int, size: int, first: int, saddr: int, daddr: int
    ) -> bytes:
        word = 6 << 28 | traffic_class << 20 | number
        ends = saddr.to_bytes(16, "big") + daddr.to_bytes(16, "big")
        return struct.pack(">IHBB", word, size, first, 64) + ends

    def _behind(self, header: int, upper: _Upper) -> _Upper:
        """`upper` behind an extension header; behind AH and "no next header" nothing is known."""
        if header == NONE:
            return _Upper(NONE, upper.data, NONE)
        if header == AH:
            return _Upper(AH, bytes([upper.first, 4]) + bytes(22) + upper.data, AH)
        size = self.draw.choice((0, 0, 1)) if header != HOP else 0
        inner = bytes([1, 4 + 8 * size]) + bytes(4 + 8 * size)
        if header == ROUTING:
            # Type 253 is for experiments; nothing is left to visit.
            inner = bytes([253, 0]) + bytes(4 + 8 * size)
        return _Upper(
            header,
            bytes([upper.first, size]) + inner + upper.data,
            upper.protocol,
            upper.sport,
            upper.dport,
            upper.flags,
        )

    def _fragment(self, upper: _Upper, offset: int, more: int) -> _Upper:
        head = struct.pack(">BBHI", upper.first, 0, offset << 3 | more, 7)
        return _Upper(
            FRAGMENT, head + upper.data, upper.protocol, upper.sport, upper.dport, upper.flags
        )

    def _headers_cut(self, iif: str, saddr: int, daddr: int, upper: _Upper, number: int) -> Raw:
        """The packet ends, as its length says, within its first extension header."""
        if upper.first in (HOP, NONE, AH):
            upper = self._behind(DESTINATION, upper)
        data = upper.data[:1]
        head = self._head(0, number, len(data), upper.first, saddr, daddr)
        hidden = _Upper(upper.first, data, _HIDDEN)
        return Raw("headers_cut", head + data, self._facts(6, iif, saddr, daddr, hidden, 0), number)

    def _facts(
        self, family: Family, iif: str, saddr: int, daddr: int, upper: _Upper, dscp: int
    ) -> Packet:
        return Packet(
            hook="prerouting",
            iif=iif,
            oif="",
            family=family,
            saddr=saddr,
            daddr=daddr,
            protocol=upper.protocol,
            sport=upper.sport,
            dport=upper.dport,
            flags=upper.flags,
            dscp=dscp,
        )


def in_two(raw: Raw) -> tuple[Raw, Raw] | None:
    """The same datagram in two fragments, the first with 24 bytes of what is in it; None for one
    that is not plain, or that Linux would not put together: it wants whole headers in the first.
    """
    header = 20 if raw.packet.family == 4 else 40
    size = int.from_bytes(raw.data[2:4], "big") if header == 20 else 40 + raw.data[5]
    if raw.kind != "plain" or raw.packet.protocol not in (*WITH_PORTS, ESP, GRE):
        return None
    head, inside = raw.data[:header], raw.data[header:size]
    first, second = (
        _fragment_of(head, part, offset, more, raw.number)
        for part, offset, more in ((inside[:24], 0, 1), (inside[24:], 3, 0))
    )
    return replace(raw, data=first), replace(raw, data=second)


def _fragment_of(head: bytes, part: bytes, offset: int, more: int, number: int) -> bytes:
    if len(head) == 20:
        made = bytearray(head)
        made[2:4] = struct.pack(">H", 20 + len(part))
        made[6:8] = struct.pack(">H", more << 13 | offset)
        made[10:12] = bytes(2)
        made[10:12] = struct.pack(">H", checksum_of(bytes(made)))
        return bytes(made) + part
    between = struct.pack(">BBHI", head[6], 0, offset << 3 | more, number)
    size = struct.pack(">HB", 8 + len(part), FRAGMENT)
    return head[:4] + size + head[7:] + between + part
