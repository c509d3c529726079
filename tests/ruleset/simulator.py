"""A packet's way through a Ruleset, statement by statement: what the kernel would do with it.

Written from the meaning of the vocabulary (nft(8)) and not from `lower`, so that the compiler is
held to a second opinion. A statement that reads a header the packet does not have is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from enforcer.policy.prefix import BITS, Family
from enforcer.ruleset import vocabulary as v

SYN, ACK = 0x02, 0x10


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet at one hook. Ports and flags are 0 for protocols that have none, ports -1 where the
    packet does not hold them.
    """

    hook: str
    iif: str
    oif: str
    family: Family
    saddr: int
    daddr: int
    protocol: int
    sport: int = 0
    dport: int = 0
    flags: int = 0
    mark: int = 0
    dscp: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """`packet` as it leaves the hook; `counted` are the counters it passed, in order, `sampled` the
    names under which it was told of (every packet is, here).
    """

    dropped: bool
    packet: Packet
    counted: tuple[str, ...]
    sampled: tuple[str, ...] = ()


class _Gone(Exception):  # noqa: N818 - nothing went wrong
    """The packet leaves the base chain."""


@dataclass(slots=True)
class _Way:
    ruleset: v.Ruleset
    armed: frozenset[str]
    packet: Packet
    counted: list[str] = field(default_factory=list)
    sampled: list[str] = field(default_factory=list)
    dropped: bool = False

    def set_of(self, name: str) -> v.Container:
        return next(c for c in self.ruleset.containers if c.name == name)

    def through(self, chain: v.Chain) -> None:
        for rule in chain.rules:
            if self.rule(rule):
                return

    def rule(self, rule: v.Rule) -> bool:
        """True when the chain ends with this rule."""
        for s in rule.statements:
            if isinstance(s, v.MATCHES):
                if not self.matches(s):
                    return False
            elif isinstance(s, v.Return):
                return True
            elif isinstance(s, v.Jump):
                self.enter(s.chain)
            elif isinstance(s, v.Goto):
                self.enter(s.chain)
                return True
            elif isinstance(s, v.ByClass):
                class_map = self.set_of(s.map_name)
                assert isinstance(class_map, v.ClassMap)
                target = dict(class_map.elements).get(self.packet.priority)
                if target is None:
                    return False
                self.enter(target)
                return class_map.verdict == "goto"
            else:
                self.act(s)
        return False

    def enter(self, name: str) -> None:
        chain = self.ruleset.chain(name)
        assert chain is not None
        assert chain.hook is None
        self.through(chain)

    def act(self, s: v.Statement) -> None:
        packet = self.packet
        if isinstance(s, v.Count):
            assert s.counter in self.ruleset.counters
            self.counted.append(s.counter)
        elif isinstance(s, v.Sample):
            assert s.family == packet.family
            assert -1 not in (packet.sport, packet.dport), "content for a header"
            self.sampled.append(s.label)
        elif isinstance(s, v.Drop):
            self.dropped = True
            raise _Gone
        elif isinstance(s, v.Accept):
            raise _Gone
        elif isinstance(s, v.SetMark):
            self.packet = replace(packet, mark=s.fwmark)
        elif isinstance(s, v.SetDscp):
            assert s.family == packet.family
            self.packet = replace(packet, dscp=s.dscp)
        elif isinstance(s, v.SetPriority):
            self.packet = replace(packet, priority=s.major << 16 | s.minor)
        elif isinstance(s, v.NoteClass):
            self.packet = replace(packet, priority=s.class_id)
        else:
            assert isinstance(s, v.DropClass)
            self.packet = replace(packet, priority=0)

    def matches(self, s: v.Statement) -> bool:
        packet = self.packet
        match s:
            case v.IsFamily(family):
                return packet.family == family
            case v.IifName(device):
                return packet.iif == device
            case v.OifName(device):
                return packet.oif == device
            case v.Protocol(number):
                return packet.protocol == number
            case v.PortIn(port, first, last):
                return first <= self.port(port) <= last
            case v.PortInSet(port, name):
                return self.port(port).to_bytes(2, "big") in self.small(name)
            case v.HasTransport(family):
                assert family in (None, packet.family)
                return -1 not in (packet.sport, packet.dport)
            case v.TcpStart():
                assert packet.protocol == 6
                return packet.flags & (SYN | ACK) == SYN
            case v.OneIn():
                return True
            case v.Armed(window):
                return window in self.armed
            case v.AddressIn(side, prefix):
                assert prefix.family == packet.family
                return self.masked(side, prefix.family, prefix.length) == prefix.network
            case v.MaskedIn(side, family, length, name):
                key = self.masked(side, family, length).to_bytes(BITS[family] // 8, "big")
                return key in self.small(name)
            case v.FrontIn(side):
                front = self.set_of(v.FRONT)
                assert isinstance(front, v.FrontSet)
                return self.half(side) << 16 in front.stage.keys.tolist()
            case v.TakeClass():
                return self.take(s)
        raise AssertionError(f"{s} is no match")

    def take(self, s: v.TakeClass) -> bool:
        registered = self.set_of(s.map_name)
        assert isinstance(registered, v.RegisteredMap)
        stage = registered.stage
        address = self.masked(s.side, s.family, s.length)
        if stage.family == 4:
            keys = [int(key) for key in stage.keys]
        else:
            keys = [int.from_bytes(bytes(key), "big") for key in stage.keys]
        if address not in keys or (s.window is not None and s.window not in self.armed):
            return False
        self.packet = replace(self.packet, priority=int(stage.classes[keys.index(address)]))
        return True

    def masked(self, side: str, family: Family, length: int) -> int:
        assert family == self.packet.family
        address = self.packet.saddr if side == "saddr" else self.packet.daddr
        host = BITS[family] - length
        return address >> host << host

    def half(self, side: str) -> int:
        """Two bytes of whatever network header there is, where IPv4 has its address."""
        if self.packet.family == 4:
            return (self.packet.saddr if side == "saddr" else self.packet.daddr) >> 16
        # The source of IPv6 begins at byte 8.
        begin = {"saddr": 12, "daddr": 16}[side] - 8
        packed = self.packet.saddr.to_bytes(16, "big")
        return int.from_bytes(packed[begin : begin + 2], "big")

    def port(self, which: str) -> int:
        assert self.packet.protocol in (6, 17, 132)
        return self.packet.sport if which == "sport" else self.packet.dport

    def small(self, name: str) -> tuple[bytes, ...]:
        found = self.set_of(name)
        assert isinstance(found, v.SmallSet)
        return found.elements


def simulate(ruleset: v.Ruleset, packet: Packet, armed: frozenset[str]) -> Result:
    """The packet through every base chain of its hook, by priority, until one drops it."""
    way = _Way(ruleset, armed, packet)
    here = [
        chain
        # Of one priority the one that was hooked last comes first.
        for chain in reversed(ruleset.chains)
        if chain.hook
        and chain.hook.name == packet.hook
        and (chain.hook.device is None or chain.hook.device == packet.iif)
    ]
    for chain in sorted(here, key=lambda c: c.hook.priority if c.hook else 0):
        try:
            way.through(chain)
        except _Gone:
            if way.dropped:
                break
    return Result(way.dropped, way.packet, tuple(way.counted), tuple(way.sampled))
