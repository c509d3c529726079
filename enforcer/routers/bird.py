"""BIRD 2: two prefix sets and a function that asks them, for import and export filters.

A route matches when it is one of the prefixes or lies inside one. Routes have no services: what is
registered for some services only is left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from enforcer.policy.prefix import FAMILIES
from enforcer.routers.languages import Order, heading, limited
from enforcer.routers.selection import Selection


def render(selection: Selection, order: Order) -> Iterator[str]:
    name = order.name.replace("-", "_")
    routed, *rest = selection.groups
    for line in heading(selection, order, limited(rest)):
        yield f"# {line}"
    for family in FAMILIES:
        prefixes = routed.of_family(family)
        # A set without members is not allowed; the function then has no such case.
        if prefixes:
            yield f"define {name}_V{family} = ["
            yield ",\n".join(f"  {prefix}+" for prefix in prefixes)
            yield "];"
    yield f"function {name}_registered()"
    yield "{"
    for family in FAMILIES:
        if routed.of_family(family):
            yield f"  if net.type = NET_IP{family} then return net ~ {name}_V{family};"
    yield "  return false;"
    yield "}"
