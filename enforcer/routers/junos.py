"""Junos: prefix lists, and a firewall filter for each family that sets the DSCP and accepts all.

For `load replace`. A packet is registered when either end is; services ask the protocol and either
port, as on the gateway. The last term accepts the rest, for a filter without one discards it.
Junos matches no ports of SCTP: such services are left out. Terms without prefixes are left out too,
for an empty list would match everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from enforcer.policy.prefix import FAMILIES, PROTOCOLS, Family, Service
from enforcer.routers.languages import ExportError, Order, heading
from enforcer.routers.selection import Group, Selection

# Of one prefix list (Junos OS, routing policies: guidelines for prefix lists).
_MOST_IN_A_LIST = 85_325
_SCTP = PROTOCOLS["sctp"]


def render(selection: Selection, order: Order) -> Iterator[str]:
    """Raises ExportError when a list would be too long."""
    groups = [(_list_name(order, i), group) for i, group in enumerate(selection.groups)]
    sctp = any(s.protocol == _SCTP for g in selection.groups for s in g.services)
    left_out = "services of SCTP" if sctp else None
    yield "/*"
    for line in heading(selection, order, left_out):
        yield f" * {line}"
    yield " */"
    yield "policy-options {"
    for name, group in groups:
        for family in FAMILIES:
            prefixes = group.of_family(family)
            if len(prefixes) > _MOST_IN_A_LIST:
                fact = f"{len(prefixes):,} prefixes, a list of Junos has {_MOST_IN_A_LIST:,}"
                raise ExportError(f"{fact}; mark on the gateway")
            if prefixes:
                yield f"    replace: prefix-list {name}-V{family} {{"
                yield from (f"        {prefix};" for prefix in prefixes)
                yield "    }"
    yield "}"
    if order.dscp is None:
        return
    yield "firewall {"
    for family in FAMILIES:
        yield f"    family {'inet' if family == 4 else 'inet6'} {{"
        yield f"        replace: filter {order.name}-V{family} {{"
        for name, group in groups:
            yield from _terms(name, group, family, order.dscp)
        yield "            term rest {"
        yield "                then accept;"
        yield "            }"
        yield "        }"
        yield "    }"
    yield "}"


def _list_name(order: Order, number: int) -> str:
    return order.name if not number else f"{order.name}-S{number}"


def _terms(name: str, group: Group, family: Family, dscp: int) -> Iterator[str]:
    if not group.of_family(family):
        return
    conditions: list[list[str]] = [[]] if not group.services else []
    word = "protocol" if family == 4 else "next-header"
    for protocol, services in groupby(group.services, key=lambda service: service.protocol):
        if protocol == _SCTP:
            continue
        ports = [_port(service) for service in services if service.has_ports]
        asked = [f"port [ {' '.join(ports)} ];"] if ports else []
        conditions.append([f"{word} {protocol};", *asked])
    mark = "dscp" if family == 4 else "traffic-class"
    for place, asked in enumerate(conditions):
        yield f"            term {name}-{place} {{"
        yield "                from {"
        yield "                    prefix-list {"
        yield f"                        {name}-V{family};"
        yield "                    }"
        yield from (f"                    {line}" for line in asked)
        yield "                }"
        yield "                then {"
        yield f"                    {mark} {dscp};"
        yield "                    accept;"
        yield "                }"
        yield "            }"


def _port(service: Service) -> str:
    ports = service.ports
    return str(ports[0]) if len(ports) == 1 else f"{ports[0]}-{ports[-1]}"
