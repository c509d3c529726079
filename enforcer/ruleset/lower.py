"""Vocabulary → nf_tables expressions, as tuples that the kernel room packs and reads back.

In: one of our rules. Out: the expressions in the canonical form in which the kernel dumps them, so
that "is it there?" is tuple equality. Registers: 1 for what a statement loads, 2 beside it; values
are bytes as they stand in a register (addresses and ports in network order, meta in host order).
Source: <linux/netfilter/nf_tables.h>.

Forms:
  ("meta", key, dreg)                      load a meta field
  ("meta_set", key, sreg)
  ("payload", dreg, base, offset, length)  base 1: network header, 2: transport header
  ("payload_set", sreg, base, offset, length, csum_type, csum_offset)
  ("bitwise", sreg, dreg, length, mask, xor)
  ("cmp", sreg, op, data)                  op 0: equal, 2: lower, 3: or equal, 5: greater or equal
  ("lookup", set name, sreg)               membership
  ("lookup_map", map name, sreg, dreg)     dreg 0: the map's verdict is the packet's
  ("immediate", dreg, data)
  ("verdict", code, chain or None)         accept 1, drop 0, return -5, jump -3, goto -4
  ("counter", object name)
  ("limit", packets a second, burst)       breaks above that
  ("log", group, prefix, snaplen)          to the listener of an NFLOG group
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from enforcer.policy.prefix import BITS, Family
from enforcer.ruleset import vocabulary as v

Expr = tuple[Any, ...]

META_PRIORITY, META_MARK, META_IIFNAME, META_OIFNAME = 2, 3, 6, 7
META_NFPROTO, META_L4PROTO, META_RANDOM = 15, 16, 24
NETWORK, TRANSPORT = 1, 2
EQ, LTE, GTE = 0, 3, 5
ACCEPT, DROP, JUMP, GOTO, RETURN = 1, 0, -3, -4, -5
_REG, _REG2 = 1, 2

_ADDRESS_OFFSET: dict[tuple[Family, str], int] = {
    (4, "saddr"): 12,
    (4, "daddr"): 16,
    (6, "saddr"): 8,
    (6, "daddr"): 24,
}
_PORT_OFFSET = {"sport": 0, "dport": 2}


def _address(family: Family, side: str) -> Expr:
    return ("payload", _REG, NETWORK, _ADDRESS_OFFSET[family, side], BITS[family] // 8)


def _masked_address(family: Family, side: str, length: int) -> tuple[Expr, ...]:
    load = _address(family, side)
    bits = BITS[family]
    if length == bits:
        return (load,)
    mask = ((1 << bits) - 1) ^ ((1 << (bits - length)) - 1)
    size = bits // 8
    return load, ("bitwise", _REG, _REG, size, mask.to_bytes(size, "big"), bytes(size))


def _interface(key: int, device: str) -> tuple[Expr, ...]:
    return ("meta", key, _REG), ("cmp", _REG, EQ, device.encode().ljust(16, b"\0"))


def _address_in(s: v.AddressIn) -> tuple[Expr, ...]:
    compare = ("cmp", _REG, EQ, s.prefix.packed)
    return *_masked_address(s.prefix.family, s.side, s.prefix.length), compare


def _port_in(s: v.PortIn) -> tuple[Expr, ...]:
    load = ("payload", _REG, TRANSPORT, _PORT_OFFSET[s.port], 2)
    first, last = struct.pack(">H", s.first), struct.pack(">H", s.last)
    if first == last:
        return load, ("cmp", _REG, EQ, first)
    return load, ("cmp", _REG, GTE, first), ("cmp", _REG, LTE, last)


def _has_transport(s: v.HasTransport) -> tuple[Expr, ...]:
    if s.family is None:
        return ("payload", _REG, TRANSPORT, 0, 3), ("cmp", _REG, GTE, b"\0\0\0")
    return (
        ("payload", _REG, NETWORK, 6, 2),
        ("bitwise", _REG, _REG, 2, b"\x1f\xff", b"\0\0"),
        ("cmp", _REG, EQ, b"\0\0"),
    )


def _set_dscp(s: v.SetDscp) -> tuple[Expr, ...]:
    # Two bytes from the start of the header, as nft does it: the checksum is patched by halfwords.
    if s.family == 4:
        mask, value, checksum = b"\xff\x03", struct.pack(">H", s.dscp << 2), (1, 10)
    else:
        mask, value, checksum = b"\xf0\x3f", struct.pack(">H", s.dscp << 6), (0, 0)
    return (
        ("payload", _REG, NETWORK, 0, 2),
        ("bitwise", _REG, _REG, 2, mask, value),
        ("payload_set", _REG, NETWORK, 0, 2, *checksum),
    )


def _take_class(s: v.TakeClass, *, of_family: bool = False) -> tuple[Expr, ...]:
    """`of_family`: the packet's family is asked here as well, of hits only."""
    asked: list[Expr] = []
    if of_family or s.window is not None:
        asked.append(("meta", META_NFPROTO, _REG2))
    if of_family:
        asked.append(_same_family(s.family, _REG2))
    if s.window is not None:
        asked.append(("lookup", v.armed_set(s.window), _REG2))
    return (
        *_masked_address(s.family, s.side, s.length),
        ("lookup_map", s.map_name, _REG, _REG),
        *asked,
        ("meta_set", META_PRIORITY, _REG),
    )


def _same_family(family: Family, register: int) -> Expr:
    return ("cmp", register, EQ, bytes([v.NFPROTO[family]]))


def _set_meta(key: int, value: int) -> tuple[Expr, ...]:
    return ("immediate", _REG, struct.pack("=I", value)), ("meta_set", key, _REG)


_LOWER: dict[type, Callable[[Any], tuple[Expr, ...]]] = {
    v.IsFamily: lambda s: (("meta", META_NFPROTO, _REG), _same_family(s.family, _REG)),
    v.IifName: lambda s: _interface(META_IIFNAME, s.device),
    v.OifName: lambda s: _interface(META_OIFNAME, s.device),
    v.AddressIn: _address_in,
    v.MaskedIn: lambda s: (
        *_masked_address(s.family, s.side, s.length),
        ("lookup", s.set_name, _REG),
    ),
    v.Protocol: lambda s: (("meta", META_L4PROTO, _REG), ("cmp", _REG, EQ, bytes([s.number]))),
    v.PortIn: _port_in,
    v.PortInSet: lambda s: (
        ("payload", _REG, TRANSPORT, _PORT_OFFSET[s.port], 2),
        ("lookup", s.set_name, _REG),
    ),
    v.HasTransport: _has_transport,
    v.TcpStart: lambda s: (
        ("payload", _REG, TRANSPORT, 13, 1),
        ("bitwise", _REG, _REG, 1, b"\x12", b"\0"),
        ("cmp", _REG, EQ, b"\x02"),
    ),
    v.Armed: lambda s: (("meta", META_NFPROTO, _REG), ("lookup", s.set_name, _REG)),
    # Masked and equal, which the kernel evaluates in line; lower than a number, it does not.
    v.OneIn: lambda s: (
        ("meta", META_RANDOM, _REG),
        ("bitwise", _REG, _REG, 4, struct.pack(">I", s.mask), bytes(4)),
        ("cmp", _REG, EQ, bytes(4)),
    ),
    v.FrontIn: lambda s: (
        ("payload", _REG, NETWORK, _ADDRESS_OFFSET[4, s.side], 2),
        ("lookup", v.FRONT, _REG),
    ),
    v.TakeClass: _take_class,
    v.ByClass: lambda s: (("meta", META_PRIORITY, _REG), ("lookup_map", s.map_name, _REG, 0)),
    v.NoteClass: lambda s: _set_meta(META_PRIORITY, s.class_id),
    v.DropClass: lambda s: _set_meta(META_PRIORITY, 0),
    v.Count: lambda s: (("counter", s.counter),),
    v.SetMark: lambda s: _set_meta(META_MARK, s.fwmark),
    v.SetDscp: _set_dscp,
    v.SetPriority: lambda s: _set_meta(META_PRIORITY, s.major << 16 | s.minor),
    v.Sample: lambda s: (
        ("limit", s.rate, s.rate),
        ("log", v.SAMPLE_GROUP, s.label, s.header_bytes),
    ),
    v.Jump: lambda s: (("verdict", JUMP, s.chain),),
    v.Goto: lambda s: (("verdict", GOTO, s.chain),),
    v.Accept: lambda s: (("verdict", ACCEPT, None),),
    v.Return: lambda s: (("verdict", RETURN, None),),
    v.Drop: lambda s: (("verdict", DROP, None),),
}


def lower_rule(rule: v.Rule) -> tuple[Expr, ...]:
    """The rule's expressions in the kernel's own canonical form.

    The family in front of a lookup is asked behind it, which for the rule is the same and for the
    packets that are not in the map, most of them, two expressions less a stage.
    """
    match rule.statements:
        case (v.IsFamily(family), v.TakeClass() as take, *rest) if take.family == family:
            return (*_take_class(take, of_family=True), *_lowered(rest))
    return _lowered(rule.statements)


def _lowered(statements: Iterable[v.Statement]) -> tuple[Expr, ...]:
    return tuple(expr for s in statements for expr in _LOWER[type(s)](s))
