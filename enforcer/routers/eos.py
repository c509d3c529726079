"""EOS: prefix lists, access lists for classification, class maps, and a policy map with the DSCP.

A packet is registered when either end is; services ask the protocol and either port, as on the
gateway. The access lists classify and are applied nowhere; a packet that they do not permit is in
no class, and passes as it came.
"""

from __future__ import annotations

from collections.abc import Iterator

from enforcer.policy.prefix import BITS, FAMILIES, Family, Service
from enforcer.routers.languages import ExportError, Order, heading
from enforcer.routers.selection import Selection

_STEP = 10
# Sequence numbers of prefix lists end here (EOS user manual, prefix lists).
_LAST_SEQUENCE = 65_535


def render(selection: Selection, order: Order) -> Iterator[str]:
    """Raises ExportError when a list would be too long."""
    for line in heading(selection, order):
        yield f"! {line}"
    for family in FAMILIES:
        yield from _prefix_list(selection, order, family)
    if order.dscp is None:
        return
    used: list[Family] = [family for family in FAMILIES if selection.count(family)]
    for family in used:
        word = "ip" if family == 4 else "ipv6"
        name = f"{order.name}-V{family}"
        yield "!"
        # Anew, so that what is no longer registered does not stay.
        yield f"no {word} access-list {name}"
        yield f"{word} access-list {name}"
        for place, entry in enumerate(_entries(selection, family), 1):
            yield f"   {place * _STEP} permit {entry}"
        yield "!"
        yield f"class-map type qos match-any {name}"
        yield f"   match {word} access-group {name}"
    if used:
        yield "!"
        yield f"policy-map type quality-of-service {order.name}"
        for family in used:
            yield f"   class {order.name}-V{family}"
            yield f"      set dscp {order.dscp}"
            yield "   !"


def _prefix_list(selection: Selection, order: Order, family: Family) -> Iterator[str]:
    word = "ip" if family == 4 else "ipv6"
    bits = BITS[family]
    prefixes = selection.groups[0].of_family(family)
    if len(prefixes) > _LAST_SEQUENCE:
        fact = f"{len(prefixes):,} prefixes, a prefix list of EOS has {_LAST_SEQUENCE:,}"
        raise ExportError(f"{fact}; mark on the gateway")
    step = _STEP if len(prefixes) * _STEP <= _LAST_SEQUENCE else 1
    yield "!"
    yield f"no {word} prefix-list {order.name}-V{family}"
    if not prefixes:
        return
    yield f"{word} prefix-list {order.name}-V{family}"
    for place, prefix in enumerate(prefixes, 1):
        within = "" if prefix.endswith(f"/{bits}") else f" le {bits}"
        yield f"   seq {place * step} permit {prefix}{within}"


def _entries(selection: Selection, family: Family) -> Iterator[str]:
    """What follows `permit`: each prefix at either end, with each port at either end."""
    for group in selection.groups:
        for prefix in group.of_family(family):
            for protocol, port in _services(group.services, family):
                if not port:
                    yield f"{protocol} {prefix} any"
                    yield f"{protocol} any {prefix}"
                    continue
                yield f"{protocol} {prefix} {port} any"
                yield f"{protocol} {prefix} any {port}"
                yield f"{protocol} any {port} {prefix}"
                yield f"{protocol} any {prefix} {port}"


def _services(services: tuple[Service, ...], family: Family) -> list[tuple[str, str]]:
    """`(protocol, port condition)` of each; the condition is empty for none."""
    if not services:
        return [("ip" if family == 4 else "ipv6", "")]
    found = []
    for service in services:
        ports = service.ports
        port = f"eq {ports[0]}" if len(ports) == 1 else ""
        if len(ports) > 1:
            port = f"range {ports[0]} {ports[-1]}"
        word = str(service).partition("/")[0]
        # Those without ports by number: their words differ between releases.
        found.append((word if port else str(service.protocol), port))
    return found
