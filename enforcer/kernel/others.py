"""What other programs have in nf_tables: their base chains, what these do, and their flowtables.

In: a netlink socket. Out: values for `doctor` to judge. Only reads. Rules of iptables-nft are seen
as well; those of iptables-legacy live elsewhere in the kernel and are not.
Source: <linux/netfilter/nf_tables.h>, <linux/netfilter.h>.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from enforcer.kernel import decode
from enforcer.kernel import numbers as n
from enforcer.kernel.netlink import Netlink
from enforcer.kernel.wire import (
    Message,
    Reply,
    attributes,
    each_attribute,
    nftables,
    number32,
    signed32,
    string,
    text,
)
from enforcer.ruleset.lower import DROP, GOTO, JUMP, META_MARK

_GET_FLOWTABLE = 23
_FLOWTABLE_TABLE, _FLOWTABLE_NAME, _FLOWTABLE_HOOK, _FLOWTABLE_FLAGS = 1, 2, 3, 7
_FLOWTABLE_DEVICES, _FLOWTABLE_HARDWARE = 3, 1
_TABLE_DORMANT = 1
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting", "ingress")
_NETDEV_HOOKS = ("ingress", "egress")
# Expressions, and matches of iptables, that have the kernel track every connection.
_TRACKING = {"ct", "nat", "masq", "redir", "connlimit", "synproxy", "flow_offload"}
_TRACKING_MATCHES = {"conntrack", "state", "connlimit", "connmark", "helper"}
_NOTHING_BUT = {"counter", "log", "comment"}


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A hooked chain and what a packet may meet from there, over all chains that it leads to.

    `drops` counts rules and verdict map elements that drop or reject; `closed`: what none of its
    rules accepts is dropped, by the policy or by a last word without a condition. `marks`: rules
    that set the packet mark. `checks_source`: one asks the routes about the source (`fib`,
    `rpfilter`). `tracks`: it needs connection tracking.
    """

    family: str
    table: str
    name: str
    kind: str
    hook: str
    priority: int
    devices: tuple[str, ...] = ()
    closed: bool = False
    drops: int = 0
    marks: int = 0
    checks_source: bool = False
    tracks: bool = False


@dataclass(frozen=True, slots=True)
class Flowtable:
    """Flows that it holds pass by all chains after ingress. `hardware`: even by the kernel."""

    family: str
    table: str
    name: str
    devices: tuple[str, ...]
    hardware: bool = False


@dataclass(frozen=True, slots=True)
class Others:
    chains: tuple[BaseChain, ...] = ()
    flowtables: tuple[Flowtable, ...] = ()


_Key = tuple[int, str, str]


@dataclass(slots=True)
class _Rules:
    """What the rules of one chain do."""

    drops: int = 0
    closed: bool = False
    marks: int = 0
    checks_source: bool = False
    tracks: bool = False
    leads_to: set[str] = field(default_factory=set)


def read_others(netfilter: Netlink) -> Others:
    """Raises OSError, EINTR where a ruleset changed meanwhile: read again."""
    dormant = {
        (reply.body[0], string(decode.body(reply)[n.Table.NAME]))
        for reply in netfilter.dump(_all(n.Msg.GET_TABLE))
        if number32(decode.body(reply)[n.Table.FLAGS]) & _TABLE_DORMANT
    }
    rules: dict[_Key, _Rules] = defaultdict(_Rules)
    maps: dict[_Key, tuple[int, frozenset[str]]] = {}
    for reply in netfilter.dump(_all(n.Msg.GET_RULE)):
        attrs = decode.body(reply)
        family, table = reply.body[0], string(attrs[n.Rule.TABLE])
        found = rules[family, table, string(attrs[n.Rule.CHAIN])]
        for looked_up in _read_rule(attrs, found):
            key = family, table, looked_up
            if key not in maps:
                maps[key] = _verdict_map(netfilter, *key)
            drops, chains_behind = maps[key]
            found.drops += drops
            found.leads_to |= chains_behind
    chains = [
        _base_chain(reply, rules)
        for reply in netfilter.dump(_all(n.Msg.GET_CHAIN))
        if n.Chain.HOOK in decode.body(reply)
        and (reply.body[0], string(decode.body(reply)[n.Chain.TABLE])) not in dormant
    ]
    flowtables = [_flowtable(reply) for reply in netfilter.dump(_all(_GET_FLOWTABLE))]
    order = sorted(chains, key=lambda c: (c.hook, c.priority, c.family, c.table, c.name))
    return Others(tuple(order), tuple(flowtables))


def _all(kind: int) -> Message:
    return nftables(kind, 0, family=0)


def _read_rule(attrs: decode.Attributes, into: _Rules) -> list[str]:
    """Adds what the rule does; the verdict maps that it looks up."""
    maps = []
    only_drops = True
    ends = False
    for _, entry in each_attribute(attrs.get(n.Rule.EXPRESSIONS, b"")):
        outer = attributes(entry)
        name, inner = string(outer[1]), attributes(outer.get(2, b""))
        word = string(inner[1]) if name in ("match", "target") else ""
        if name == "immediate" and n.DATA_VERDICT in (data := attributes(inner[2])):
            code, chain = decode.verdict(data[n.DATA_VERDICT])
            ends = ends or code == DROP
            if code in (JUMP, GOTO) and chain is not None:
                into.leads_to.add(chain)
        elif name == "reject" or word in ("DROP", "REJECT"):
            ends = True
        elif name == "lookup" and 3 in inner and number32(inner[3]) == 0:
            maps.append(string(inner[1]))
        elif name not in _NOTHING_BUT:
            only_drops = False
        sets_mark = name == "meta" and 3 in inner and number32(inner[2]) == META_MARK
        into.marks += sets_mark or word in ("MARK", "CONNMARK")
        into.checks_source |= name == "fib" or word == "rpfilter"
        into.tracks |= name in _TRACKING or word in _TRACKING_MATCHES
    into.drops += ends
    into.closed |= ends and only_drops and not maps
    return maps


def _verdict_map(
    netfilter: Netlink, family: int, table: str, name: str
) -> tuple[int, frozenset[str]]:
    """How many elements drop, and the chains that elements lead to."""
    names = text(n.Elements.TABLE, table), text(n.Elements.SET, name)
    drops, chains = 0, set[str]()
    for reply in netfilter.dump(nftables(n.Msg.GET_ELEMENT, 0, *names, family=family)):
        for entry in decode.entries(decode.body(reply)):
            data = attributes(entry.get(n.Element.DATA, b""))
            if n.DATA_VERDICT not in data:
                continue
            code, chain = decode.verdict(data[n.DATA_VERDICT])
            drops += code == DROP
            if chain is not None:
                chains.add(chain)
    return drops, frozenset(chains)


def _base_chain(reply: Reply, rules: Mapping[_Key, _Rules]) -> BaseChain:
    attrs, family = decode.body(reply), reply.body[0]
    table, name = string(attrs[n.Chain.TABLE]), string(attrs[n.Chain.NAME])
    place = attributes(attrs[n.Chain.HOOK])
    number = number32(place[n.HookAttr.NUMBER])
    hooks = _NETDEV_HOOKS if _FAMILIES.get(family) == "netdev" else _HOOKS
    devices = [string(d) for _, d in each_attribute(place.get(n.HookAttr.DEVICES, b""))]
    if not devices and n.HookAttr.DEVICE in place:
        devices = [string(place[n.HookAttr.DEVICE])]
    met = [rules[key] for key in _reached(family, table, name, rules)]
    first = rules.get((family, table, name), _Rules())
    policy_drops = n.Chain.POLICY in attrs and number32(attrs[n.Chain.POLICY]) == DROP
    return BaseChain(
        _FAMILIES.get(family, str(family)),
        table,
        name,
        string(attrs[n.Chain.TYPE]),
        hooks[number] if number < len(hooks) else str(number),
        signed32(place[n.HookAttr.PRIORITY]),
        tuple(devices),
        policy_drops or first.closed,
        sum(m.drops for m in met),
        sum(m.marks for m in met),
        any(m.checks_source for m in met),
        string(attrs[n.Chain.TYPE]) == "nat" or any(m.tracks for m in met),
    )


def _reached(family: int, table: str, name: str, rules: Mapping[_Key, _Rules]) -> set[_Key]:
    """The chain and all that its rules lead to, those that have rules."""
    found: set[_Key] = set()
    left = [name]
    while left:
        key = family, table, left.pop()
        if key in found or key not in rules:
            continue
        found.add(key)
        left += rules[key].leads_to
    return found


def _flowtable(reply: Reply) -> Flowtable:
    attrs = decode.body(reply)
    place = attributes(attrs.get(_FLOWTABLE_HOOK, b""))
    devices = [string(d) for _, d in each_attribute(place.get(_FLOWTABLE_DEVICES, b""))]
    flags = number32(attrs[_FLOWTABLE_FLAGS]) if _FLOWTABLE_FLAGS in attrs else 0
    return Flowtable(
        _FAMILIES.get(reply.body[0], str(reply.body[0])),
        string(attrs[_FLOWTABLE_TABLE]),
        string(attrs[_FLOWTABLE_NAME]),
        tuple(devices),
        bool(flags & _FLOWTABLE_HARDWARE),
    )
