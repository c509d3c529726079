"""`enforcer.yaml` → the sections of the policy, with what concerns several of its fields checked:
ceilings of estates, lifelines that would let everybody in, things given twice.

A document comes in; a `Foundation` goes out, also when parts of it are wrong, so that windows can
be checked in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from enforcer.errors import Problem
from enforcer.policy import limits
from enforcer.policy.documents import EstateSection, MainSection, MetricsSection
from enforcer.policy.estates import ipv4_addresses, ipv6_slash_64s
from enforcer.policy.feed_sections import feed_of, file_of, wrong_with
from enforcer.policy.model import (
    Estate,
    Gateway,
    Link,
    Metrics,
    Observe,
    Policy,
    RegistrySpec,
    Tls,
)
from enforcer.policy.places import Document, Path
from enforcer.policy.prefix import PROTOCOL_NAMES, Family, Prefix, Service, parse_prefix
from enforcer.policy.shape import Checked, check
from enforcer.policy.words import count, shown


@dataclass(frozen=True, slots=True)
class Foundation:
    """What windows stand on. `policy` has no windows yet, and is None when a section is wrong;
    `estates` and `links` are the names declared, None when not even these could be read.
    """

    policy: Policy | None
    estates: frozenset[str] | None
    links: frozenset[str] | None


def read_main(document: Document, problems: list[Problem]) -> Foundation:
    """The sections of `enforcer.yaml`, appending everything wrong in them to `problems`."""
    before = len(problems)
    if document.value is None:
        problems.append(document.problem((), "is empty; write the gateway's configuration into it"))
        return Foundation(None, None, None)
    checked = check(MainSection, document, (), document.value, problems)
    if checked is None:
        return Foundation(None, None, None)
    for key, look in _LOOKS.items():
        if checked.good(key):
            look(document, checked.section, problems)
    return Foundation(
        _policy(checked.section) if len(problems) == before else None,
        _names(document, checked, "estates"),
        _names(document, checked, "links"),
    )


def _names(document: Document, checked: Checked[MainSection], key: str) -> frozenset[str] | None:
    value = document.value.get(key, {})
    return frozenset(map(str, value)) if isinstance(value, dict) else None


def _policy(main: MainSection) -> Policy:
    gateway, registry = main.gateway, main.registry
    return Policy(
        gateway=Gateway(
            gateway.name,
            tuple(gateway.uplinks),
            round(gateway.lease.total_seconds()),
            gateway.require_synchronised_clock,
            gateway.on_stop,
        ),
        categories=tuple(main.categories),
        registry=RegistrySpec(
            tuple(file_of(s.file, s.feed) for s in registry.sources),
            registry.shrink_limit,
            registry.kernel_memory,
            tuple(feed_of(s.file, s.feed) for s in registry.sources if s.feed),
        ),
        lifelines=tuple(main.lifelines),
        # By name, so that the order of a mapping's entries changes nothing.
        estates=tuple(
            Estate(name, tuple(estate.prefixes), tuple(estate.services))
            for name, estate in sorted(main.estates.items())
        ),
        links=tuple(
            Link(name, link.device, link.rate) for name, link in sorted(main.links.items())
        ),
        metrics=_metrics(main.metrics) if main.metrics else Metrics(),
        observe=Observe(main.observe.sample) if main.observe else Observe(),
    )


def _metrics(section: MetricsSection) -> Metrics:
    tls = section.tls
    return Metrics(
        section.listen.host,
        section.listen.port,
        Tls(tls.certificate, tls.key, tls.client_ca) if tls else None,
        tuple(section.names),
    )


def _twice(
    document: Document, path: Path, values: Sequence[Hashable], problems: list[Problem]
) -> None:
    first: dict[Hashable, int] = {}
    for index, value in enumerate(values):
        if value in first:
            line = document.positions[(*path, first[value])][0]
            fact = f"{shown(value)} is given twice, first on line {line}"
            problems.append(document.problem((*path, index), f"{fact}; remove one"))
        first.setdefault(value, index)


def _uplinks(document: Document, main: MainSection, problems: list[Problem]) -> None:
    _twice(document, ("gateway", "uplinks"), main.gateway.uplinks, problems)


def _categories(document: Document, main: MainSection, problems: list[Problem]) -> None:
    _twice(document, ("categories",), main.categories, problems)


def _sources(document: Document, main: MainSection, problems: list[Problem]) -> None:
    at: Path = ("registry", "sources")
    files = [file_of(source.file, source.feed) for source in main.registry.sources]
    before = len(problems)
    _twice(document, at, files, problems)
    names = [
        s.feed.name if s.feed else f for s, f in zip(main.registry.sources, files, strict=True)
    ]
    if len(problems) == before:
        # Labels of metrics.
        _twice(document, at, names, problems)
    for index, source in enumerate(main.registry.sources):
        if source.feed is not None:
            here = (*at, index, "feed")
            problems += wrong_with(document, here, source.feed, main.categories)


# A lifeline wider than this is no server of anybody's.
_LIFELINE_SHORTEST: dict[Family, int] = {4: 8, 6: 16}


def _lifelines(document: Document, main: MainSection, problems: list[Problem]) -> None:
    _twice(document, ("lifelines",), main.lifelines, problems)
    for index, prefix in enumerate(main.lifelines):
        shortest = _LIFELINE_SHORTEST[prefix.family]
        if prefix.length == 0:
            fact = f"{prefix} is every address, and a guard that lets everybody in guards nothing"
        elif prefix.length < shortest:
            fact = f"{prefix} is wider than a /{shortest}, the widest that a lifeline may be"
        elif (what := _never_a_source(prefix)) is not None:
            fact = f"{prefix} holds {what}, from which nothing comes in"
        else:
            continue
        remedy = "write the prefixes of the servers that must always get in"
        problems.append(document.problem(("lifelines", index), f"{fact}; {remedy}"))


def _links(document: Document, main: MainSection, problems: list[Problem]) -> None:
    owner: dict[str, str] = {}
    for name, link in main.links.items():
        if link.device in owner:
            fact = f"{shown(link.device)} is already the device of link {shown(owner[link.device])}"
            remedy = "an interface is one link, remove one of the two"
            problems.append(document.problem(("links", name, "device"), f"{fact}; {remedy}"))
        owner.setdefault(link.device, name)


def _estates(document: Document, main: MainSection, problems: list[Problem]) -> None:
    placed: list[tuple[Path, Prefix]] = []
    for name, estate in main.estates.items():
        path: Path = ("estates", name)
        _prefixes(document, (*path, "prefixes"), estate, placed, problems)
        _services(document, (*path, "services"), estate, problems)
    _ceiling(document, placed, ipv4_addresses, 4, limits.ESTATE_IPV4_ADDRESSES, problems)
    _ceiling(document, placed, ipv6_slash_64s, 6, limits.ESTATE_IPV6_SLASH_64S, problems)


_NOBODYS = tuple(
    (parse_prefix(text), what)
    for text, what in (
        ("0.0.0.0/8", "this-network addresses"),
        ("127.0.0.0/8", "loopback addresses"),
        ("169.254.0.0/16", "link-local addresses"),
        ("224.0.0.0/4", "multicast addresses"),
        ("240.0.0.0/4", "reserved addresses"),
        ("::/96", "loopback and unspecified addresses"),
        ("::ffff:0:0/96", "IPv4 addresses written as IPv6"),
        ("fe80::/10", "link-local addresses"),
        ("ff00::/8", "multicast addresses"),
    )
)
_LINK_LOCAL = "link-local addresses"


def _never_a_source(prefix: Prefix) -> str | None:
    """What a prefix holds that is no source on any network; the next router may be link-local."""
    names = (what for block, what in _NOBODYS if what != _LINK_LOCAL and prefix.overlaps(block))
    return next(names, None)


_OWN = "an estate holds the operator's own servers"


def _prefixes(
    document: Document,
    path: Path,
    estate: EstateSection,
    placed: list[tuple[Path, Prefix]],
    problems: list[Problem],
) -> None:
    for index, prefix in enumerate(estate.prefixes):
        here = (*path, index)
        fact = _refused(prefix, estate.prefixes[:index])
        if fact is None:
            placed.append((here, prefix))
        else:
            problems.append(document.problem(here, fact))


def _refused(prefix: Prefix, before: Sequence[Prefix]) -> str | None:
    if prefix.length == 0:
        return f"{prefix} is every address; {_OWN}: write their prefixes"
    for block, what in _NOBODYS:
        if prefix.overlaps(block):
            return f"{prefix} holds {what} ({block}); {_OWN}: write their prefixes"
    for other in before:
        if prefix.overlaps(other):
            wide, narrow = (other, prefix) if other.covers(prefix) else (prefix, other)
            if wide == narrow:
                return f"{prefix} is given twice in this estate; remove one"
            return f"{narrow} lies inside {wide} of the same estate; remove {narrow}"
    return None


def _ceiling(
    document: Document,
    placed: Sequence[tuple[Path, Prefix]],
    measure: Callable[[Sequence[Prefix]], int],
    family: Family,
    ceiling: int,
    problems: list[Problem],
) -> None:
    """Say it once, at the prefix with which the estates together pass the ceiling."""
    prefixes = [prefix for _, prefix in placed]
    total = measure(prefixes)
    if total <= ceiling:
        return
    within, over = 0, len(prefixes)
    while over - within > 1:
        middle = (within + over) // 2
        if measure(prefixes[:middle]) > ceiling:
            over = middle
        else:
            within = middle
    path = placed[over - 1][0]
    held = count(total, "IPv4 address") if family == 4 else f"{total:,} IPv6 /64s"
    most = f"{limits.ESTATE_IPV4_ADDRESSES:,} IPv4 addresses and {limits.ESTATE_IPV6_SLASH_64S}"
    fact = f"with this prefix the estates hold {held} in all, over the ceiling of {ceiling:,}"
    remedy = f"{_OWN}: at most {most} IPv6 /64s, in all estates together"
    problems.append(document.problem(path, f"{fact}; {remedy}"))


def _services(
    document: Document, path: Path, estate: EstateSection, problems: list[Problem]
) -> None:
    most = limits.ESTATE_PORTS_PER_SERVICE
    ports: dict[int, int] = {}
    for index, service in enumerate(estate.services):
        here = (*path, index)
        before = ports.get(service.protocol, 0)
        ports[service.protocol] = before + len(service.ports)
        other = next((s for s in estate.services[:index] if _overlap(s, service)), None)
        if other == service:
            problems.append(
                document.problem(here, f"{service} is given twice in this estate; remove one")
            )
        elif other is not None:
            fact = f"{service} overlaps with {other} of the same estate"
            problems.append(document.problem(here, f"{fact}; write one range for both"))
        elif before <= most < ports[service.protocol]:
            name = PROTOCOL_NAMES[service.protocol]
            held = f"{ports[service.protocol]:,} ports of {name}"
            fact = f"with {service} this estate has {held}, over the ceiling of {most:,}"
            problems.append(
                document.problem(here, f"{fact}; name only the ports that its servers listen on")
            )


def _overlap(a: Service, b: Service) -> bool:
    if a.protocol != b.protocol:
        return False
    return a == b or max(a.ports.start, b.ports.start) < min(a.ports.stop, b.ports.stop)


_LOOKS: dict[str, Callable[[Document, MainSection, list[Problem]], None]] = {
    "gateway": _uplinks,
    "categories": _categories,
    "registry": _sources,
    "lifelines": _lifelines,
    "links": _links,
    "estates": _estates,
}
