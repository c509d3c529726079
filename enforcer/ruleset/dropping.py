"""Promises 3 and 4 on a finished ruleset: who may be dropped, and who never is.

In: the steps of a ruleset and what it was compiled from. Out: violations as text. It must never
trust the compiler's names for more than finding a window; every match is looked at by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enforcer.lookup.tables import LookupClass, Tables
from enforcer.policy.model import Activation, Estate, Policy
from enforcer.policy.prefix import BITS, PROTOCOLS, Family, Prefix
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.measures import parse_counter
from enforcer.ruleset.paths import Step
from enforcer.ruleset.registered import SERVICES, category_ids, hit_rules, service_classes

Condition = frozenset[v.Statement]


@dataclass(frozen=True, slots=True)
class Case:
    """What is checked against what. `owners` says which window a base chain belongs to."""

    ruleset: v.Ruleset
    policy: Policy
    active: dict[str, Activation]
    tables: Tables
    small: dict[str, v.SmallSet]
    class_maps: dict[str, v.ClassMap]
    owners: dict[str, str]


def armed_windows(step: Step) -> set[str]:
    """The windows whose arming set every packet of the step was found in."""
    windows = {s.window for s in step.facts if isinstance(s, v.Armed)}
    return windows | {s.window for s in step.facts if isinstance(s, v.TakeClass) and s.window}


def drop_violations(case: Case, walked: list[Step]) -> list[str]:
    """Promise 3, for every drop and every way that leads to it."""
    found: list[str] = []
    # Many ways lead to one rule, and what stands before it is the same for all of them.
    before: dict[tuple[str, int, Family, str], list[str]] = {}
    for step in walked:
        if any(isinstance(s, v.Drop) for s in step.rule.statements):
            found += _drop(case, step, before)
    return found


def _drop(
    case: Case, step: Step, before: dict[tuple[str, int, Family, str], list[str]]
) -> list[str]:
    place = f"promise 3: the drop in chain {step.chain}"
    armed = armed_windows(step)
    owner = case.owners.get(step.base, "")
    candidates = [owner] if owner in armed else sorted(armed)
    active = [case.active[name].window for name in candidates if name in case.active]
    window = next((w for w in active if w.guard), None)
    if window is None or window.guard is None:
        return [f"{place} belongs to no active guard window"]
    estate = case.policy.estate(window.guard.estate)
    found = []
    if window.stage:
        found.append(f"{place} belongs to a staged window")
    if step.hook.name != "ingress" or step.hook.device not in case.policy.gateway.uplinks:
        found.append(f"{place} is not at ingress of an uplink (a)")
    families = {s.family for s in step.facts if isinstance(s, v.IsFamily)}
    if len(families) != 1:
        return [*found, f"{place} is reached by packets of no one family"]
    family = families.pop()
    if not _inside_estate(case, step, estate, family):
        found.append(f"{place} is reached by packets that do not go to estate {estate.name} (b)")
    if not _starts_something_new(case, step, estate):
        found.append(
            f"{place} is reached by packets of no service of the estate, or not new (b, c)"
        )
    key = (step.chain, len(step.before), family, window.id)
    if key not in before:
        before[key] = _unregistered_only(case, step.before, family, window.id)
    return found + [f"{place} {text} (d)" for text in before[key]]


def _inside_estate(case: Case, step: Step, estate: Estate, family: Family) -> bool:
    """Some destination match admits only prefixes of the estate."""
    for s in step.facts:
        if isinstance(s, v.AddressIn) and s.side == "daddr":
            admitted = [s.prefix]
        elif isinstance(s, v.MaskedIn) and s.side == "daddr" and s.set_name in case.small:
            admitted = _prefixes(case.small[s.set_name], s)
        else:
            continue
        if all(
            prefix.family == family and any(e.covers(prefix) for e in estate.prefixes)
            for prefix in admitted
        ):
            return True
    return False


def _prefixes(small: v.SmallSet, match: v.MaskedIn) -> list[Prefix]:
    """What the match admits: an element with host bits set never equals a masked address."""
    size = BITS[match.family] // 8
    host = (1 << (BITS[match.family] - match.length)) - 1
    numbers = [int.from_bytes(e, "big") for e in small.elements if len(e) == size]
    return [Prefix(match.family, n, match.length) for n in numbers if not n & host]


def _starts_something_new(case: Case, step: Step, estate: Estate) -> bool:
    protocols = {s.number for s in step.facts if isinstance(s, v.Protocol)}
    if len(protocols) != 1:
        return False
    protocol = protocols.pop()
    if protocol == PROTOCOLS["tcp"] and v.TcpStart() not in step.facts:
        return False
    services = [s for s in estate.services if s.protocol == protocol]
    if any(not service.has_ports for service in services):
        return True
    allowed = {port for service in services for port in service.ports}
    asked = [s for s in step.facts if isinstance(s, v.PortIn | v.PortInSet) and s.port == "dport"]
    return any(_ports(case, s) <= allowed for s in asked)


def _ports(case: Case, s: v.PortIn | v.PortInSet) -> set[int]:
    if isinstance(s, v.PortIn):
        return set(range(s.first, s.last + 1))
    # A set that is not ours to see may hold every port.
    small = case.small.get(s.set_name)
    return {int.from_bytes(e, "big") for e in small.elements} if small else set(range(1 << 16))


# --- before the drop --------------------------------------------------------------------------


def _unregistered_only(
    case: Case, before: tuple[v.Rule, ...], family: Family, window: str
) -> list[str]:
    """Before the drop, in its own chain, lifelines and every registered stage are let in."""
    found = []
    for stage in case.tables.of_family(family):
        name = v.RegisteredMap(stage).name
        # Armed by the drop's own window is armed whenever the drop is.
        takes = {v.TakeClass("saddr", family, stage.length, name, w) for w in (None, window)}
        if not any(_looks_up(case, rule, family, takes) for rule in before):
            found.append(f"does not let in what is in {name} first")
    passed = {prefix for rule in before for prefix in _passes(case, rule, family)}
    for lifeline in case.policy.lifelines:
        if lifeline.family == family and lifeline not in passed:
            found.append(f"does not let lifeline {lifeline} pass first")
    return found


def _looks_up(case: Case, rule: v.Rule, family: Family, takes: set[v.TakeClass]) -> bool:
    """The rule asks for nothing but the stage, and hands every hit to a class map."""
    match rule.statements:
        case (v.IsFamily(asked), v.TakeClass() as take, v.Jump(target)):
            return asked == family and take in takes and _resolves(case, target)
    return False


def _resolves(case: Case, hit_name: str) -> bool:
    """The chain hands every class to its category, those with services by way of their chains."""
    hit = case.ruleset.chain(hit_name)
    match hit.rules[0].statements if hit and hit.rules else ():
        case (v.ByClass(name),) if hit and name != SERVICES and name in case.class_maps:
            return hit.rules == hit_rules(case.tables, name)
    return False


def _passes(case: Case, rule: v.Rule, family: Family) -> list[Prefix]:
    """The sources that the rule accepts, whatever else they are."""
    match [s for s in rule.statements if not isinstance(s, v.Count)]:
        case [v.IsFamily(asked), v.AddressIn("saddr", prefix), v.Accept()] if asked == family:
            return [prefix]
        case [v.IsFamily(asked), v.MaskedIn("saddr") as source, v.Accept()] if asked == family:
            small = case.small.get(source.set_name)
            return _prefixes(small, source) if small else []
    return []


# --- classes ----------------------------------------------------------------------------------


def class_violations(case: Case) -> list[str]:
    """Promise 4: each class ends in its categories, and admits just what the class is for.

    Admitting less would drop registered traffic, admitting more would mark other people's.
    """
    found = []
    ids = category_ids(case.tables)
    wanted = set(ids.values())
    for name, class_map in sorted(case.class_maps.items()):
        if name == SERVICES:
            found += _service_violations(case, class_map, ids)
            continue
        chains = dict(class_map.elements)
        if class_map.verdict != "goto" or set(chains) != wanted:
            found.append(f"promise 4: map {name} does not know just the categories there are")
        for key, target in sorted(chains.items()):
            chain = case.ruleset.chain(target)
            if chain is None or not accepts_all(chain):
                found.append(f"promise 4: map {name} does not accept category {key:08x}")
            elif key not in {ids.get(category) for category in _counted(chain)}:
                found.append(f"promise 4: map {name} counts category {key:08x} as another")
    if service_classes(case.tables) and SERVICES not in case.class_maps:
        found.append(f"promise 4: there is no map {SERVICES}")
    ids_known = np.array([c.id for c in case.tables.classes], np.uint32)
    for stage in case.tables.stages:
        if not np.isin(stage.classes, ids_known).all():
            found.append(f"promise 4: stage {stage.family}-{stage.length} has unknown classes")
    return found


def _service_violations(case: Case, services: v.ClassMap, ids: dict[str, int]) -> list[str]:
    """The chains of services note the first term that fits, or wipe the note out; nothing else."""
    found = []
    chains = dict(services.elements)
    if services.verdict != "jump":
        found.append(f"promise 4: map {SERVICES} does not come back")
    for c in service_classes(case.tables):
        chain = case.ruleset.chain(chains.pop(c.id, ""))
        if chain is None:
            found.append(f"promise 4: map {SERVICES} does not know class {c.id:08x}")
        elif chain.hook or _notes(chain) != _registered(c, ids):
            found.append(f"promise 4: {chain.name} does not admit just what class {c.id:08x} is")
    return found + [f"promise 4: map {SERVICES} knows a stranger, {k:08x}" for k in sorted(chains)]


Note = tuple[Condition, int]


def _registered(c: LookupClass, ids: dict[str, int]) -> list[set[Note]]:
    """Term by term: what a packet must be, and the category's class; either port counts."""
    terms: list[set[Note]] = []
    for term in c.terms:
        category = ids[term.category]
        notes: set[Note] = set() if term.services else {(frozenset(), category)}
        for service in term.services:
            protocol = v.Protocol(service.protocol)
            if service.first_port is None or service.last_port is None:
                notes.add((frozenset({protocol}), category))
                continue
            for port in (
                v.PortIn("dport", service.first_port, service.last_port),
                v.PortIn("sport", service.first_port, service.last_port),
            ):
                notes.add((frozenset({protocol, port}), category))
        terms.append(notes)
    return _by_category(terms)


def _by_category(terms: list[set[Note]]) -> list[set[Note]]:
    """Neighbouring terms of one category as one: their order changes nothing."""
    merged: list[set[Note]] = []
    for notes in terms:
        if merged and {i for _, i in merged[-1]} == {i for _, i in notes}:
            merged[-1] = merged[-1] | notes
        else:
            merged.append(notes)
    return merged


def _notes(chain: v.Chain) -> list[set[Note]] | None:
    """What the chain notes, in order; None when it does anything else."""
    *noting, last = chain.rules or (v.Rule(()),)
    if last.statements != (v.DropClass(),):
        return None
    found: list[set[Note]] = []
    for rule in noting:
        match rule.statements:
            case (*matches, v.NoteClass(class_id), v.Return()) if all(
                isinstance(s, v.Protocol | v.PortIn) for s in matches
            ):
                found.append({(frozenset(matches), class_id)})
            case _:
                return None
    return _by_category(found)


def _counted(chain: v.Chain) -> set[str]:
    names = [s.counter for s in chain.rules[0].statements if isinstance(s, v.Count)]
    return {parsed.category for parsed in map(parse_counter, names) if parsed is not None}


def accepts_all(chain: v.Chain) -> bool:
    """The first rule accepts whatever comes."""
    if not chain.rules:
        return False
    *before, last = chain.rules[0].statements
    harmless = (v.Count, v.SetMark, v.SetDscp, v.SetPriority, v.DropClass)
    return isinstance(last, v.Accept) and all(isinstance(s, harmless) for s in before)
