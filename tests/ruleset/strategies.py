"""Small random policies, registries, windows and packets, all within one crowded corner of the
address space so that everything meets everything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from enforcer.lookup.tables import Tables
from enforcer.policy.model import (
    Activation,
    Estate,
    Gateway,
    Guard,
    Link,
    Mark,
    Policy,
    Reserve,
    Window,
)
from enforcer.policy.prefix import BITS, Family, Prefix, Service
from enforcer.ruleset.compiler import compile_ruleset
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling
from enforcer.ruleset.vocabulary import Ruleset
from tests.ruleset.builders import CATEGORIES, DEVICES, Registered, active, tables, window
from tests.ruleset.simulator import ACK, SYN, Packet

# Across the border of two /16s; and IPv6 sources hold bytes that look like those /16s.
CORNER: dict[Family, int] = {4: 0x1400_FFE0, 6: 0x2A01_0500_1400_0000_1401 << 48}
UPLINKS = st.sampled_from([("wan0", "wan1"), ("wan0",), ("gone", "wan0")])
PORTS = st.sampled_from([1, 443, 500, 501, 5000, 5050, 51820, 65535])
FAMILY: st.SearchStrategy[Family] = st.sampled_from([4, 6])


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    family = draw(FAMILY)
    bits = BITS[family]
    length = bits - draw(st.integers(0, 5))
    address = CORNER[family] + draw(st.integers(0, 63))
    host = bits - length
    return Prefix(family, address >> host << host, length)


@st.composite
def service_values(draw: st.DrawFn) -> Service:
    protocol = draw(st.sampled_from([6, 17, 132, 50, 47]))
    if protocol in (50, 47):
        return Service(protocol)
    first, second = draw(PORTS), draw(PORTS)
    if draw(st.booleans()) or abs(second - first) > 4000:
        return Service(protocol, first, first)
    return Service(protocol, min(first, second), max(first, second))


def _some(values: st.SearchStrategy[Service], least: int) -> st.SearchStrategy[tuple[Service, ...]]:
    return st.lists(values, min_size=least, max_size=4, unique=True).map(tuple)


ROWS = st.lists(
    st.builds(Registered, prefixes(), st.sampled_from(CATEGORIES), _some(service_values(), 0)),
    max_size=6,
)
ESTATES = st.builds(
    Estate,
    st.just("e"),
    st.lists(prefixes(), min_size=1, max_size=4).map(tuple),
    _some(service_values(), 1),
)


@st.composite
def windows(draw: st.DrawFn, name: str, estates: tuple[Estate, ...], whole: Mark) -> Window:
    """Windows of one world mark with all or a part of `whole`: policy refuses marks in conflict."""
    parts = [None, whole, replace(whole, dscp=None), replace(whole, fwmark=None)]
    mark = draw(st.sampled_from(parts))
    reserve = draw(st.none() | st.builds(Reserve, st.just("wan"), st.sampled_from([0.1, 0.25])))
    guard = draw(st.sampled_from([*(Guard(e.name) for e in estates), None]))
    if mark is None and reserve is None and guard is None:
        mark = whole
    lease = draw(st.sampled_from(["gateway", "until-end"]))
    stage = draw(st.sampled_from([False, False, True])) and guard is not None
    return window(name, mark=mark, reserve=reserve, guard=guard, lease=lease, stage=stage)


@dataclass(frozen=True, slots=True)
class World:
    """A policy, its registry, and the windows active now."""

    policy: Policy
    rows: tuple[Registered, ...]
    registry: Tables
    activations: tuple[Activation, ...]
    sampling: Sampling = NO_SAMPLES

    @property
    def ruleset(self) -> Ruleset:
        return compile_ruleset(
            self.policy,
            self.activations,
            self.registry,
            devices=DEVICES,
            sampling=self.sampling,
        )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    estates = tuple(replace(draw(ESTATES), name=name) for name in ("e1", "e2"))
    policy = Policy(
        gateway=Gateway(
            "g", draw(st.sampled_from([("wan0", "wan1"), ("wan0",), ("gone", "wan0")]))
        ),
        categories=CATEGORIES,
        lifelines=tuple(draw(st.lists(prefixes(), max_size=3))),
        estates=estates,
        links=(Link("wan", "wan0", 10**9),),
    )
    rows = tuple(draw(ROWS))
    names = draw(st.sampled_from([("a",), ("a", "b"), ("a", "b", "c"), ()]))
    whole = Mark(draw(st.integers(1, 2**32 - 1)), draw(st.integers(0, 63)))
    activations = tuple(active(draw(windows(name, estates, whole))) for name in names)
    registry = tables(*rows, front=draw(st.booleans()))
    return World(policy, rows, registry, activations, Sampling(draw(st.sampled_from([0, 10]))))


def edges(prefix: Prefix) -> tuple[int, ...]:
    """The first and last address, and the strangers beside them."""
    return prefix.network, prefix.last, max(0, prefix.network - 1), prefix.last + 1


def port_edges(service: Service) -> tuple[int, ...]:
    if service.first_port is None or service.last_port is None:
        return (0,)
    near = (service.first_port - 1, service.first_port, service.last_port, service.last_port + 1)
    return tuple(port for port in near if 0 <= port <= 65535)


@st.composite
def packets(draw: st.DrawFn, hook: str, world: World) -> Packet:
    """A packet near the edges of what the world names: its prefixes, its services, its devices."""
    family = draw(FAMILY)
    estates, rows = world.policy.estates, world.rows
    of_estates = [p for e in estates for p in e.prefixes if p.family == family]
    of_rows = [row.prefix for row in rows if row.prefix.family == family]
    lifelines = [p for p in world.policy.lifelines if p.family == family]
    strangers = [CORNER[family] + 64, CORNER[family] + 999, CORNER[family] + (1 << 16)]
    sources = [a for p in (*of_rows, *lifelines) for a in edges(p)] + strangers
    targets = [a for p in of_estates * 2 + of_rows for a in edges(p)] + strangers
    services = [s for e in estates for s in e.services * 2]
    services += [s for row in rows for s in row.services]
    asked, other = draw(st.sampled_from(services)), draw(st.sampled_from(services))
    protocol = draw(st.sampled_from([asked.protocol] * 4 + [6, 17, 50, 1]))
    has_ports = protocol in (6, 17, 132)
    ports = st.sampled_from([*port_edges(asked) * 2, *port_edges(other)])
    flags = st.sampled_from([SYN, SYN, SYN, SYN | ACK, ACK, 0, SYN | 0x04])
    return Packet(
        hook=hook,
        iif=draw(st.sampled_from(["wan0", "wan0", "wan1", "lan0"])),
        oif="" if hook == "prerouting" else draw(st.sampled_from(["wan0", "wan0", "lan0"])),
        family=family,
        saddr=draw(st.sampled_from(sources)),
        daddr=draw(st.sampled_from(targets)),
        protocol=protocol,
        sport=draw(ports | PORTS) if has_ports else 0,
        dport=draw(ports) if has_ports else 0,
        flags=draw(flags) if protocol == 6 else 0,
        mark=draw(st.sampled_from([0, 7])),
        dscp=draw(st.sampled_from([0, 46])),
        priority=draw(st.sampled_from([0, 6])),
    )


@dataclass(frozen=True, slots=True)
class Scene:
    """A world, packets on their way through it, and the windows that are armed."""

    world: World
    packets: tuple[Packet, ...]
    armed: frozenset[str]


@st.composite
def scenes(draw: st.DrawFn, *hooks: str) -> Scene:
    world = draw(worlds())
    one = st.sampled_from(hooks).flatmap(lambda hook: packets(hook, world))
    some = draw(st.lists(one, min_size=8, max_size=24))
    ids = [a.id for a in world.activations] or ["a"]
    armed = draw(st.sets(st.sampled_from(ids), min_size=1))
    return Scene(world, tuple(some), frozenset(armed))
