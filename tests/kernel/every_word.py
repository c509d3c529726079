"""Samples for the kernel's tests: a rule for every word of the vocabulary, and small registries."""

from __future__ import annotations

import hashlib
import typing

import numpy as np

from enforcer.lookup.tables import Stage
from enforcer.policy.prefix import parse_prefix
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v

NOW_NS = 1_800_000_000_000_000_000
MINUTE_NS = 60_000_000_000


def stage4(keys: dict[int, int], length: int = 24) -> Stage:
    """An IPv4 stage of address → class id."""
    addresses = np.array(sorted(keys), np.uint32)
    classes = np.array([keys[key] for key in sorted(keys)], np.uint32)
    digest = hashlib.sha256(addresses.tobytes() + classes.tobytes()).hexdigest()[:16]
    return Stage(4, length, addresses, classes, digest)


def stage6(keys: dict[bytes, int], length: int = 48) -> Stage:
    """An IPv6 stage of packed address → class id."""
    packed = np.frombuffer(b"".join(sorted(keys)), "V16")
    classes = np.array([keys[key] for key in sorted(keys)], np.uint32)
    digest = hashlib.sha256(packed.tobytes() + classes.tobytes()).hexdigest()[:16]
    return Stage(6, length, packed, classes, digest)


def many4(count: int, class_id: int = 0x12345678, step: int = 256) -> Stage:
    return stage4({0x0A000000 + step * at: class_id + at % 3 for at in range(count)})


NET6 = bytes.fromhex("20010db8000100000000000000000000")
MAP4 = v.RegisteredMap(stage4({0x0A010200: 0x12345678, 0x0A010300: 7}))
MAP6 = v.RegisteredMap(stage6({NET6: 0x12345678}))
FRONT = v.FrontSet(stage4({0x0A010000: 0, 0xC6330000: 0}, 16))
LIFELINES4 = v.SmallSet("lifelines4-24", "ipv4_addr", (b"\xc0\0\2\0", b"\xc6\x33\x64\0"))
LIFELINES6 = v.SmallSet("lifelines6-48", "ipv6_addr", (NET6,))
PORTS = v.SmallSet("services.vpn.udp", "inet_service", (b"\x01\xf4", b"\x11\x94", b"\xca\x6c"))
CLASSES = v.ClassMap("mark.ddos.classes4", ((7, "act"), (0x12345678, "act")))
SERVICES = v.ClassMap("services", ((9, "act"),), "jump")
COUNTER = "guard/ddos/held_back/ip4/unregistered"

MATCHES: tuple[v.Match, ...] = (
    v.IsFamily(4),
    v.IsFamily(6),
    v.IifName("wan0"),
    v.OifName("wan0"),
    v.AddressIn("daddr", parse_prefix("203.0.113.0/28")),
    v.AddressIn("saddr", parse_prefix("203.0.113.9/32")),
    v.AddressIn("daddr", parse_prefix("2001:db8:1::/48")),
    v.AddressIn("saddr", parse_prefix("2001:db8:1::5/128")),
    v.AddressIn("saddr", parse_prefix("10.0.0.0/11")),
    v.MaskedIn("saddr", 4, 24, LIFELINES4.name),
    v.MaskedIn("saddr", 4, 32, LIFELINES4.name),
    v.MaskedIn("daddr", 6, 48, LIFELINES6.name),
    v.Protocol(17),
    v.Protocol(50),
    v.PortIn("dport", 5000, 5100),
    v.PortIn("sport", 443, 443),
    v.PortInSet("dport", PORTS.name),
    v.HasTransport(),
    v.HasTransport(4),
    v.TcpStart(),
    v.Armed("ddos"),
    v.OneIn(64),
    v.FrontIn("saddr"),
    v.FrontIn("daddr"),
    v.TakeClass("saddr", 4, 24, MAP4.name),
    v.TakeClass("daddr", 4, 24, MAP4.name, "ddos"),
    v.TakeClass("saddr", 4, 32, MAP4.name, "ddos"),
    v.TakeClass("saddr", 6, 48, MAP6.name),
    v.TakeClass("daddr", 6, 48, MAP6.name, "ddos"),
)
ACTIONS: tuple[v.Action, ...] = (
    v.ByClass(CLASSES.name),
    v.ByClass(SERVICES.name),
    v.NoteClass(0xCFACBF79),
    v.DropClass(),
    v.Count(COUNTER),
    v.SetMark(0x51),
    v.SetDscp(4, 40),
    v.SetDscp(6, 46),
    v.SetPriority(v.SHAPER_MAJOR, v.REGISTERED_MINOR),
    v.SetPriority(v.SHAPER_MAJOR, v.REST_MINOR),
    v.Sample(COUNTER, 4, 10),
    v.Sample("mark/ddos/untouched/ip6/unregistered", 6, 1000),
    v.Jump("act"),
    v.Goto("act"),
    v.Accept(),
    v.Return(),
    v.Drop(),
)
assert {type(word) for word in MATCHES} == set(typing.get_args(v.Match))
assert {type(word) for word in ACTIONS} == set(typing.get_args(v.Action))


def required_by(word: v.Statement) -> tuple[v.Statement, ...]:
    """The match that the compiler puts before words about addresses and about TCP."""
    if isinstance(word, v.TcpStart):
        return (v.Protocol(6),)
    family = getattr(word, "family", None)
    if isinstance(word, v.AddressIn):
        family = word.prefix.family
    return () if family is None or isinstance(word, v.IsFamily) else (v.IsFamily(family),)


WORD_CHAINS = (
    v.Chain("act", (v.Rule((v.Return(),)),)),
    v.Chain(
        "matches",
        tuple(v.Rule((*required_by(word), word, v.Count(COUNTER))) for word in MATCHES),
    ),
    v.Chain("actions", tuple(v.Rule((*required_by(word), word)) for word in ACTIONS)),
    v.Chain("pre", (v.Rule((v.Jump("matches"),)),), v.Hook("prerouting", -150)),
    v.Chain("post", (v.Rule((v.Jump("actions"),)),), v.Hook("postrouting", 100)),
    v.Chain("guard.wan0", (v.Rule((v.Jump("matches"),)),), v.Hook("ingress", -149, "wan0")),
)


def every_word(now_ns: int) -> tuple[t.Operation, ...]:
    """Operations that make a table with every word in it, armed for an hour."""
    arming = v.ArmingSet("ddos", now_ns + 60 * MINUTE_NS, None)
    chains = WORD_CHAINS
    containers: tuple[v.Container, ...] = (
        MAP4,
        MAP6,
        FRONT,
        LIFELINES4,
        LIFELINES6,
        PORTS,
        CLASSES,
        SERVICES,
    )
    return (
        t.CreateTable(),
        *(t.AddChain(chain.name, chain.hook) for chain in chains),
        t.AddCounter(COUNTER),
        *(t.AddSet(container) for container in (*containers, arming)),
        t.Load(MAP4),
        t.Load(MAP6),
        t.Load(FRONT),
        t.Arm(arming),
        *(t.SetRules(chain, flush=False) for chain in chains),
        t.WriteLedger(tuple((m.name, m.stage.digest) for m in (MAP4, MAP6, FRONT))),
    )
