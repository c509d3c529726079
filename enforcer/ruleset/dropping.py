"""Promises 3 and 4 on a finished ruleset: who may be dropped, and who never is.

In: the steps of a ruleset and what it was compiled from. Out: violations as text. It must never
trust the compiler's names for more than finding a window; every match is looked at by itself.
"""

from __future__ import annotations

from enforcer.policy.model import Estate
from enforcer.policy.prefix import BITS, PROTOCOLS, Family, Prefix
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.admitting import is_lookup, knows_every_class
from enforcer.ruleset.case import Case
from enforcer.ruleset.paths import Step


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
    came_in_on = {s.device for s in step.facts if isinstance(s, v.IifName)}
    if step.hook.name != "prerouting" or came_in_on.isdisjoint(case.policy.gateway.uplinks):
        found.append(f"{place} is reached by packets that did not come in on an uplink (a)")
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
    asked = [rule for rule in before for rule in _behind_front(case, rule)]
    for stage in case.tables.of_family(family):
        name = v.RegisteredMap(stage).name
        # Armed by the drop's own window is armed whenever the drop is.
        takes = {v.TakeClass("saddr", family, stage.length, name, w) for w in (None, window)}
        if not any(_looks_up(case, rule, family, takes) for rule in asked):
            found.append(f"does not let in what is in {name} first")
    passed = {prefix for rule in before for prefix in _passes(case, rule, family)}
    for lifeline in case.policy.lifelines:
        if lifeline.family == family and lifeline not in passed:
            found.append(f"does not let lifeline {lifeline} pass first")
    return found


def _behind_front(case: Case, rule: v.Rule) -> tuple[v.Rule, ...]:
    """The rules to which a bare jump leads, or the front filter: it stands in front of an IPv4
    lookup only and knows every registered /16, as `class_violations` checks.
    """
    match rule.statements:
        case (v.FrontIn("saddr"), v.Jump(target)) | (v.Jump(target),):
            chain = case.ruleset.chain(target)
            rules = chain.rules if chain else ()
            # A rule of another kind could return, or spoil the note, before a stage is asked.
            return rules if all(is_lookup(r) for r in rules) else ()
    return (rule,)


def _looks_up(case: Case, rule: v.Rule, family: Family, takes: set[v.TakeClass]) -> bool:
    """The rule asks for nothing but the stage, and hands every hit to a map of all classes."""
    match rule.statements:
        case (v.IsFamily(asked), v.TakeClass() as take, v.ByClass(name)):
            return asked == family and take in takes and knows_every_class(case, name)
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
