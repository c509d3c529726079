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
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry_columns import Registry, shrink

# A category, its distinct prefixes before and after, and how many of those before are gone.
Shrunk = tuple[str, int, int, int]


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
        """As `registry_columns.shrink`, which it leaves it to where much has changed."""
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
    """What the rows that went leave without any row of their category."""
    gone: dict[str, int] = {}
    said = {(r.prefix, r.category) for r in map(before.registry.row, change.lost)}
    for prefix, category in said:
        part = change.tree.of_family(prefix.family)
        node = part.node_of(prefix.network)
        while node >= 0 and part.length[node] > prefix.length:
            node = int(part.parent[node])
        there = part.rows_of(node) if node >= 0 and part.length[node] == prefix.length else ()
        if category not in {change.tree.registry.row(row).category for row in there}:
            gone[category] = gone.get(category, 0) + 1
    if not gone:
        return []
    counts = [_counts(tree) for tree in (before, change.tree)]
    names = before.registry.categories
    return [(n, counts[0].get(n, 0), counts[1].get(n, 0), gone[n]) for n in names if n in gone]


def _counts(tree: RadixTree) -> dict[str, int]:
    counts: dict[str, int] = {}
    for family in FAMILIES:
        for _, name, count in counted(tree, family):
            counts[name] = counts.get(name, 0) + count
    return counts
