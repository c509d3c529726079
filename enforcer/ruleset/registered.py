"""The registered lookup as rules: stages in order, then the chain of the packet's class.

In: the compiled registry (`Tables`), which side of the packet to look at, and what to do for a
category. Out: the rules that look up, and the chains and maps behind them. One lookup answers both
"registered?" and "which category?"; a class with services asks for the protocol and the ports, in
chains that all windows share, so that opening a window costs the same whatever the registry says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from enforcer.lookup.classes import class_of
from enforcer.lookup.tables import LookupClass, Tables, Term
from enforcer.policy.prefix import Family, Service
from enforcer.ruleset.sampling import Sampling
from enforcer.ruleset.vocabulary import (
    Accept,
    ByClass,
    Chain,
    ClassMap,
    Container,
    DropClass,
    FrontIn,
    Goto,
    HasTransport,
    IsFamily,
    Jump,
    NoteClass,
    PortIn,
    Protocol,
    RegisteredMap,
    Return,
    Rule,
    SetPriority,
    Side,
    Statement,
    TakeClass,
)


@dataclass(frozen=True, slots=True)
class RegisteredLookup:
    """`rules` go into the caller's chain; a packet that is not registered falls through them."""

    rules: tuple[Rule, ...] = ()
    chains: tuple[Chain, ...] = ()
    maps: tuple[Container, ...] = ()


SERVICES = "services"


def category_ids(tables: Tables) -> dict[str, int]:
    """The class of each category for any service: what a class with services resolves to."""
    return tables.of_classes("category ids", _category_ids)


def _category_ids(classes: Iterable[LookupClass]) -> dict[str, int]:
    plain = {c.terms[0].category: c.id for c in classes if not c.terms[0].services}
    named = {term.category for c in classes for term in c.terms}
    return {
        category: plain.get(category) or class_of((Term(category),)).id
        for category in sorted(named)
    }


# --- classes with services: resolved once for all measures and windows ---------------------------


def service_classes(tables: Tables) -> tuple[LookupClass, ...]:
    """The classes that ask for a service before anything else."""
    return tables.of_classes("with services", _with_services)


def _with_services(classes: Iterable[LookupClass]) -> tuple[LookupClass, ...]:
    return tuple(c for c in classes if c.terms[0].services)


def service_chain(class_id: int) -> str:
    return f"services.{class_id:08x}"


def services_part(tables: Tables) -> tuple[tuple[Chain, ...], tuple[Container, ...]]:
    """A chain for each class with services, and the map that jumps there.

    They belong to the registry, not to a window: loaded with it, hooked nowhere, reached from the
    hit chains of armed windows only. Each turns the note into the class of a category, or wipes it.
    """
    return tables.of_classes("services part", _services_part)


def _services_part(
    all_classes: Sequence[LookupClass],
) -> tuple[tuple[Chain, ...], tuple[Container, ...]]:
    classes, ids = _with_services(all_classes), _category_ids(all_classes)
    if not classes:
        return (), ()
    chains = tuple(
        Chain(
            service_chain(c.id),
            (
                *(rule for term in c.terms for rule in _term_rules(term, ids[term.category])),
                Rule((DropClass(),)),
            ),
        )
        for c in classes
    )
    elements = tuple((c.id, service_chain(c.id)) for c in classes)
    return chains, (ClassMap(SERVICES, elements, "jump"),)


def _term_rules(term: Term, category_id: int) -> list[Rule]:
    note = (NoteClass(category_id), Return())
    if not term.services:
        return [Rule(note)]
    return [Rule((*m, *note)) for service in term.services for m in _service_matches(service)]


def _service_matches(service: Service) -> list[tuple[Statement, ...]]:
    """Either port counts: the end point may have opened the flow or have been called."""
    protocol = Protocol(service.protocol)
    if service.first_port is None or service.last_port is None:
        return [(protocol,)]
    first, last = service.first_port, service.last_port
    return [
        (protocol, PortIn("dport", first, last), HasTransport()),
        (protocol, PortIn("sport", first, last), HasTransport()),
    ]


# --- the lookup of one measure of one window ------------------------------------------------------


def registered_lookup(
    owner: str,
    window: str | None,
    tables: Tables,
    family: Family,
    sides: Sequence[Side],
    act: Callable[[Family, str], tuple[Statement, ...]],
    sampling: Sampling,
) -> RegisteredLookup:
    """The lookup of one family for the chain family `owner` (`mark.WINDOW`).

    `window` asks for its arming set on a hit (None when the caller has asked already).
    `act(family, category)` are the statements for a registered packet. Behind them the class is
    wiped out, unless they set the priority themselves, and the packet leaves our chain: accept.
    """
    stages = tables.of_family(family)
    if not stages:
        return RegisteredLookup()
    ids, with_services = category_ids(tables), service_classes(tables)
    actions = {c: Chain(f"{owner}.ip{family}.{c}", _actions(act(family, c), sampling)) for c in ids}
    by_category = tuple((ids[c], chain.name) for c, chain in actions.items())
    classes = ClassMap(f"{owner}.classes{family}", by_category)
    chains, maps = list(actions.values()), [classes]
    if with_services:
        # The hit chain needs a map of its own: one that led back to it would be a circle.
        hit = f"{owner}.hit{family}"
        categories = ClassMap(f"{owner}.categories{family}", by_category)
        to_hit = tuple((c.id, hit) for c in with_services)
        maps = [categories, ClassMap(classes.name, by_category + to_hit)]
        chains.append(Chain(hit, hit_rules(categories.name)))
    rules: list[Rule] = []
    for side in sides:
        looked_up = tuple(
            Rule(
                (
                    IsFamily(family),
                    TakeClass(side, family, stage.length, RegisteredMap(stage).name, window),
                    ByClass(classes.name),
                )
            )
            for stage in stages
        )
        # By jump: what is registered for other services comes back, to be asked on, or dropped.
        behind = Chain(f"{owner}.{side}{family}", looked_up)
        chains.append(behind)
        front = (FrontIn(side),) if family == 4 and tables.front is not None else ()
        rules.append(Rule((*front, Jump(behind.name))))
    return RegisteredLookup(tuple(rules), tuple(chains), tuple(maps))


def hit_rules(categories: str) -> tuple[Rule, ...]:
    """A class with services is resolved, then goes to its category's chain. What is registered,
    but not for this packet's service, returns without a note.
    """
    return (
        Rule((ByClass(SERVICES),)),
        Rule((ByClass(categories),)),
        Rule((DropClass(), Return())),
    )


def by_family(
    name: str,
    lookups: dict[Family, RegisteredLookup],
    missed: Callable[[Family], tuple[Rule, ...]],
) -> tuple[tuple[Rule, ...], tuple[Chain, ...]]:
    """The rules of both families for one chain, and a chain for IPv6 behind them. `missed` are the
    rules for what neither lookup has found.

    IPv4 stands in front: most packets are IPv4, and its first rules need not ask for the family
    (see `FrontIn`). IPv6 is asked for once.
    """
    rules = lookups[4].rules
    if not lookups[6].rules:
        return (*rules, *missed(4), *missed(6)), ()
    ipv6 = Chain(f"{name}.ip6", (*lookups[6].rules, *missed(6)))
    return (*rules, Rule((IsFamily(6), Goto(ipv6.name))), *missed(4)), (ipv6,)


def _actions(statements: tuple[Statement, ...], sampling: Sampling) -> tuple[Rule, ...]:
    wiped = any(isinstance(s, SetPriority) for s in statements)
    acting = Rule((*statements, *(() if wiped else (DropClass(),)), Accept()))
    return *sampling.before(statements), acting
