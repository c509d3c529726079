"""FRR: one prefix list for each family, for route maps.

A route matches when it is one of the prefixes or lies inside one. Routes have no services: what is
registered for some services only is left out. A list without prefixes denies, for FRR takes a list
that is not there for one that permits everything.
"""

from __future__ import annotations

from collections.abc import Iterator

from enforcer.policy.prefix import BITS, FAMILIES
from enforcer.routers.languages import Order, heading, limited
from enforcer.routers.selection import Selection

_STEP = 5


def render(selection: Selection, order: Order) -> Iterator[str]:
    routed, *rest = selection.groups
    for line in heading(selection, order, limited(rest)):
        yield f"! {line}"
    for family in FAMILIES:
        word = "ip" if family == 4 else "ipv6"
        bits = BITS[family]
        name = f"{order.name}-V{family}"
        prefixes = routed.of_family(family)
        if not prefixes:
            yield f"{word} prefix-list {name} seq {_STEP} deny any"
        for place, prefix in enumerate(prefixes, 1):
            within = "" if prefix.endswith(f"/{bits}") else f" le {bits}"
            yield f"{word} prefix-list {name} seq {place * _STEP} permit {prefix}{within}"
