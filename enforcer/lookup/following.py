"""The plan of a registry and a day, made of an earlier one where little has changed.

In: registries, days, and what was planned before. Out: what `planned` makes of them, whichever way.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from enforcer.lookup.planner import Planned, counted, planned
from enforcer.lookup.replan import replan
from enforcer.lookup.splice import Spliced, splice
from enforcer.lookup.tree import RadixTree
from enforcer.policy.inclusion import includes
from enforcer.policy.losses import Shrunk, shrink
from enforcer.policy.prefix import FAMILIES, Prefix, Service
from enforcer.policy.registry_columns import Registry


def first_plan(registry: Registry, day: date, budget_bytes: int) -> Planned:
    """Raises PolicyError when it does not fit into the budget."""
    return planned(RadixTree.build(registry, day), budget_bytes)


class Following:
    """What becomes of a plan under another registry, another day, or both."""

    def __init__(self, before: Planned, registry: Registry, day: date) -> None:
        self._before, self._registry, self._day = before, registry, day
        self._change = splice(before.tree, registry, day)

    def plan(self, budget_bytes: int) -> Planned:
        """Its tables share with those before what is known of their classes. Raises PolicyError
        when it does not fit into the budget.
        """
        found = self._plan(budget_bytes)
        return replace(found, tables=found.tables.like(self._before.tables))

    def _plan(self, budget_bytes: int) -> Planned:
        change = self._change
        if change is None:
            return first_plan(self._registry, self._day, budget_bytes)
        if budget_bytes == self._before.budget_bytes:
            followed = replan(self._before, change)
            if followed is not None:
                return followed
        return planned(change.tree, budget_bytes)

    def shrunk(self, old: Registry, new: Registry, day: date) -> list[Shrunk]:
        """As `losses.shrink`, which it leaves it to where much has changed."""
        before, change = self._before.tree, self._change
        if old is not before.registry or new is not self._registry or change is None:
            return shrink(old, new, day)
        if before.day != day or self._day != day:
            on_day = splice(before, old, day)
            change = on_day and splice(on_day.tree, new, day)
            if on_day is None or change is None:
                return shrink(old, new, day)
            before = on_day.tree
        return _shrunk(before, change)


def _shrunk(before: RadixTree, change: Spliced) -> list[Shrunk]:
    """What the rows that went leave without any row of their category, or with rows for less."""
    gone: dict[str, int] = {}
    narrowed: dict[str, int] = {}
    said = {(r.prefix, r.category) for r in map(before.registry.row, change.lost)}
    for prefix, category in said:
        services = _services(change.tree, prefix, category)
        if services is None:
            gone[category] = gone.get(category, 0) + 1
        elif not includes(services, _services(before, prefix, category) or ()):
            narrowed[category] = narrowed.get(category, 0) + 1
    if not gone and not narrowed:
        return []
    counts = [_counts(tree) for tree in (before, change.tree)]
    return [
        Shrunk(n, *(count.get(n, 0) for count in (*counts, gone, narrowed)))
        for n in before.registry.categories
        if n in gone or n in narrowed
    ]


def _services(tree: RadixTree, prefix: Prefix, category: str) -> tuple[Service, ...] | None:
    """What the rows of a prefix and category are registered for together; none: any service. None
    where there is no row.
    """
    part = tree.of_family(prefix.family)
    node = part.node_of(prefix.network)
    while node >= 0 and part.length[node] > prefix.length:
        node = int(part.parent[node])
    if node < 0 or part.length[node] != prefix.length:
        return None
    rows = [tree.registry.row(row) for row in part.rows_of(node)]
    lists = [row.services for row in rows if row.category == category]
    if not lists:
        return None
    return tuple(service for services in lists for service in services) if all(lists) else ()


def _counts(tree: RadixTree) -> dict[str, int]:
    counts: dict[str, int] = {}
    for family in FAMILIES:
        for _, name, count in counted(tree, family):
            counts[name] = counts.get(name, 0) + count
    return counts
