"""What happens to one flow, told from the policy and the radix tree, not from the rules.

In: values. Out: a Verdict with its steps in the order of the packet path. It says again, in its own
words, what the compiled rules do; `explain` compares it with the kernel, tests with the rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from enforcer.lookup.classes import registered
from enforcer.lookup.tables import LookupClass, Term
from enforcer.policy.model import Activation, Estate, Policy
from enforcer.policy.prefix import Family, Service, format_address
from enforcer.policy.registry import Registration

VerdictName = Literal["untouched", "marked", "let_in", "held_back"]
Address = tuple[Family, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """A new flow from `source`. Without `to`, guard is judged as if it went to the estate."""

    source: Address
    to: Address | None = None
    service: Service | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    name: VerdictName
    windows: tuple[str, ...]
    steps: tuple[str, ...]


def terms_of(rows: Iterable[Registration]) -> tuple[Term, ...]:
    """Why an address is registered: the rows that cover it, longest prefix first, any service
    before some, up to the first row for any service (what stands behind it changes nothing).
    """
    terms: list[Term] = []
    for row in sorted(rows, key=lambda r: (-r.prefix.length, bool(r.services), r.category)):
        terms.append(Term(row.category, row.services))
        if not row.services:
            break
    return tuple(terms)


def as_met(activations: Iterable[Activation]) -> list[Activation]:
    """In the order in which a packet meets them: of chains with one priority the kernel runs the
    one that was hooked last first, and windows that open together are hooked in order of their ids.
    """
    return sorted(activations, key=lambda a: (a.starts_at, a.id), reverse=True)


def verdict(
    policy: Policy,
    activations: Sequence[Activation],
    flow: Flow,
    source_terms: tuple[Term, ...],
    to_terms: tuple[Term, ...] = (),
) -> Verdict:
    """`…_terms` are the registrations of the two ends, longest match first (see `Term`)."""
    activations = as_met(activations)
    steps: list[str] = []
    windows: list[str] = []
    name: VerdictName = "untouched"
    for activation in activations:
        window = activation.window
        if window.guard is None:
            continue
        estate = policy.estate(window.guard.estate)
        judged, text = _guard(policy, estate, flow, source_terms)
        steps.append(f"guard of window {window.id}: {text}")
        if judged is None:
            continue
        windows.append(window.id)
        if judged == "held_back" and window.stage:
            steps.append(f"window {window.id} is staged: it counts and holds nothing back")
            continue
        if judged == "held_back":
            return Verdict("held_back", tuple(windows), tuple(steps))
        name = "let_in"
    category = _category(source_terms, flow.service) or _category(to_terms, flow.service)
    for activation in activations:
        window = activation.window
        done = [n for n, m in (("mark", window.mark), ("reserve", window.reserve)) if m]
        if not done:
            continue
        if category is None:
            steps.append(f"{' and '.join(done)} of window {window.id}: not registered, untouched")
            continue
        windows.append(window.id)
        steps.append(f"{' and '.join(done)} of window {window.id}: as category {category}")
        name = "marked" if name == "untouched" else name
    if not steps:
        steps.append("no window is armed: nothing of enforcer is in the packet path")
    return Verdict(name, tuple(dict.fromkeys(windows)), tuple(steps))


def _guard(
    policy: Policy, estate: Estate, flow: Flow, terms: tuple[Term, ...]
) -> tuple[VerdictName | None, str]:
    family, address = flow.source
    if flow.to is not None and not any(
        p.family == flow.to[0] and flow.to[1] in p for p in estate.prefixes
    ):
        return None, f"{format_address(*flow.to)} is not in estate {estate.name}, untouched"
    if flow.to is None and not any(p.family == family for p in estate.prefixes):
        return None, f"estate {estate.name} has no IPv{family} prefix, untouched"
    services = _asked(estate, flow.service)
    if not services:
        return None, f"{flow.service} is no service of estate {estate.name}, untouched"
    place = f"to estate {estate.name}"
    if any(p.family == family and address in p for p in policy.lifelines):
        return "let_in", f"{place}: a lifeline, let in"
    let_in = [s for s in services if _category(terms, s) is not None]
    if len(let_in) == len(services):
        return "let_in", f"{place}: registered as {_category(terms, let_in[0])}, let in"
    if let_in:
        some = ", ".join(str(s) for s in let_in)
        return "let_in", f"{place}: registered for {some} only, let in for these"
    if terms:
        return "held_back", f"{place}: registered, but not for this service; held back"
    return "held_back", f"{place}: not registered, held back"


def _asked(estate: Estate, service: Service | None) -> list[Service]:
    """The estate's services that the flow can be; all of them when it names none."""
    if service is None:
        return list(estate.services)
    fits = any(
        s.protocol == service.protocol and (not s.has_ports or set(service.ports) <= set(s.ports))
        for s in estate.services
    )
    return [service] if fits else []


def _category(terms: tuple[Term, ...], service: Service | None) -> str | None:
    if not terms:
        return None
    if service is None:
        return terms[0].category
    found = LookupClass(1, terms)
    port = service.first_port
    return registered(found, service.protocol, None, port)
