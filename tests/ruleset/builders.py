"""Small policies, registries and rulesets by hand, free of the planner and of any file.

A registry here is a list of registrations, and `tables` turns it into one stage for each length
that occurs, longest first: no expansion, so that the first hit is plainly the longest match. With
`front`, the /16s that hold anything stand in front.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from enforcer.lookup.tables import LookupClass, Stage, Tables, Term
from enforcer.policy.model import (
    Activation,
    Estate,
    Gateway,
    Guard,
    Lease,
    Link,
    Mark,
    Once,
    Policy,
    Reserve,
    Window,
)
from enforcer.policy.prefix import (
    FAMILIES,
    Family,
    Prefix,
    Service,
    parse_prefix,
    parse_service,
)
from enforcer.ruleset.compiler import compile_ruleset, epoch_ns
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling
from enforcer.ruleset.vocabulary import Ruleset

STARTS_AT = datetime(2026, 12, 1, 8, tzinfo=UTC)
ENDS_AT = datetime(2026, 12, 1, 20, tzinfo=UTC)
NOW_NS = epoch_ns(STARTS_AT)
ENDS_NS = epoch_ns(ENDS_AT)
DEVICES = frozenset({"lo", "wan0", "wan1", "lan0"})


@dataclass(frozen=True, slots=True)
class Registered:
    """One row of a registry."""

    prefix: Prefix
    category: str
    services: tuple[Service, ...] = ()


def registered(prefix: str, category: str, services: str = "") -> Registered:
    return Registered(parse_prefix(prefix), category, services_of(services))


def services_of(text: str) -> tuple[Service, ...]:
    return tuple(parse_service(token) for token in text.split())


def prefixes_of(text: str) -> tuple[Prefix, ...]:
    return tuple(parse_prefix(token) for token in text.split())


def stage(family: Family, length: int, classes: dict[int, int]) -> Stage:
    """A stage from masked addresses (integers) to class ids."""
    ordered = sorted(classes.items())
    size = 4 if family == 4 else 16
    packed = b"".join(address.to_bytes(size, "big") for address, _ in ordered)
    ids = np.array([class_id for _, class_id in ordered], np.uint32)
    keys = (
        np.frombuffer(packed, ">u4").astype(np.uint32)
        if family == 4
        else np.frombuffer(packed, "V16")
    )
    return Stage.of(family, length, keys, ids)


def _class(terms: tuple[Term, ...]) -> LookupClass:
    text = repr([(t.category, [str(s) for s in t.services]) for t in terms])
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return LookupClass(number % 0xFFFF_FFFE + 1, terms)


def _terms(rows: list[Registered], at: Prefix) -> tuple[Term, ...]:
    """Why every address of `at` is registered, longest match first."""
    covering = [r for r in rows if r.prefix.covers(at)]
    covering.sort(key=lambda r: (-r.prefix.length, not r.services, r.category, r.services))
    terms: list[Term] = []
    for row in covering:
        term = Term(row.category, tuple(sorted(row.services)))
        if term not in terms:
            terms.append(term)
        if not row.services:
            break
    return tuple(terms)


def _front(rows: tuple[Registered, ...]) -> Stage | None:
    blocks = {
        block << 16
        for row in rows
        if row.prefix.family == 4
        for block in range(row.prefix.network >> 16, (row.prefix.last >> 16) + 1)
    }
    return stage(4, 16, dict.fromkeys(blocks, 0)) if blocks else None


def tables(*rows: Registered, front: bool = False) -> Tables:
    wanted: dict[tuple[Family, int], dict[int, int]] = defaultdict(dict)
    classes: dict[int, LookupClass] = {}
    for prefix in {row.prefix for row in rows}:
        c = _class(_terms(list(rows), prefix))
        classes[c.id] = c
        wanted[prefix.family, prefix.length][prefix.network] = c.id
    order = sorted(wanted, key=lambda key: (key[0], -key[1]))
    return Tables(
        tuple(stage(family, length, wanted[family, length]) for family, length in order),
        tuple(sorted(classes.values())),
        tuple(
            (
                family,
                category,
                sum((r.prefix.family, r.category) == (family, category) for r in rows),
            )
            for family in FAMILIES
            for category in sorted({r.category for r in rows if r.prefix.family == family})
        ),
        _front(rows) if front else None,
    )


CONCENTRATORS = Estate(
    "concentrators",
    prefixes_of("203.0.113.0/28 203.0.113.64/28 203.0.113.129/32 2001:db8:10::/64"),
    services_of("udp/51820 udp/500 udp/4500 esp tcp/443 udp/5000-5100 gre"),
)
MAIL = Estate("mail", prefixes_of("198.18.7.0/30"), services_of("tcp/993 sctp/36412"))
LIFELINES = prefixes_of("192.0.2.53/32 192.0.2.54/32 192.0.2.128/25 2001:db8::53/128")
CATEGORIES = ("call-centre", "freelancer", "mission", "software-house")
POLICY = Policy(
    gateway=Gateway("edge-1", ("wan0", "wan1")),
    categories=CATEGORIES,
    lifelines=LIFELINES,
    estates=(CONCENTRATORS, MAIL),
    links=(Link("wan", "wan0", 1_000_000_000), Link("second", "wan1", 100_000_000)),
)

ROWS = (
    registered("198.51.100.0/28", "software-house"),
    registered("198.51.100.77/32", "freelancer", "udp/51820"),
    registered("198.51.100.64/28", "call-centre", "udp/500 udp/4500 esp tcp/8000-8100"),
    registered("198.51.101.0/24", "call-centre"),
    registered("198.51.101.9/32", "mission", "gre"),
    registered("2001:db8:100::/56", "software-house"),
    registered("2001:db8:200::/64", "mission", "udp/51820"),
)
TABLES = tables(*ROWS)
TABLES_IPV4 = tables(*(row for row in ROWS if row.prefix.family == 4))
# With a registration that fills four /16s.
WIDE = (*ROWS, registered("10.4.0.0/14", "mission", "esp"))
TABLES_FRONT = tables(*WIDE, front=True)


def window(
    name: str,
    *,
    mark: Mark | None = None,
    reserve: Reserve | None = None,
    guard: Guard | None = None,
    lease: Lease = "gateway",
    stage: bool = False,
) -> Window:
    return Window(
        id=name,
        reason="a test",
        declared_by="noc@isp.example",
        reference="NOC-1",
        form=Once(STARTS_AT, ENDS_AT),
        zone=UTC,
        zone_name="UTC",
        mark=mark,
        reserve=reserve,
        guard=guard,
        lease=lease,
        stage=stage,
    )


def active(w: Window, hours: float = 12) -> Activation:
    return Activation(STARTS_AT, STARTS_AT + timedelta(hours=hours), w)


MARK = Mark(0x51, 40)
ALL_THREE = window("ddos", mark=MARK, reserve=Reserve("wan", 0.4), guard=Guard("concentrators"))


def compiled(
    *activations: Activation,
    policy: Policy = POLICY,
    registry: Tables = TABLES,
    devices: frozenset[str] = DEVICES,
    sampling: Sampling = NO_SAMPLES,
) -> Ruleset:
    return compile_ruleset(policy, activations, registry, devices=devices, sampling=sampling)
