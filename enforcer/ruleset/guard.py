"""guard: new inbound flows to an estate come in from registered sources and lifelines only.

The one measure that drops. In order, the cheapest and most selective first: the estate's prefixes,
the uplink, its services and "starts something new", the arming set, lifelines, the registered
lookup; what is left is counted and dropped (counted only when the window is staged).
Stateless: conntrack would cost more than all of this, and its table is what an attack fills.
"""

from __future__ import annotations

from collections import defaultdict

from enforcer.lookup.tables import Tables
from enforcer.policy.model import Estate
from enforcer.policy.prefix import FAMILIES, PROTOCOLS, Family, Prefix
from enforcer.ruleset.measures import LIFELINE, UNREGISTERED, CounterName, Part
from enforcer.ruleset.registered import registered_lookup
from enforcer.ruleset.sampling import Sampling
from enforcer.ruleset.vocabulary import (
    Accept,
    AddressIn,
    Armed,
    Chain,
    Container,
    Drop,
    Goto,
    HasTransport,
    Hook,
    IifName,
    IsFamily,
    KeyType,
    MaskedIn,
    PortIn,
    PortInSet,
    Protocol,
    Rule,
    Side,
    SmallSet,
    Statement,
    TcpStart,
)

# Where `nft` has "raw": before connection tracking, whose table is what an attack fills. Not at
# ingress: whatever its rules, a chain hooked there drops packets of everybody's that the kernel
# cannot parse so early, later fragments of IPv6 AH among them (docs/decisions/0010).
HOOK = Hook("prerouting", -300)
_KEY: dict[Family, KeyType] = {4: "ipv4_addr", 6: "ipv6_addr"}


def prefix_matches(
    name: str, side: Side, prefixes: tuple[Prefix, ...], family: Family
) -> tuple[list[Statement], list[Container]]:
    """Matches, one for each length among the prefixes: a comparison, or a hash set of several."""
    by_length: dict[int, list[Prefix]] = defaultdict(list)
    for prefix in sorted(set(prefixes)):
        if prefix.family == family:
            by_length[prefix.length].append(prefix)
    matches: list[Statement] = []
    sets: list[Container] = []
    for length, group in sorted(by_length.items()):
        if len(group) == 1:
            matches.append(AddressIn(side, group[0]))
            continue
        set_name = f"{name}{family}-{length}"
        matches.append(MaskedIn(side, family, length, set_name))
        sets.append(SmallSet(set_name, _KEY[family], tuple(p.packed for p in group)))
    return matches, sets


def _service_matches(
    owner: str, estate: Estate, family: Family
) -> tuple[list[tuple[Statement, ...]], list[Container]]:
    """One sequence of matches for each thing a new flow to the estate can be."""
    whole = HasTransport(4 if family == 4 else None)
    single: dict[int, list[int]] = defaultdict(list)
    matches: list[tuple[Statement, ...]] = []
    sets: list[Container] = []
    for service in sorted(estate.services, key=lambda s: (s.protocol, s.first_port or 0)):
        start = _start(service.protocol)
        if service.first_port is None or service.last_port is None:
            matches.append(start)
        elif service.first_port == service.last_port:
            single[service.protocol].append(service.first_port)
        else:
            ports_in = PortIn("dport", service.first_port, service.last_port)
            matches.append((*start, ports_in, whole))
    for protocol, ports in sorted(single.items()):
        if len(ports) == 1:
            matches.append((*_start(protocol), PortIn("dport", ports[0], ports[0]), whole))
            continue
        set_name = f"{owner}.ports{protocol}"
        packed = tuple(port.to_bytes(2, "big") for port in sorted(set(ports)))
        matches.append((*_start(protocol), PortInSet("dport", set_name), whole))
        sets.append(SmallSet(set_name, "inet_service", packed))
    return matches, sets


def _start(protocol: int) -> tuple[Statement, ...]:
    """What starts something new: for TCP a SYN without ACK, for the others every datagram."""
    if protocol == PROTOCOLS["tcp"]:
        return Protocol(protocol), TcpStart()
    return (Protocol(protocol),)


def guard_part(
    window: str,
    estate: Estate,
    uplinks: tuple[str, ...],
    lifelines: tuple[Prefix, ...],
    tables: Tables,
    sampling: Sampling,
    *,
    stage: bool,
) -> Part:
    """`stage` counts what would be held back and drops nothing. Uplinks are matched by name: one
    that comes and goes stays guarded.
    """
    owner = f"guard.{window}"
    new_to = {family: _service_matches(owner, estate, family) for family in FAMILIES}
    # The ports are the same for both families.
    containers = list(new_to[4][1])
    base_rules: list[Rule] = []
    chains: list[Chain] = []
    for family in FAMILIES:
        to_estate, estate_sets = prefix_matches(f"{owner}.estate", "daddr", estate.prefixes, family)
        if not to_estate:
            continue
        is_family, flow, new = IsFamily(family), f"{owner}.flow{family}", f"{owner}.new{family}"
        inbound = f"{owner}.inbound{family}"
        base_rules += [Rule((is_family, match, Goto(inbound))) for match in to_estate]
        new_chain, behind, sets = _new_flow(
            owner, window, family, lifelines, tables, sampling, stage=stage
        )
        asked = tuple(Rule((*matches, Armed(window), Goto(new))) for matches in new_to[family][0])
        came_in = tuple(Rule((IifName(uplink), Goto(flow))) for uplink in uplinks)
        chains += [*behind, new_chain, Chain(flow, asked), Chain(inbound, came_in)]
        containers += [*estate_sets, *sets]
    chains.append(Chain(owner, tuple(base_rules), HOOK))
    return Part(containers=tuple(containers), chains=tuple(chains))


def _new_flow(
    owner: str,
    window: str,
    family: Family,
    lifelines: tuple[Prefix, ...],
    tables: Tables,
    sampling: Sampling,
    *,
    stage: bool,
) -> tuple[Chain, tuple[Chain, ...], list[Container]]:
    """The chain that decides on a new flow to the estate, and what stands behind it."""

    def let_in(family: Family, category: str) -> tuple[Statement, ...]:
        return (CounterName("guard", window, "let_in", family, category).count,)

    from_lifeline, sets = prefix_matches(f"{owner}.lifelines", "saddr", lifelines, family)
    lookup = registered_lookup(owner, None, tables, family, ("saddr",), let_in, sampling)
    held = CounterName(
        "guard", window, "would_drop" if stage else "held_back", family, UNREGISTERED
    )
    rest: tuple[Statement, ...] = (held.count,) if stage else (held.count, Drop())
    lifeline = let_in(family, LIFELINE)
    passing = [
        (*sampling.before(lifeline, m), Rule((IsFamily(family), m, *lifeline, Accept())))
        for m in from_lifeline
    ]
    rules = (
        *(rule for rules in passing for rule in rules),
        *lookup.rules,
        *sampling.before(rest),
        Rule(rest),
    )
    new_chain = Chain(f"{owner}.new{family}", rules)
    return new_chain, lookup.chains, [*sets, *lookup.maps]
