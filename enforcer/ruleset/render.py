"""Ruleset and Transaction → text in nft syntax, for goldens, `plan` and people.

In: values. Out: text that nft itself accepts (registered maps are summed up unless `full`). It
must never show an element of the registry unless asked for it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any

from enforcer.policy.prefix import BITS, PROTOCOL_NAMES, Family, format_address
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v

DSCP_NAMES = {
    **{8 * n: f"cs{n}" for n in range(8)},
    **{8 * c + 2 * d: f"af{c}{d}" for c in range(1, 5) for d in range(1, 4)},
    46: "ef",
}
_IP = {4: "ip", 6: "ip6"}
_NFPROTO_NAMES = {bytes([number]): f"ipv{family}" for family, number in v.NFPROTO.items()}


def _mask(family: Family, length: int) -> str:
    bits = BITS[family]
    return format_address(family, ((1 << bits) - 1) ^ ((1 << (bits - length)) - 1))


def _field(family: Family, side: str, length: int) -> str:
    field = f"{_IP[family]} {side}"
    return field if length == BITS[family] else f"{field} & {_mask(family, length)}"


def _address_in(s: v.AddressIn) -> str:
    prefix = s.prefix
    text = str(prefix)
    if prefix.length == BITS[prefix.family]:
        text = text.partition("/")[0]
    return f"{_IP[prefix.family]} {s.side} {text}"


def _take_class(s: v.TakeClass) -> str:
    armed = f"meta nfproto @{v.armed_set(s.window)} " if s.window is not None else ""
    field = _field(s.family, s.side, s.length)
    return f"{armed}meta priority set {field} map @{s.map_name}"


def _protocol(number: int) -> str:
    return PROTOCOL_NAMES.get(number, str(number))


_STATEMENT: dict[type, Callable[[Any], str]] = {
    v.IsFamily: lambda s: f"meta nfproto ipv{s.family}",
    v.IifName: lambda s: f'iifname "{s.device}"',
    v.OifName: lambda s: f'oifname "{s.device}"',
    v.AddressIn: _address_in,
    v.MaskedIn: lambda s: f"{_field(s.family, s.side, s.length)} @{s.set_name}",
    v.Protocol: lambda s: f"meta l4proto {_protocol(s.number)}",
    v.PortIn: lambda s: f"th {s.port} {s.first}" + (f"-{s.last}" if s.last != s.first else ""),
    v.PortInSet: lambda s: f"th {s.port} @{s.set_name}",
    v.HasTransport: lambda s: "@nh,48,16 & 0x1fff == 0x0" if s.family else "@th,0,24 >= 0x0",
    v.TcpStart: lambda s: "tcp flags & (syn | ack) == syn",
    v.Armed: lambda s: f"meta nfproto @{s.set_name}",
    v.OneIn: lambda s: f"meta random & {s.mask:#x} == 0x0",
    v.FrontIn: lambda s: f"@nh,{96 if s.side == 'saddr' else 128},16 @{v.FRONT}",
    v.TakeClass: _take_class,
    v.ByClass: lambda s: f"meta priority vmap @{s.map_name}",
    v.NoteClass: lambda s: f"meta priority set {class_id(s.class_id)}",
    v.DropClass: lambda s: "meta priority set 0:0",
    v.Count: lambda s: f'counter name "{s.counter}"',
    v.SetMark: lambda s: f"meta mark set {s.fwmark:#010x}",
    v.SetDscp: lambda s: f"{_IP[s.family]} dscp set {DSCP_NAMES.get(s.dscp, hex(s.dscp))}",
    v.SetPriority: lambda s: f"meta priority set {s.major:x}:{s.minor:x}",
    v.Sample: lambda s: (
        f"limit rate {s.rate}/second burst {s.rate} packets "
        f'log prefix "{s.label}" group {v.SAMPLE_GROUP} snaplen {s.header_bytes}'
    ),
    v.Jump: lambda s: f"jump {s.chain}",
    v.Goto: lambda s: f"goto {s.chain}",
    v.Accept: lambda s: "accept",
    v.Return: lambda s: "return",
    v.Drop: lambda s: "drop",
}


def statement(s: v.Statement) -> str:
    return _STATEMENT[type(s)](s)


def rule(r: v.Rule) -> str:
    return " ".join(statement(s) for s in r.statements)


# --- containers -------------------------------------------------------------------------------


def class_id(value: int) -> str:
    return f"{value >> 16:x}:{value & 0xFFFF:x}"


def _key(key: v.KeyType, packed: bytes) -> str:
    if key == "inet_service":
        return str(int.from_bytes(packed, "big"))
    if key == "nf_proto":
        return _NFPROTO_NAMES[packed]
    if key == "ipv4_addr":
        return socket.inet_ntop(socket.AF_INET, packed)
    return socket.inet_ntop(socket.AF_INET6, packed)


def _elements(parts: Iterable[str]) -> list[str]:
    text = ", ".join(parts)
    return [f"elements = {{ {text} }}"] if text else []


def _small(s: v.SmallSet) -> list[str]:
    keys = [_key(s.key, element) for element in s.elements]
    return [f"set {s.name} {{", f"type {s.key}", f"size {s.size}", *_elements(keys)]


def _classes(m: v.ClassMap) -> list[str]:
    parts = [f"{class_id(key)} : {m.verdict} {chain}" for key, chain in m.elements]
    return [f"map {m.name} {{", "type classid : verdict", f"size {m.size}", *_elements(parts)]


def _armed(s: v.ArmingSet, now_ns: int | None) -> list[str]:
    head = [f"set {s.name} {{", "type nf_proto", "size 16", "flags timeout"]
    if now_ns is None:
        lease = "until its end" if s.lease_ns is None else f"lease {s.lease_ns // 10**9} s"
        return [*head, f"# ipv4, ipv6 until {s.ends_ns // 10**6} ms after the epoch, {lease}"]
    timeout_ms = s.timeout_ns(now_ns) // 10**6
    if timeout_ms <= 0:
        return head
    return [*head, *_elements(f"{name} timeout {timeout_ms}ms" for name in ("ipv4", "ipv6"))]


def _registered(m: v.RegisteredMap, full: bool) -> list[str]:
    stage = m.stage
    head = [f"map {m.name} {{", f"type {m.key} : classid", f"size {m.size}"]
    if not full:
        return [*head, f"# {len(stage):,} elements, digest {stage.digest}"]
    keys = stage.keys.byteswap() if stage.family == 4 else stage.keys
    size = BITS[stage.family] // 8
    raw = keys.tobytes()
    packed = (raw[i : i + size] for i in range(0, len(raw), size))
    classes = stage.classes.tolist()
    return [
        *head,
        *_elements(
            f"{_key(m.key, key)} : {class_id(value)}"
            for key, value in zip(packed, classes, strict=True)
        ),
    ]


def _front(s: v.FrontSet, full: bool) -> list[str]:
    head = [f"set {s.name} {{", "typeof @nh,96,16", f"size {s.size}"]
    if not full:
        return [*head, f"# {len(s.stage):,} elements, digest {s.stage.digest}"]
    return [*head, *_elements(hex(key >> 16) for key in s.stage.keys.tolist())]


def container(c: v.Container, *, full: bool = False, now_ns: int | None = None) -> list[str]:
    """The lines of a set or map; the first opens a brace that the caller closes."""
    if isinstance(c, v.SmallSet):
        return _small(c)
    if isinstance(c, v.ClassMap):
        return _classes(c)
    if isinstance(c, v.ArmingSet):
        return _armed(c, now_ns)
    if isinstance(c, v.FrontSet):
        return _front(c, full)
    return _registered(c, full)


def hook(h: v.Hook) -> str:
    device = f' device "{h.device}"' if h.device is not None else ""
    return f"type filter hook {h.name}{device} priority {h.priority}; policy accept;"


def chain(c: v.Chain) -> list[str]:
    """The lines of a chain; the first opens a brace that the caller closes."""
    head = [hook(c.hook)] if c.hook else []
    return [f"chain {c.name} {{", *head, *(rule(r) for r in c.rules)]


def shaper(s: v.Shaper) -> str:
    return (
        f"htb on {s.device}: {s.rate_bps} bit/s, at least {s.registered_bps} for registered "
        f"traffic ({v.SHAPER_MAJOR:x}:{v.REGISTERED_MINOR:x}), {s.rest_bps} for the rest"
    )


def ruleset(r: v.Ruleset, *, full: bool = False, now_ns: int | None = None) -> str:
    """The whole ruleset as an nft file. With `full` and `now_ns` nft would load just this."""
    lines = [f"table inet {v.TABLE} {{"]
    for name in sorted(r.counters):
        lines += [f"\tcounter {name} {{", "\t}"]
    # Chains before the class maps that point at them would do; nft resolves names at the end.
    for c in sorted(r.containers, key=lambda c: c.name):
        first, *rest = container(c, full=full, now_ns=now_ns)
        lines += [f"\t{first}", *(f"\t\t{line}" for line in rest), "\t}"]
    for ch in r.chains:
        first, *rest = chain(ch)
        lines += [f"\t{first}", *(f"\t\t{line}" for line in rest), "\t}"]
    lines.append("}")
    lines += [f"# {shaper(s)}" for s in r.shapers]
    return "\n".join(lines) + "\n"


# --- transactions -----------------------------------------------------------------------------

_NAME = f"inet {v.TABLE}"


def _add_set(op: t.AddSet) -> str:
    first, *lines = container(op.container)
    body = "; ".join(line for line in lines if not line.startswith("#"))
    remarks = "".join(f" {line}" for line in lines if line.startswith("#"))
    return f"add {first.replace(' ', f' {_NAME} ', 1)} {body} }}{remarks}"


def _put_elements(op: t.PutElements) -> str:
    elements = container(op.target)[-1].partition("= ")[2]
    return f"add element {_NAME} {op.target.name} {elements}"


def _take_elements(op: t.TakeElements) -> str:
    target = op.target
    if isinstance(target, v.ClassMap):
        keys = [class_id(key) for key in target.keys]
    else:
        keys = [_key(target.key, packed) for packed in target.keys]
    return f"delete element {_NAME} {target.name} {{ {', '.join(keys)} }}"


def _set_rules(op: t.SetRules) -> str:
    flush = [f"flush chain {_NAME} {op.chain.name}"] if op.flush else []
    added = [f"add rule {_NAME} {op.chain.name} {rule(r)}" for r in op.chain.rules]
    return "\n".join([*flush, *added])


def _add_chain(op: t.AddChain) -> str:
    return f"add chain {_NAME} {op.name}" + (f" {{ {hook(op.hook)} }}" if op.hook else "")


_OPERATION: dict[type, Callable[[Any], str]] = {
    t.CreateTable: lambda op: f"add table {_NAME}",
    t.DeleteTable: lambda op: f"delete table {_NAME}",
    t.WakeTable: lambda op: f"add table {_NAME} # no longer dormant",
    t.AddSet: _add_set,
    t.DeleteSet: lambda op: f"delete set {_NAME} {op.name}",
    t.PutElements: _put_elements,
    t.TakeElements: _take_elements,
    t.Load: lambda op: (
        (f"flush map {_NAME} {op.target.name}\n" if op.flush else "")
        + f"add element {_NAME} {op.target.name} # {len(op.target.stage):,} elements"
    ),
    t.Change: lambda op: (
        f"delete element {_NAME} {op.target.name} # {len(op.removed.stage):,} elements\n"
        f"add element {_NAME} {op.target.name} # {len(op.added.stage):,} elements"
    ),
    t.Arm: lambda op: f"add element {_NAME} {op.target.name} {{ ipv4, ipv6 }} # armed",
    t.AddCounter: lambda op: f"add counter {_NAME} {op.name}",
    t.DeleteCounter: lambda op: f"delete counter {_NAME} {op.name}",
    t.AddChain: _add_chain,
    t.SetRules: _set_rules,
    t.FlushChain: lambda op: f"flush chain {_NAME} {op.name}",
    t.DeleteChain: lambda op: f"delete chain {_NAME} {op.name}",
    t.WriteLedger: lambda op: f"# ledger: {len(op.entries)} registered maps",
    t.AddShaper: lambda op: f"# add {shaper(op.shaper)}",
    t.DeleteShaper: lambda op: f"# delete htb on {op.device}",
}


def operation(op: t.Operation) -> str:
    """An operation as the nft command it amounts to (several lines for a chain's rules)."""
    return _OPERATION[type(op)](op)


def transaction(tx: t.Transaction) -> str:
    return "\n".join(operation(op) for op in tx.operations) + "\n"
