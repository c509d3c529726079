"""The registered lookup as rules: stages in order, then the chain of the packet's class.

In: the compiled registry (`Tables`), which side of the packet to look at, and what to do for a
category. Out: the rules that look up, and the chains and maps behind them. One lookup answers both
"registered?" and "which category?"; a class with services asks for the protocol and the ports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from enforcer.lookup.tables import LookupClass, Tables, Term
from enforcer.policy.prefix import Family, Service
from enforcer.ruleset.vocabulary import (
    Accept,
    ByClass,
    Chain,
    ClassMap,
    Container,
    DropClass,
    Goto,
    IsFamily,
    Jump,
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


def categories_of(tables: Tables, family: Family) -> tuple[str, ...]:
    """The categories that a lookup of this family can end in, sorted."""
    if not tables.of_family(family):
        return ()
    return tuple(sorted({term.category for c in tables.classes for term in c.terms}))


def _service_rules(service: Service, chain: str) -> list[Rule]:
    """Either port counts: the end point may have opened the flow or have been called."""
    goto = Goto(chain)
    if service.first_port is None or service.last_port is None:
        return [Rule((Protocol(service.protocol), goto))]
    first, last = service.first_port, service.last_port
    return [
        Rule((Protocol(service.protocol), PortIn("dport", first, last), goto)),
        Rule((Protocol(service.protocol), PortIn("sport", first, last), goto)),
    ]


def _term_rules(term: Term, chain: str) -> list[Rule]:
    if not term.services:
        return [Rule((Goto(chain),))]
    return [rule for service in term.services for rule in _service_rules(service, chain)]


def registered_lookup(
    owner: str,
    window: str | None,
    tables: Tables,
    family: Family,
    sides: Sequence[Side],
    act: Callable[[Family, str], tuple[Statement, ...]],
) -> RegisteredLookup:
    """The lookup of one family for the chain family `owner` (`mark.WINDOW`).

    `window` asks for its arming set on a hit (None when the caller has asked already).
    `act(family, category)` are the statements for a registered packet. Behind them the class is
    wiped out, unless they set the priority themselves, and the packet leaves our chain: accept.
    """
    stages = tables.of_family(family)
    if not stages:
        return RegisteredLookup()
    hit, class_map = f"{owner}.hit{family}", f"{owner}.classes{family}"

    def action_chain(category: str) -> str:
        return f"{owner}.ip{family}.{category}"

    def class_chain(c: LookupClass) -> str:
        first = c.terms[0]
        asks = f"{owner}.services{family}.{c.id:08x}"
        return asks if first.services else action_chain(first.category)

    rules = tuple(
        Rule(
            (
                IsFamily(family),
                TakeClass(side, family, stage.length, RegisteredMap(stage).name, window),
                Jump(hit),
            )
        )
        for side in sides
        for stage in stages
    )
    chains = [
        Chain(action_chain(c), (_action(act(family, c)),)) for c in categories_of(tables, family)
    ]
    for c in tables.classes:
        if c.terms[0].services:
            asked = [
                rule for term in c.terms for rule in _term_rules(term, action_chain(term.category))
            ]
            chains.append(Chain(class_chain(c), (*asked, Rule((DropClass(),)))))
    # A class that the map does not know cannot be (promises check it), and would be let go.
    chains.append(Chain(hit, (Rule((ByClass(class_map),)), Rule((DropClass(), Return())))))
    elements = tuple((c.id, class_chain(c)) for c in tables.classes)
    return RegisteredLookup(rules, tuple(chains), (ClassMap(class_map, elements),))


def _action(statements: tuple[Statement, ...]) -> Rule:
    wiped = any(isinstance(s, SetPriority) for s in statements)
    return Rule((*statements, *(() if wiped else (DropClass(),)), Accept()))
