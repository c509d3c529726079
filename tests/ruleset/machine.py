"""nf_tables as the kernel runs it: lowered expressions on the bytes of a packet.

Written from the kernel's own source, not from ours: net/netfilter/nf_tables_core.c, nft_payload.c,
nft_meta.c, nft_cmp.c, nft_lookup.c, include/net/netfilter/nf_tables_ipv{4,6}.h, and
net/ipv6/exthdrs_core.c for where a transport header begins. An expression that cannot get what it
asks for (no transport header, a later fragment, a packet that ends too soon) breaks its rule; an
element of the arming set is there until its timeout. `tests/kernel/test_oracle_packets.py` holds
the machine against the kernel.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from enforcer.policy.prefix import Family
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.lower import Expr, lower_rule

_NFPROTO = {4: 2, 6: 10}
_PRIORITY, _MARK, _IIFNAME, _OIFNAME, _FAMILY, _L4PROTO, _RANDOM = 2, 3, 6, 7, 15, 16, 24
_EQ, _LTE, _GTE = 0, 3, 5
_ACCEPT, _DROP, _RETURN, _JUMP, _GOTO = 1, 0, -5, -3, -4
_STACK = 16


@dataclass(slots=True)
class Skb:
    """A packet between two hooks: `data` from the network header on, cut to its stated length."""

    family: Family
    data: bytearray
    iif: str
    oif: str = ""
    mark: int = 0
    priority: int = 0
    counted: list[str] = field(default_factory=list)
    # Under which name it was told of, and how much of it.
    sampled: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def dscp(self) -> int:
        return int.from_bytes(self.data[:2], "big") >> (2 if self.family == 4 else 6) & 0x3F


@dataclass(frozen=True, slots=True)
class Transport:
    """Where the transport header is. `protocol` None: the kernel could not tell (no L4PROTO)."""

    protocol: int | None
    offset: int = 0
    fragment_offset: int = 0


def transport(family: Family, data: bytes | bytearray) -> Transport:
    """nft_set_pktinfo_ipv4, nft_set_pktinfo_ipv6."""
    if family == 4:
        return Transport(data[9], (data[0] & 15) * 4, int.from_bytes(data[6:8], "big") & 0x1FFF)
    return _ipv6_find_hdr(data)


_EXTENSIONS = {0, 43, 44, 51, 59, 60}
_HOP, _ROUTING, _FRAGMENT, _AUTH, _NONE, _DESTINATION = 0, 43, 44, 51, 59, 60


def _ipv6_find_hdr(data: bytes | bytearray) -> Transport:
    """ipv6_find_hdr with target -1 and IP6_FH_F_AUTH: it stops at AH."""
    following, at = data[6], 40
    while following in _EXTENSIONS and following != _NONE:
        if at + 2 > len(data):
            return Transport(None)
        behind, size = data[at], (data[at + 1] + 1) * 8
        if following == _ROUTING and at + 4 > len(data):
            return Transport(None)
        if following == _FRAGMENT:
            if at + 4 > len(data):
                return Transport(None)
            offset = int.from_bytes(data[at + 2 : at + 4], "big") & ~7
            if offset:
                if behind in _EXTENSIONS and behind != _NONE:
                    return Transport(None)
                # The kernel leaves the offset as it was: at the IPv6 header.
                return Transport(behind, 0, offset)
            size = 8
        elif following == _AUTH:
            break
        following, at = behind, at + size
    return Transport(following, at)


class _Break(Exception):  # noqa: N818 - NFT_BREAK: the rule does not match
    pass


@dataclass(frozen=True, slots=True)
class Machine:
    """A ruleset, loaded. `armed_until_ns` are the arming sets' elements, by the window's id."""

    bases: tuple[tuple[str, v.Hook], ...]
    chains: dict[str, tuple[tuple[Expr, ...], ...]]
    sets: dict[str, frozenset[bytes]]
    maps: dict[str, dict[bytes, Any]]
    armed_until_ns: dict[str, int]

    @classmethod
    def load(cls, ruleset: v.Ruleset, armed_until_ns: dict[str, int]) -> Machine:
        sets: dict[str, frozenset[bytes]] = {}
        maps: dict[str, dict[bytes, Any]] = {}
        for c in ruleset.containers:
            if isinstance(c, v.SmallSet):
                sets[c.name] = frozenset(c.elements)
            elif isinstance(c, v.ClassMap):
                code = _GOTO if c.verdict == "goto" else _JUMP
                maps[c.name] = {struct.pack("=I", key): (code, to) for key, to in c.elements}
            elif isinstance(c, v.FrontSet):
                sets[c.name] = frozenset(struct.pack(">I", int(k))[:2] for k in c.stage.keys)
            elif isinstance(c, v.RegisteredMap):
                keys = (
                    [struct.pack(">I", int(k)) for k in c.stage.keys]
                    if c.stage.family == 4
                    else [bytes(k) for k in c.stage.keys]
                )
                values = [struct.pack("=I", int(n)) for n in c.stage.classes]
                maps[c.name] = dict(zip(keys, values, strict=True))
        # Of base chains with one priority the kernel runs the one that was hooked last first
        # (nf_hook_entries_grow), and they are hooked in the order of the ruleset.
        bases = [(c.name, c.hook) for c in reversed(ruleset.chains) if c.hook is not None]
        bases.sort(key=lambda base: base[1].priority)
        chains = {c.name: tuple(map(lower_rule, c.rules)) for c in ruleset.chains}
        return cls(tuple(bases), chains, sets, maps, armed_until_ns)

    def pass_through(self, hook: str, skb: Skb, now_ns: int) -> bool:
        """The packet through the base chains of `hook`, which may change it; False: dropped."""
        for name, at in self.bases:
            if at.name == hook and not _Run(self, skb, now_ns).base(name):
                return False
        return True


class _Run:
    """nft_do_chain for one packet and one base chain."""

    def __init__(self, machine: Machine, skb: Skb, now_ns: int) -> None:
        self.machine, self.skb, self.now_ns = machine, skb, now_ns
        self.transport = transport(skb.family, skb.data)
        self.registers: dict[int, bytes] = {}

    def base(self, name: str) -> bool:
        """True: accepted, by a rule or by the policy."""
        stack: list[tuple[str, int]] = []
        chain, at = name, 0
        while True:
            rules = self.machine.chains[chain]
            if at == len(rules):
                if not stack:
                    return True
                chain, at = stack.pop()
                continue
            verdict = self.rule(rules[at])
            at += 1
            if verdict is None:
                continue
            code, target = verdict
            if code in (_ACCEPT, _DROP):
                return bool(code == _ACCEPT)
            if code == _RETURN:
                at = len(rules)
                continue
            assert target is not None
            if code == _JUMP:
                assert len(stack) < _STACK
                stack.append((chain, at))
            else:
                assert code == _GOTO
            chain, at = target, 0

    def rule(self, expressions: tuple[Expr, ...]) -> tuple[int, str | None] | None:
        """The verdict of a rule; None: go on with the next one."""
        try:
            for expression in expressions:
                found = self.expression(*expression)
                if found is not None:
                    return found
        except _Break:
            pass
        return None

    def expression(self, name: str, *a: Any) -> tuple[int, str | None] | None:
        r, skb = self.registers, self.skb
        match name:
            case "meta":
                r[a[1]] = self.meta(a[0])
            case "meta_set":
                value = struct.unpack("=I", r[a[1]])[0]
                if a[0] == _MARK:
                    skb.mark = value
                else:
                    assert a[0] == _PRIORITY
                    skb.priority = value
            case "payload":
                r[a[0]] = self.payload(a[1], a[2], a[3])
            case "payload_set":
                source, base, offset, length, checksum, checksum_offset = a
                assert base == 1
                skb.data[offset : offset + length] = r[source][:length]
                if checksum:
                    skb.data[checksum_offset : checksum_offset + 2] = b"\0\0"
                    whole = bytes(skb.data[: (skb.data[0] & 15) * 4])
                    packed = struct.pack(">H", checksum_of(whole))
                    skb.data[checksum_offset : checksum_offset + 2] = packed
            case "bitwise":
                source, target, length, mask, xor = a
                value = r[source][:length]
                r[target] = bytes(b & m ^ x for b, m, x in zip(value, mask, xor, strict=True))
            case "cmp":
                source, op, data = a
                value = r[source][: len(data)]
                holds = {
                    _EQ: value == data,
                    _LTE: value <= data,
                    _GTE: value >= data,
                }
                if not holds[op]:
                    raise _Break
            case "lookup":
                if not self.holds(a[0], r[a[1]]):
                    raise _Break
            case "lookup_map":
                data = self.machine.maps[a[0]].get(r[a[1]])
                if data is None:
                    raise _Break
                if a[2] == 0:
                    return data  # type: ignore[no-any-return]
                r[a[2]] = data
            case "immediate":
                r[a[0]] = a[1]
            case "verdict":
                return a[0], a[1]
            case "counter":
                skb.counted.append(a[0])
            case "limit":
                # Chance and the limit let every packet through here.
                pass
            case "log":
                skb.sampled.append((a[1], bytes(skb.data[: a[2]])))
            case _:
                raise AssertionError(f"no expression {name}")
        return None

    def holds(self, name: str, key: bytes) -> bool:
        window = name.removeprefix("armed.")
        if window != name:
            until_ns = self.machine.armed_until_ns.get(window, 0)
            return key[0] in _NFPROTO.values() and self.now_ns < until_ns
        return key in self.machine.sets[name]

    def meta(self, key: int) -> bytes:
        skb = self.skb
        if key == _FAMILY:
            return bytes([_NFPROTO[skb.family]])
        if key == _L4PROTO:
            if self.transport.protocol is None:
                raise _Break
            return bytes([self.transport.protocol])
        if key == _RANDOM:
            return bytes(4)
        if key in (_IIFNAME, _OIFNAME):
            return (skb.iif if key == _IIFNAME else skb.oif).encode().ljust(16, b"\0")
        return struct.pack("=I", {_MARK: skb.mark, _PRIORITY: skb.priority}[key])

    def payload(self, base: int, offset: int, length: int) -> bytes:
        if base == 2:
            # nft_payload_fast_eval does not ask for the fragment offset, nft_payload_eval does.
            fast = length in (1, 2, 4) and offset % length == 0
            later = self.transport.fragment_offset and not fast
            if self.transport.protocol is None or later:
                raise _Break
            offset += self.transport.offset
        found = bytes(self.skb.data[offset : offset + length])
        if len(found) < length:
            raise _Break
        return found


# --- before any hook: ip_rcv_core, ip6_rcv_core ---------------------------------------------------


def checksum_of(header: bytes) -> int:
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def received(family: Family, data: bytes, iif: str) -> Skb | None:
    """The packet as it comes to prerouting; None when the kernel throws it away before that."""
    if family == 4:
        if len(data) < 20 or data[0] >> 4 != 4 or data[0] & 15 < 5:
            return None
        head, total = (data[0] & 15) * 4, int.from_bytes(data[2:4], "big")
        if len(data) < head or checksum_of(data[:head]) or not head <= total <= len(data):
            return None
        return Skb(4, bytearray(data[:total]), iif)
    if len(data) < 40 or data[0] >> 4 != 6:
        return None
    size = int.from_bytes(data[4:6], "big")
    if data[8] == 0xFF or size + 40 > len(data):
        return None
    data = data[: size + 40]
    return None if data[6] == _HOP and not _hop_by_hop(data) else Skb(6, bytearray(data), iif)


def _hop_by_hop(data: bytes) -> bool:
    """ipv6_parse_hopopts: whether the options are whole. Padding of zeros only, 7 bytes at most."""
    if len(data) < 48 or len(data) < 40 + (data[41] + 1) * 8:
        return False
    options, padding = data[42 : 40 + (data[41] + 1) * 8], 0
    while options:
        size = 1 if options[0] == 0 else (options[1] + 2 if len(options) > 1 else 256)
        if size > len(options):
            return False
        if options[0] in (0, 1):
            padding += size
            if padding > 7 or any(options[2:size]):
                return False
        else:
            padding = 0
            if options[0] >> 6:
                return False
        options = options[size:]
    return True
