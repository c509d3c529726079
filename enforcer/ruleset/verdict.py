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
    """`partly`: of the range of ports that was asked some are let in and the others held back; then
    `name` is held_back.
    """

    name: VerdictName
    windows: tuple[str, ...]
    steps: tuple[str, ...]
    partly: bool = False


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
    *,
    uplink: bool = True,
) -> Verdict:
    """`…_terms` are the registrations of the two ends, longest match first (see `Term`). `uplink`:
    whether there is one, for guard judges nothing but what comes in by it.
    """
    activations = as_met(activations)
    steps: list[str] = []
    windows: list[str] = []
    name: VerdictName = "untouched"
    partly = False
    for activation in activations:
        window = activation.window
        if window.guard is None:
            continue
        if not uplink:
            steps.append(f"guard of window {window.id}: no uplink is there, untouched")
            continue
        estate = policy.estate(window.guard.estate)
        judged, text, rest = _guard(policy, estate, flow, source_terms)
        steps.append(f"guard of window {window.id}: {text}")
        if judged is None:
            continue
        windows.append(window.id)
        if (judged == "held_back" or rest) and window.stage:
            steps.append(f"window {window.id} is staged: it counts and holds nothing back")
            continue
        if judged == "held_back":
            return Verdict("held_back", tuple(windows), tuple(steps))
        name, partly = "let_in", partly or rest
    registered_as = _registered_as(flow.service, source_terms, to_terms)
    for activation in activations:
        window = activation.window
        done = [n for n, m in (("mark", window.mark), ("reserve", window.reserve)) if m]
        if not done:
            continue
        if not registered_as:
            steps.append(f"{' and '.join(done)} of window {window.id}: not registered, untouched")
            continue
        windows.append(window.id)
        steps.append(f"{' and '.join(done)} of window {window.id}: {registered_as}")
        name = "marked" if name == "untouched" else name
    if not steps:
        steps.append("no window is armed: nothing of enforcer is in the packet path")
    name = "held_back" if partly else name
    return Verdict(name, tuple(dict.fromkeys(windows)), tuple(steps), partly)


def _guard(
    policy: Policy, estate: Estate, flow: Flow, terms: tuple[Term, ...]
) -> tuple[VerdictName | None, str, bool]:
    """The verdict, what to say of it, and whether the rest of the range asked is held back."""
    family, address = flow.source
    if flow.to is not None and not any(
        p.family == flow.to[0] and flow.to[1] in p for p in estate.prefixes
    ):
        return None, f"{format_address(*flow.to)} is not in estate {estate.name}, untouched", False
    if flow.to is None and not any(p.family == family for p in estate.prefixes):
        return None, f"estate {estate.name} has no IPv{family} prefix, untouched", False
    services = _split(_asked(estate, flow.service), terms)
    if not services:
        return None, f"{flow.service} is no service of estate {estate.name}, untouched", False
    place = f"to estate {estate.name}"
    if any(p.family == family and address in p for p in policy.lifelines):
        return "let_in", f"{place}: a lifeline, let in", False
    let_in = [s for s in services if _category(terms, s) is not None]
    if len(let_in) == len(services):
        categories = dict.fromkeys(str(_category(terms, s)) for s in let_in)
        return "let_in", f"{place}: registered as {' and '.join(categories)}, let in", False
    if let_in:
        some = ", ".join(map(str, _joined(let_in)))
        only = f"{place}: registered for {some} only, let in for these"
        if flow.service is None:
            return "let_in", only, False
        return "let_in", f"{only} and held back for the rest", True
    if terms:
        return "held_back", f"{place}: registered, but not for this service; held back", False
    return "held_back", f"{place}: not registered, held back", False


def _asked(estate: Estate, service: Service | None) -> list[Service]:
    """The estate's services that the flow can be, of a range of ports those of the estate; all of
    them when it names none.
    """
    if service is None:
        return list(estate.services)
    alike = [s for s in estate.services if s.protocol == service.protocol]
    if not service.has_ports:
        return [service] if alike else []
    shared = {port for s in alike for port in s.ports if port in service.ports}
    return _joined(Service(service.protocol, port, port) for port in sorted(shared))


def _registered_as(
    service: Service | None, source_terms: tuple[Term, ...], to_terms: tuple[Term, ...]
) -> str:
    """`as category A`, each with its ports where it is not all the same; empty: not registered."""
    if service is None:
        category = _category(source_terms, None) or _category(to_terms, None)
        return f"as category {category}" if category else ""
    pieces: dict[str | None, list[Service]] = {}
    for piece in _split([service], source_terms + to_terms):
        category = _category(source_terms, piece) or _category(to_terms, piece)
        pieces.setdefault(category, []).append(piece)
    if len(pieces) == 1:
        return "".join(f"as category {category}" for category in pieces if category)
    return ", ".join(
        f"as category {category} for {' and '.join(map(str, _joined(found)))}"
        for category, found in pieces.items()
        if category
    )


def _split(services: Iterable[Service], terms: tuple[Term, ...]) -> list[Service]:
    """The same ports in pieces, so that a term has a whole piece or nothing of it."""
    told = [s for term in terms for s in term.services if s.has_ports]
    pieces: list[Service] = []
    for service in services:
        if not service.has_ports:
            pieces.append(service)
            continue
        ports = service.ports
        mine = [s.ports for s in told if s.protocol == service.protocol]
        edges = {edge for r in mine for edge in (r.start, r.stop) if edge in ports}
        begins = sorted({ports.start} | edges)
        for first, stop in zip(begins, [*begins[1:], ports.stop], strict=True):
            pieces.append(Service(service.protocol, first, stop - 1))
    return pieces


def _joined(pieces: Iterable[Service]) -> list[Service]:
    """Pieces that follow each other, as one."""
    joined: list[Service] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last and last.protocol == piece.protocol and last.ports.stop == piece.first_port:
            piece = Service(piece.protocol, last.first_port, piece.last_port)
            joined.pop()
        joined.append(piece)
    return joined


def _category(terms: tuple[Term, ...], service: Service | None) -> str | None:
    if not terms:
        return None
    if service is None:
        return terms[0].category
    found = LookupClass(1, terms)
    port = service.first_port
    return registered(found, service.protocol, None, port)
