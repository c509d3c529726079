"""The product's conscience: `check` refuses a ruleset that breaks a promise of the design.

In: a compiled ruleset and what it was compiled from. Out: nothing, or PromiseError with every
violation. It reads the finished ruleset, not the code that made it: a bug in the compiler, or a
change that softens a promise, meets this before the kernel does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from enforcer.errors import PromiseError
from enforcer.lookup.tables import Tables
from enforcer.policy import limits
from enforcer.policy.estates import estate_ceiling_violations
from enforcer.policy.model import Activation, Policy
from enforcer.policy.prefix import PORT_PROTOCOLS, PROTOCOLS
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.admitting import class_violations
from enforcer.ruleset.case import Case
from enforcer.ruleset.compiler import epoch_ns
from enforcer.ruleset.dropping import armed_windows, drop_violations
from enforcer.ruleset.measures import LIFELINE, UNREGISTERED, parse_counter
from enforcer.ruleset.paths import Step, steps
from enforcer.ruleset.registered import service_chain, service_classes
from enforcer.ruleset.sampling import sampling_violations

CHANGES = (v.SetMark, v.SetDscp, v.SetPriority)
ACTING = (*CHANGES, v.TakeClass, v.NoteClass, v.DropClass, v.Drop, v.Sample)
WORDS = (*v.MATCHES, v.ByClass, v.NoteClass, v.DropClass, v.Count, v.Sample, *CHANGES)
VERDICT_WORDS = (v.Jump, v.Goto, v.Accept, v.Return, v.Drop)
_OF_TRANSPORT = (v.PortIn, v.PortInSet, v.TcpStart)
_WITH_PORTS = {v.Protocol(PROTOCOLS[name]) for name in PORT_PROTOCOLS}


def check(
    ruleset: v.Ruleset, policy: Policy, activations: Iterable[Activation], tables: Tables
) -> None:
    """Raises PromiseError, with the number of the promise in front of each violation."""
    active = {a.id: a for a in activations}
    places = _places(policy, active)
    case = Case(
        ruleset,
        policy,
        active,
        tables,
        small={c.name: c for c in ruleset.containers if isinstance(c, v.SmallSet)},
        class_maps={c.name: c for c in ruleset.containers if isinstance(c, v.ClassMap)},
        owners={name: window for name, (window, _) in places.items()},
    )
    found = [*_inert(case, places), *_closed_vocabulary(case), *_no_persons(case)]
    found += [*_ceilings(case), *_links(case), *_registered_maps(case), *class_violations(case)]
    found += [*_names(case), *sampling_violations(case)]
    try:
        walked = list(steps(ruleset))
    except ValueError as error:
        raise PromiseError([*sorted(set(found)), f"promise 5: {error}"]) from error
    found += [*_hard_end(case, walked), *_bystanders(walked), *_headers(walked)]
    found += drop_violations(case, walked)
    if found:
        raise PromiseError(sorted(set(found)))


Place = tuple[str, str]


def _places(policy: Policy, active: dict[str, Activation]) -> dict[str, Place]:
    """Base chain → window and hook: the only places where we may be called at all."""
    places: dict[str, Place] = {}
    for activation in active.values():
        window = activation.window
        if window.mark:
            places[f"mark.{window.id}"] = (window.id, "prerouting")
        if window.reserve:
            places[f"reserve.{window.id}"] = (window.id, "postrouting")
        if window.guard:
            places[f"guard.{window.id}"] = (window.id, "prerouting")
    return places


def _inert(case: Case, places: dict[str, Place]) -> list[str]:
    """1: nothing hooked, no chain but those of the registry, without a window that asks for it."""
    found = []
    of_registry = {service_chain(c.id) for c in service_classes(case.tables)}
    for chain in case.ruleset.chains:
        if not case.active and (chain.hook or chain.name not in of_registry):
            found.append(f"promise 1: chain {chain.name} outside windows")
        elif chain.hook:
            _, name = places.get(chain.name, ("", ""))
            if (chain.hook.name, chain.hook.device) != (name, None):
                found.append(f"promise 1: chain {chain.name} is hooked where no window asks for it")
    return found


def _links(case: Case) -> list[str]:
    """1: a qdisc only where a window reserves, as fast as the link, with a fifth for the rest."""
    found = []
    links = {
        link.device: link
        for a in case.active.values()
        if a.window.reserve
        for link in [case.policy.link(a.window.reserve.link)]
    }
    for shaper in case.ruleset.shapers:
        link = links.get(shaper.device)
        if link is None:
            found.append(f"promise 1: htb on {shaper.device} without a window that reserves there")
        elif shaper.rate_bps != link.rate_bps & ~7:
            found.append(f"promise 1: htb on {shaper.device} is not as fast as link {link.name}")
        if shaper.registered_bps > limits.RESERVE_SHARE * shaper.rate_bps + 1:
            found.append(f"promise 1: htb on {shaper.device} leaves the rest under a fifth")
    return found


def _closed_vocabulary(case: Case) -> list[str]:
    """5: only words that match interface, address, protocol, port, TCP flags, mark, time."""
    return [text for chain in case.ruleset.chains for text in chain.once("closed", _closed)]


def _closed(chain: v.Chain) -> tuple[str, ...]:
    found = []
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
    return tuple(found)


def _headers(walked: list[Step]) -> list[str]:
    """5: a header is read, and written, only where it is known to be that header.

    The port words read the first bytes behind the IP header: of ESP that would be content, and of
    a later fragment too.
    """
    found = []
    for step in walked:
        for s in step.rule.statements:
            if isinstance(s, v.PortIn | v.PortInSet) and not step.facts & _WITH_PORTS:
                found.append(f"promise 5: chain {step.chain} reads ports of any protocol")
            # Of either form: that of IPv4 is asked for its family below.
            whole = any(isinstance(fact, v.HasTransport) for fact in step.facts)
            if isinstance(s, _OF_TRANSPORT) and not whole:
                found.append(f"promise 5: chain {step.chain} takes content for a transport header")
            if isinstance(s, v.TcpStart) and v.Protocol(PROTOCOLS["tcp"]) not in step.facts:
                found.append(f"promise 5: chain {step.chain} reads TCP flags of any protocol")
            family = s.prefix.family if isinstance(s, v.AddressIn) else getattr(s, "family", None)
            if family is not None and v.IsFamily(family) not in step.facts:
                found.append(f"promise 5: chain {step.chain} takes any packet for IPv{family}")
    return found


def _names(case: Case) -> list[str]:
    """Whatever is named exists, once: otherwise the promises above were checked on another set."""
    r = case.ruleset
    found = []
    for kind, names in (
        ("set", [c.name for c in r.containers]),
        ("chain", [c.name for c in r.chains]),
        ("counter", list(r.counters)),
        ("htb on", [s.device for s in r.shapers]),
    ):
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        found += [f"promise 5: {kind} {name} is there twice" for name in twice]
    containers = {c.name: type(c) for c in r.containers}
    for chain in r.chains:
        for name, kind_of in chain.once("referred", _referred):
            if containers.get(name) is not kind_of:
                found.append(f"promise 5: chain {chain.name} refers to {name}, which is not there")
    return found


def _referred(chain: v.Chain) -> tuple[tuple[str, type], ...]:
    return tuple(_references(chain))


def _references(chain: v.Chain) -> Iterator[tuple[str, type]]:
    for rule in chain.rules:
        for s in rule.statements:
            if isinstance(s, v.MaskedIn | v.PortInSet):
                yield s.set_name, v.SmallSet
            elif isinstance(s, v.Armed):
                yield s.set_name, v.ArmingSet
            elif isinstance(s, v.ByClass):
                yield s.map_name, v.ClassMap
            elif isinstance(s, v.TakeClass):
                yield s.map_name, v.RegisteredMap
                if s.window is not None:
                    yield v.armed_set(s.window), v.ArmingSet


def _no_persons(case: Case) -> list[str]:
    """6: counters are named by the operator's own names."""
    categories = {*case.policy.categories, LIFELINE, UNREGISTERED}
    counted = {name for chain in case.ruleset.chains for name in chain.counters}
    found = []
    for name in counted | set(case.ruleset.counters):
        parsed = parse_counter(name)
        if parsed is None or parsed.category not in categories or parsed.window not in case.active:
            found.append(f"promise 6: counter {name} is not named by window and category")
    return found


def _ceilings(case: Case) -> list[str]:
    """7: small estates, short guard windows."""
    found = [f"promise 7: {text}" for text in estate_ceiling_violations(case.policy.estates)]
    for activation in case.active.values():
        length = activation.ends_at - activation.starts_at
        if activation.window.guard and length > limits.GUARD_WINDOW:
            found.append(f"promise 7: guard window {activation.id} lasts {length}")
    return found


def _registered_maps(case: Case) -> list[str]:
    """4: what is loaded is the compiled registry, whole."""
    loaded = {c.stage for c in case.ruleset.containers if isinstance(c, v.RegisteredMap)}
    fronts = [c.stage for c in case.ruleset.containers if isinstance(c, v.FrontSet)]
    if fronts not in ([], [case.tables.front]):
        return ["promise 4: the front filter is not that of the registry"]
    if loaded != set(case.tables.stages):
        return ["promise 4: the registered maps are not those of the registry"]
    return []


def _hard_end(case: Case, walked: list[Step]) -> list[str]:
    """2: every acting rule asks the arming set of its own window, which ends with the window."""
    found = []
    arming = {c.window: c for c in case.ruleset.containers if isinstance(c, v.ArmingSet)}
    longest_lease_ns = case.policy.gateway.lease_s * 10**9
    for window, armed in arming.items():
        activation = case.active.get(window)
        if activation is None:
            found.append(f"promise 2: {armed.name} without an active window")
            continue
        if armed.ends_ns > epoch_ns(activation.ends_at):
            found.append(f"promise 2: {armed.name} outlasts its window")
        if activation.window.lease != "until-end":
            if armed.lease_ns is None:
                found.append(f"promise 2: {armed.name} has no lease")
            elif armed.lease_ns > longest_lease_ns:
                found.append(f"promise 2: {armed.name} has a longer lease than the gateway's")
    for step in walked:
        if not any(isinstance(s, ACTING) for s in step.rule.statements):
            continue
        owner = case.owners.get(step.base)
        asked = armed_windows(step) & set(arming)
        if owner not in asked and not (owner is None and asked):
            found.append(f"promise 2: chain {step.chain} acts without asking its arming set")
    return found


def _bystanders(walked: list[Step]) -> list[str]:
    """1: nothing is changed on a packet but behind a hit of the registered lookup."""
    return [
        f"promise 1: chain {step.chain} changes packets that are not registered"
        for step in walked
        if any(isinstance(s, CHANGES) for s in step.rule.statements)
        and not any(isinstance(s, v.TakeClass) for s in step.facts)
    ]
