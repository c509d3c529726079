"""The product's conscience: `check` refuses a ruleset that breaks a promise of the design.

In: a compiled ruleset and what it was compiled from. Out: nothing, or PromiseError with every
violation. It reads the finished ruleset, not the code that made it: a bug in the compiler, or a
change that softens a promise, meets this before the kernel does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from enforcer.errors import PromiseError
from enforcer.lookup.tables import Tables
from enforcer.policy import limits
from enforcer.policy.estates import estate_ceiling_violations
from enforcer.policy.model import Activation, Estate, Policy
from enforcer.policy.prefix import PROTOCOLS, Family, Prefix
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.compiler import epoch_ns
from enforcer.ruleset.measures import LIFELINE, UNREGISTERED, parse_counter
from enforcer.ruleset.paths import Step, steps

ACTING = (v.SetMark, v.SetDscp, v.SetPriority, v.TakeClass, v.DropClass, v.Drop)
WORDS = (*v.MATCHES, v.ByClass, v.DropClass, v.Count, v.SetMark, v.SetDscp, v.SetPriority)
VERDICT_WORDS = (v.Jump, v.Goto, v.Accept, v.Return, v.Drop)


@dataclass(frozen=True, slots=True)
class _Case:
    """What is checked against what."""

    ruleset: v.Ruleset
    policy: Policy
    active: dict[str, Activation]
    tables: Tables
    small: dict[str, v.SmallSet]


def check(
    ruleset: v.Ruleset, policy: Policy, activations: Iterable[Activation], tables: Tables
) -> None:
    """Raises PromiseError, with the number of the promise in front of each violation."""
    small = {c.name: c for c in ruleset.containers if isinstance(c, v.SmallSet)}
    case = _Case(ruleset, policy, {a.id: a for a in activations}, tables, small)
    found = [*_inert(case), *_closed_vocabulary(case), *_no_persons(case), *_ceilings(case)]
    found += _registered_maps(case)
    try:
        walked = list(steps(ruleset))
    except ValueError as error:
        raise PromiseError([*found, f"promise 5: {error}"]) from error
    found += _hard_end(case, walked)
    for step in walked:
        if any(isinstance(s, v.Drop) for s in step.rule.statements):
            found += _drop(case, step)
    if found:
        raise PromiseError(sorted(set(found)))


def _inert(case: _Case) -> list[str]:
    """1: nothing hooked, no qdisc, without a window that asks for it."""
    found = []
    if not case.active:
        found += [f"promise 1: chain {c.name} outside windows" for c in case.ruleset.chains]
    reserving = {
        case.policy.link(a.window.reserve.link).device
        for a in case.active.values()
        if a.window.reserve
    }
    for shaper in case.ruleset.shapers:
        if shaper.device not in reserving:
            found.append(f"promise 1: htb on {shaper.device} without a window that reserves there")
        if shaper.registered_bps > limits.RESERVE_SHARE * shaper.rate_bps + 1:
            found.append(f"promise 1: htb on {shaper.device} leaves the rest under a fifth")
    return found


def _closed_vocabulary(case: _Case) -> list[str]:
    """5: only words that match interface, address, protocol, port, TCP flags, mark, time."""
    found = []
    for chain in case.ruleset.chains:
        for rule in chain.rules:
            acted = False
            for s in rule.statements:
                if not isinstance(s, (*WORDS, *VERDICT_WORDS)):
                    found.append(
                        f"promise 5: chain {chain.name} says {type(s).__name__}, no word of ours"
                    )
                # A match behind an action would not bind it, and the facts of a path would lie.
                acted = acted or not isinstance(s, v.MATCHES)
                if acted and isinstance(s, v.MATCHES):
                    found.append(f"promise 5: chain {chain.name} matches after it acts")
    return found


def _no_persons(case: _Case) -> list[str]:
    """6: counters are named by the operator's own names."""
    categories = {*case.policy.categories, LIFELINE, UNREGISTERED}
    found = []
    for name in case.ruleset.counters:
        parsed = parse_counter(name)
        if parsed is None or parsed.category not in categories or parsed.window not in case.active:
            found.append(f"promise 6: counter {name} is not named by window and category")
    return found


def _ceilings(case: _Case) -> list[str]:
    """7: small estates, short guard windows."""
    found = [f"promise 7: {text}" for text in estate_ceiling_violations(case.policy.estates)]
    for activation in case.active.values():
        length = activation.ends_at - activation.starts_at
        if activation.window.guard and length > limits.GUARD_WINDOW:
            found.append(f"promise 7: guard window {activation.id} lasts {length}")
    return found


def _registered_maps(case: _Case) -> list[str]:
    """4: what is loaded is the compiled registry, whole."""
    loaded = {c.stage for c in case.ruleset.containers if isinstance(c, v.RegisteredMap)}
    if loaded != set(case.tables.stages):
        return ["promise 4: the registered maps are not those of the registry"]
    return []


def _hard_end(case: _Case, walked: list[Step]) -> list[str]:
    """2: every acting rule asks the arming set of an active window, which ends with the window."""
    found = []
    arming = {c.window: c for c in case.ruleset.containers if isinstance(c, v.ArmingSet)}
    for window, armed in arming.items():
        activation = case.active.get(window)
        if activation is None:
            found.append(f"promise 2: {armed.name} without an active window")
            continue
        if armed.ends_ns > epoch_ns(activation.ends_at):
            found.append(f"promise 2: {armed.name} outlasts its window")
        if armed.lease_ns is None and activation.window.lease != "until-end":
            found.append(f"promise 2: {armed.name} has no lease")
    for step in walked:
        if any(isinstance(s, ACTING) for s in step.rule.statements) and not any(
            window in arming for window in _armed_windows(step)
        ):
            found.append(f"promise 2: chain {step.chain} acts without asking an arming set")
    return found


def _armed_windows(step: Step) -> set[str]:
    windows = {s.window for s in step.facts if isinstance(s, v.Armed)}
    return windows | {s.window for s in step.facts if isinstance(s, v.TakeClass) and s.window}


# --- promises 3 and 4: who may be dropped ---------------------------------------------------------


def _drop(case: _Case, step: Step) -> list[str]:
    place = f"promise 3: the drop in chain {step.chain}"
    guards = [
        case.active[w].window
        for w in sorted(_armed_windows(step))
        if w in case.active and case.active[w].window.guard
    ]
    if not guards:
        return [f"{place} belongs to no active guard window"]
    window = guards[0]
    estate = case.policy.estate(window.guard.estate) if window.guard else None
    if estate is None:  # pragma: no cover - the list above holds guard windows only
        return [f"{place} has no estate"]
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
    return found + [f"{place} {text} (d)" for text in _unregistered_only(case, step, family)]


def _inside_estate(case: _Case, step: Step, estate: Estate, family: Family) -> bool:
    """Some destination match admits only prefixes of the estate."""
    for s in step.facts:
        if isinstance(s, v.AddressIn) and s.side == "daddr":
            admitted = [s.prefix]
        elif isinstance(s, v.MaskedIn) and s.side == "daddr" and s.set_name in case.small:
            admitted = _prefixes(case.small[s.set_name], s)
        else:
            continue
        if all(any(e.covers(prefix) for e in estate.prefixes) for prefix in admitted):
            return all(prefix.family == family for prefix in admitted)
    return False


def _prefixes(small: v.SmallSet, match: v.MaskedIn) -> list[Prefix]:
    return [
        Prefix(match.family, int.from_bytes(element, "big"), match.length)
        for element in small.elements
    ]


def _starts_something_new(case: _Case, step: Step, estate: Estate) -> bool:
    protocols = {s.number for s in step.facts if isinstance(s, v.Protocol)}
    if len(protocols) != 1:
        return False
    protocol = protocols.pop()
    if protocol == PROTOCOLS["tcp"] and v.TcpStart() not in step.facts:
        return False
    ports: set[int] = set()
    for s in step.facts:
        if isinstance(s, v.PortIn) and s.port == "dport":
            ports |= set(range(s.first, s.last + 1))
        elif isinstance(s, v.PortInSet) and s.port == "dport" and s.set_name in case.small:
            ports |= {int.from_bytes(e, "big") for e in case.small[s.set_name].elements}
    services = [s for s in estate.services if s.protocol == protocol]
    if not ports:
        return any(not s.has_ports for s in services)
    allowed: set[int] = set()
    for service in services:
        allowed |= set(service.ports)
    return ports <= allowed


def _unregistered_only(case: _Case, step: Step, family: Family) -> list[str]:
    """Before the drop, in its own chain, lifelines and every registered stage are let in."""
    asked = [s for rule in step.before for s in rule.statements]
    found = []
    stages = [s for s in asked if isinstance(s, v.TakeClass) and s.side == "saddr"]
    for stage in case.tables.of_family(family):
        name = v.RegisteredMap(stage).name
        if not any(s.map_name == name and s.length == stage.length for s in stages):
            found.append(f"does not ask {name} first")
    for rule in step.before:
        if any(isinstance(s, v.TakeClass) for s in rule.statements):
            found += _accepts_every_class(case, rule)
    passed = _lifelines_passed(case, step, family)
    for lifeline in case.policy.lifelines:
        if lifeline.family == family and lifeline not in passed:
            found.append(f"does not let lifeline {lifeline} pass first")
    return found


def _accepts_every_class(case: _Case, rule: v.Rule) -> list[str]:
    """A hit goes to a class map that knows every class, and each class for any service accepts."""
    jumps = [s.chain for s in rule.statements if isinstance(s, v.Jump)]
    hit = case.ruleset.chain(jumps[0]) if len(jumps) == 1 else None
    first = hit.rules[0].statements if hit and hit.rules else ()
    if len(first) != 1 or not isinstance(first[0], v.ByClass):
        return ["does not send hits to a class map"]
    maps = {c.name: c for c in case.ruleset.containers if isinstance(c, v.ClassMap)}
    known = dict(maps[first[0].map_name].elements)
    found = []
    for c in case.tables.classes:
        chain = case.ruleset.chain(known.get(c.id, ""))
        if chain is None:
            found.append(f"does not know class {c.id:08x}")
        elif not c.terms[0].services and not _accepts_all(chain):
            found.append(f"does not accept class {c.id:08x}, registered for any service")
        elif c.terms[0].services and not _accepts_services(case, chain, c.terms[0].category):
            found.append(f"does not accept the services of class {c.id:08x}")
    return found


def _accepts_all(chain: v.Chain) -> bool:
    """The first rule accepts whatever comes."""
    if not chain.rules:
        return False
    statements = chain.rules[0].statements
    return isinstance(statements[-1], v.Accept) and not any(
        isinstance(s, v.MATCHES) for s in statements
    )


def _accepts_services(case: _Case, chain: v.Chain, category: str) -> bool:
    """The chain asks for services and sends what fits to chains that accept."""
    gotos = [s.chain for rule in chain.rules for s in rule.statements if isinstance(s, v.Goto)]
    behind = [case.ruleset.chain(name) for name in gotos]
    return bool(behind) and all(c is not None and _accepts_all(c) for c in behind)


def _lifelines_passed(case: _Case, step: Step, family: Family) -> set[Prefix]:
    passed: set[Prefix] = set()
    for rule in step.before:
        matches = [s for s in rule.statements if isinstance(s, v.MATCHES)]
        if not isinstance(rule.statements[-1], v.Accept) or len(matches) != 2:
            continue
        source = matches[1]
        if matches[0] != v.IsFamily(family):
            continue
        if isinstance(source, v.AddressIn) and source.side == "saddr":
            passed.add(source.prefix)
        elif isinstance(source, v.MaskedIn) and source.side == "saddr":
            passed |= set(_prefixes(case.small[source.set_name], source))
    return passed
