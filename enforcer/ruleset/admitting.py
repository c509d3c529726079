"""Promise 4 on a finished ruleset: what the registered lookup admits is what is registered.

In: the case of `promises`. Out: violations as text. Admitting less would have guard hold back
registered traffic, admitting more would mark other people's.
"""

from __future__ import annotations

from dataclasses import replace

from enforcer.lookup.tables import LookupClass
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.case import Case, Condition
from enforcer.ruleset.measures import parse_counter
from enforcer.ruleset.registered import SERVICES, category_ids, hit_rules, service_classes
from enforcer.ruleset.sampling import deciding


def class_violations(case: Case) -> list[str]:
    """Promise 4: each class ends in its categories, and admits just what the class is for.

    Admitting less would drop registered traffic, admitting more would mark other people's.
    """
    found = []
    ids = category_ids(case.tables)
    for name, class_map in sorted(case.class_maps.items()):
        if name == SERVICES:
            found += _service_violations(case, class_map, ids)
            continue
        found += _class_map_violations(case, class_map, ids)
    if service_classes(case.tables) and SERVICES not in case.class_maps:
        found.append(f"promise 4: there is no map {SERVICES}")
    ids_known = {c.id for c in case.tables.classes}
    for stage in case.tables.stages:
        if not stage.class_ids() <= ids_known:
            found.append(f"promise 4: stage {stage.family}-{stage.length} has unknown classes")
    return [*found, *_taking_violations(case), *_front_violations(case)]


def is_lookup(rule: v.Rule) -> bool:
    """The rule asks one stage, and hands the class to a map."""
    match rule.statements:
        case (v.IsFamily(), v.TakeClass(), v.ByClass()):
            return True
    return False


def knows_every_class(case: Case, name: str) -> bool:
    class_map = case.class_maps.get(name)
    known = {key for key, _ in class_map.elements} if class_map else set()
    return name != SERVICES and {c.id for c in case.tables.classes} <= known


def _taking_violations(case: Case) -> list[str]:
    """A chain that takes classes asks every stage, in their order, and does nothing else: a hit is
    not asked again, so a shorter prefix in front of a longer one would hide it. Each hit goes to a
    map of all classes, as a note that is left over would be a stranger's priority.
    """
    found = []
    for chain in case.ruleset.chains:
        if v.TakeClass not in chain.words:
            continue
        takes = [s for rule in chain.rules for s in rule.statements if isinstance(s, v.TakeClass)]
        first = takes[0]
        stages = [
            replace(first, length=stage.length, map_name=v.RegisteredMap(stage).name)
            for stage in case.tables.of_family(first.family)
        ]
        if takes != stages or not all(map(is_lookup, chain.rules)):
            found.append(f"promise 4: chain {chain.name} is not the lookup of all stages in order")
        maps = [s.map_name for r in chain.rules for s in r.statements if isinstance(s, v.ByClass)]
        if not all(knows_every_class(case, name) for name in maps):
            found.append(f"promise 4: chain {chain.name} takes classes that its map does not know")
    return found


def _class_map_violations(case: Case, class_map: v.ClassMap, ids: dict[str, int]) -> list[str]:
    """Each category to a chain that accepts and counts it; each class with services to a chain
    that resolves it first.
    """
    name, found = class_map.name, []
    names = {class_id: category for category, class_id in ids.items()}
    with_services = {c.id for c in service_classes(case.tables)}
    chains = dict(class_map.elements)
    if class_map.verdict != "goto" or set(chains) - with_services != set(names):
        found.append(f"promise 4: map {name} does not know just the categories there are")
    for key, target in sorted(chains.items()):
        chain = case.ruleset.chain(target)
        if key in with_services:
            if chain is None or not _resolves(case, chain):
                found.append(f"promise 4: map {name} does not resolve class {key:08x}")
        elif chain is None or not accepts_all(chain):
            found.append(f"promise 4: map {name} does not accept category {key:08x}")
        elif names.get(key) not in _counted(chain):
            found.append(f"promise 4: map {name} counts category {key:08x} as another")
    return found


def _resolves(case: Case, hit: v.Chain) -> bool:
    """The chain asks for the services, then hands every category to a map that has just these."""
    match hit.rules[1].statements if len(hit.rules) > 1 else ():
        case (v.ByClass(name),) if name in case.class_maps and name != SERVICES:
            keys = {key for key, _ in case.class_maps[name].elements}
            return hit.rules == hit_rules(name) and keys == set(category_ids(case.tables).values())
    return False


def _front_violations(case: Case) -> list[str]:
    """The front filter, where rules ask it, lets every registered address through."""
    asking = [
        (chain.name, rule)
        for chain in case.ruleset.chains
        if v.FrontIn in chain.words
        for rule in chain.rules
        if any(isinstance(s, v.FrontIn) for s in rule.statements)
    ]
    found = [
        f"promise 4: chain {name} has set {v.FRONT} in front of another lookup"
        for name, rule in asking
        if not _filters_its_lookup(case, rule)
    ]
    fronts = [c.stage for c in case.ruleset.containers if isinstance(c, v.FrontSet)]
    if not fronts:
        return [*found, f"promise 4: there is no set {v.FRONT}"] if asking else []
    for stage in case.tables.of_family(4):
        if not stage.within(fronts[0]):
            found.append(f"promise 4: set {v.FRONT} lacks what stage 4-{stage.length} has")
    return found


def _filters_its_lookup(case: Case, rule: v.Rule) -> bool:
    """What stands behind the filter looks up IPv4, by the side that the filter asks."""
    match rule.statements:
        case (v.FrontIn(side), v.Jump(target)):
            chain = case.ruleset.chain(target)
            behind = [s for r in chain.rules for s in r.statements] if chain else []
            takes = [s for s in behind if isinstance(s, v.TakeClass)]
            return all((s.side, s.family) == (side, 4) for s in takes)
    return False


def _service_violations(case: Case, services: v.ClassMap, ids: dict[str, int]) -> list[str]:
    """The chains of services note the first term that fits, or wipe the note out; nothing else."""
    found = []
    chains = dict(services.elements)
    registered = case.tables.of_classes(
        "registered", lambda classes: {c.id: _registered(c, ids) for c in classes}
    )
    if services.verdict != "jump":
        found.append(f"promise 4: map {SERVICES} does not come back")
    for c in service_classes(case.tables):
        chain = case.ruleset.chain(chains.pop(c.id, ""))
        if chain is None:
            found.append(f"promise 4: map {SERVICES} does not know class {c.id:08x}")
        elif chain.hook or chain.once("notes", _notes) != registered[c.id]:
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
                notes.add((frozenset({protocol, port, v.HasTransport()}), category))
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
                isinstance(s, v.Protocol | v.PortIn | v.HasTransport) for s in matches
            ):
                found.append({(frozenset(matches), class_id)})
            case _:
                return None
    return _by_category(found)


def _counted(chain: v.Chain) -> set[str]:
    names = [s.counter for s in deciding(chain)[0].statements if isinstance(s, v.Count)]
    return {parsed.category for parsed in map(parse_counter, names) if parsed is not None}


def accepts_all(chain: v.Chain) -> bool:
    """The first rule that decides accepts whatever comes."""
    rules = deciding(chain)
    if not rules:
        return False
    *before, last = rules[0].statements
    harmless = (v.Count, v.SetMark, v.SetDscp, v.SetPriority, v.DropClass)
    return isinstance(last, v.Accept) and all(isinstance(s, harmless) for s in before)
