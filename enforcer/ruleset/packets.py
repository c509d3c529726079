"""Packets as columns, and what is asked of many at a time: a prefix, a service.

In: headers that somebody else read. Out: arrays, one entry a packet. As the kernel's rules do, it
knows a packet by family, addresses, protocol, ports and TCP flags, and by nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.many import packed
from enforcer.policy.prefix import FAMILIES, PROTOCOL_NAMES, PROTOCOLS, Family, Prefix, Service
from enforcer.policy.registry_columns import Words, masked, pick

# Where a packet has no such field, or the capture does not hold it.
NONE = -1
IN, OUT, EITHER = 1, 2, 0
_TCP = PROTOCOLS["tcp"]
_WITH_PORTS = {PROTOCOLS[name] for name in ("tcp", "udp", "sctp")}
_OTHER_NAMES = {**PROTOCOL_NAMES, 1: "icmp", 58: "icmpv6"}
_PROTOCOLS = 257


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """IP packets, `n` of them. Addresses are (high, low) words of 64 bits; IPv4 is in `low`.

    `protocol`, `sport`, `dport` are NONE where the packet does not tell; a later fragment has a
    protocol and no ports. `starts`: a TCP SYN without ACK. `size`: bytes of IP, as the kernel
    counts them. `direction`: IN, OUT or EITHER. `later`: not the first fragment. `cut`: the capture
    ends before the ports. `record`: which packet of the chunk it was.
    """

    family: NDArray[np.uint8]
    source: Words
    target: Words
    protocol: NDArray[np.int16]
    sport: NDArray[np.int32]
    dport: NDArray[np.int32]
    starts: NDArray[np.bool_]
    size: NDArray[np.int64]
    direction: NDArray[np.uint8]
    later: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    record: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.family)

    def take(self, rows: Any) -> Packets:
        """The packets at an index array or a mask."""
        return Packets(
            self.family[rows],
            pick(self.source, rows),
            pick(self.target, rows),
            self.protocol[rows],
            self.sport[rows],
            self.dport[rows],
            self.starts[rows],
            self.size[rows],
            self.direction[rows],
            self.later[rows],
            self.cut[rows],
            self.record[rows],
        )


def words_of(family: Family, words: Words) -> Words:
    """The words of one family's addresses, as the radix tree has them."""
    return (words[1].astype(np.uint32),) if family == 4 else words


class PrefixSet:
    """A few prefixes, asked for many addresses: one comparison with all of each length."""

    def __init__(self, prefixes: Iterable[Prefix]) -> None:
        found: dict[tuple[Family, int], list[bytes]] = defaultdict(list)
        for prefix in set(prefixes):
            found[prefix.family, prefix.length].append(prefix.packed)
        self._keys = {
            (family, length): np.frombuffer(b"".join(keys), ">u4").astype(np.uint32)
            if family == 4
            else np.frombuffer(b"".join(keys), "S16")
            for (family, length), keys in found.items()
        }

    def holds(self, families: NDArray[np.uint8], addresses: Words) -> NDArray[np.bool_]:
        inside = np.zeros(len(families), np.bool_)
        for family in FAMILIES:
            rows = np.flatnonzero(families == family)
            words = words_of(family, pick(addresses, rows))
            for (of, length), keys in self._keys.items():
                if of == family and len(rows):
                    cut = masked(words, family, length)
                    mine = cut[0] if family == 4 else packed(*cut)
                    inside[rows] |= np.isin(mine, keys)
        return inside


def serves(service: Service, packets: Packets, *ports: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which packets are of the service: its protocol, and one of `ports` in its range."""
    fits: NDArray[np.bool_] = packets.protocol == service.protocol
    if service.first_port is None or service.last_port is None:
        return fits
    within = np.zeros(len(packets), np.bool_)
    for port in ports:
        within |= (port >= service.first_port) & (port <= service.last_port)
    fits &= within
    return fits


def asks(services: Iterable[Service], packets: Packets) -> NDArray[np.bool_]:
    """Which packets start something new with one of an estate's services (promise 3c)."""
    found = np.zeros(len(packets), np.bool_)
    for service in services:
        found |= serves(service, packets, packets.dport)
    found &= (packets.protocol != _TCP) | packets.starts
    return found


class ServiceNames:
    """A name for the service of each packet: the operator's own word where there is one.

    Of several services that fit a port, the one named first in `services` gives its name; the
    destination port is asked before the source port.
    """

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = tuple(dict.fromkeys(s for s in services if s.has_ports))
        self._tables = {p: np.full(1 << 16, NONE, np.int32) for p in sorted(_WITH_PORTS)}
        for number, service in reversed(list(enumerate(self._services))):
            span = slice(service.ports.start, service.ports.stop)
            self._tables[service.protocol][span] = number

    def of(self, packets: Packets) -> NDArray[np.int64]:
        """A number for each packet, which `text` turns into its name."""
        kind = packets.later + 2 * packets.cut.astype(np.int64)
        protocol = np.where(packets.protocol == NONE, _PROTOCOLS - 1, packets.protocol)
        found = len(self._services) + kind * _PROTOCOLS + protocol
        for number, table in self._tables.items():
            rows = np.flatnonzero((packets.protocol == number) & (packets.dport != NONE))
            named = table[packets.dport[rows]]
            named = np.where(named != NONE, named, table[packets.sport[rows]])
            found[rows[named != NONE]] = named[named != NONE]
        return found

    def text(self, number: int) -> str:
        if number < len(self._services):
            return str(self._services[number])
        kind, protocol = divmod(number - len(self._services), _PROTOCOLS)
        if protocol == _PROTOCOLS - 1:
            return "protocol not seen"
        name = _OTHER_NAMES.get(protocol, f"protocol {protocol}")
        if protocol not in _WITH_PORTS:
            return name
        return f"{name}, {('other ports', 'later fragment', 'ports cut off')[min(kind, 2)]}"
