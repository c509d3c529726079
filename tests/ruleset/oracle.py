"""What the design says should happen to a packet, straight from the registrations: no stage, no
class, no chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from enforcer.policy.model import Window
from enforcer.policy.prefix import Prefix, Service
from enforcer.ruleset.vocabulary import REGISTERED_MINOR, SHAPER_MAJOR
from tests.ruleset.builders import Registered
from tests.ruleset.simulator import ACK, SYN, Packet
from tests.ruleset.strategies import World


def _has(prefix: Prefix, packet: Packet, address: int) -> bool:
    return prefix.family == packet.family and address in prefix


def _is(service: Service, packet: Packet, *ports: int) -> bool:
    if service.protocol != packet.protocol:
        return False
    return not service.has_ports or any(port in service.ports for port in ports)


def registrations(world: World, packet: Packet, address: int) -> list[Registered]:
    """Every registration that fits the address and the packet; either port counts."""
    return [
        row
        for row in world.rows
        if _has(row.prefix, packet, address)
        and (
            not row.services
            or any(_is(s, packet, packet.sport, packet.dport) for s in row.services)
        )
    ]


def known_address(world: World, packet: Packet, *addresses: int) -> bool:
    """Somebody registered one of the addresses, for whatever service."""
    return any(_has(row.prefix, packet, a) for row in world.rows for a in addresses)


def is_registered(world: World, packet: Packet) -> bool:
    return any(registrations(world, packet, a) for a in (packet.saddr, packet.daddr))


@dataclass(frozen=True, slots=True)
class Held:
    """What a guard makes of a packet: not its business, let in (and why), or held back."""

    concerned: bool
    let_in: bool = False


def guard(world: World, w: Window, packet: Packet) -> Held:
    """Promise 3, (a) to (d)."""
    assert w.guard is not None
    estate = world.policy.estate(w.guard.estate)
    starts = packet.protocol != 6 or packet.flags & (SYN | ACK) == SYN
    concerned = (
        packet.hook == "prerouting"
        and packet.iif in world.policy.gateway.uplinks
        and any(_has(p, packet, packet.daddr) for p in estate.prefixes)
        and any(_is(s, packet, packet.dport) for s in estate.services)
        and starts
    )
    if not concerned:
        return Held(False)
    lifeline = any(_has(p, packet, packet.saddr) for p in world.policy.lifelines)
    return Held(True, lifeline or bool(registrations(world, packet, packet.saddr)))


def may_be_dropped(world: World, packet: Packet, armed: frozenset[str]) -> bool:
    for activation in world.activations:
        w = activation.window
        if w.id in armed and w.guard and not w.stage:
            held = guard(world, w, packet)
            if held.concerned and not held.let_in:
                return True
    return False


def marked(world: World, packet: Packet, armed: frozenset[str]) -> Packet:
    """The packet behind prerouting: by each armed window that marks, in the order of their ids."""
    if not is_registered(world, packet):
        return packet
    for activation in sorted(world.activations, key=lambda a: a.id):
        mark = activation.window.mark
        if activation.id in armed and mark:
            fwmark = packet.mark if mark.fwmark is None else mark.fwmark
            dscp = packet.dscp if mark.dscp is None else mark.dscp
            packet = replace(packet, mark=fwmark, dscp=dscp, priority=0)
    return packet


def reserved(world: World, packet: Packet, armed: frozenset[str]) -> Packet:
    """The packet behind postrouting."""
    if is_registered(world, packet):
        for activation in world.activations:
            reserve = activation.window.reserve
            if activation.id in armed and reserve:
                device = world.policy.link(reserve.link).device
                if packet.oif == device:
                    return replace(packet, priority=SHAPER_MAJOR << 16 | REGISTERED_MINOR)
    return packet


def categories_of(world: World, packet: Packet, address: int) -> set[str]:
    """The categories of the longest registered prefixes of the address that fit the packet."""
    fitting = registrations(world, packet, address)
    longest = max((row.prefix.length for row in fitting), default=0)
    return {row.category for row in fitting if row.prefix.length == longest}


def categories(world: World, packet: Packet) -> set[str]:
    """The source's registration counts before the destination's."""
    found = categories_of(world, packet, packet.saddr)
    return found or categories_of(world, packet, packet.daddr)
