"""The difference of two registries is what a slow comparison of their rows and addresses finds."""

from __future__ import annotations

from collections import Counter

from drawn_registries import CATEGORIES, DAY, Drawn
from hypothesis import given, settings

from enforcer.policy.prefix import BITS, Prefix
from enforcer.policy.registry import Registry, parse_registry
from enforcer.policy.registry_rows import HEADER
from enforcer.registries.comparing import CategoryChange, Line, compare
from tests.registries.many_owners import owned


def registry(rows: str, categories: tuple[str, ...] = CATEGORIES) -> Registry:
    return parse_registry("r.csv", f"{HEADER}\n{rows}".encode(), categories)


@settings(deadline=None)
@given(owned(max_size=10), owned(max_size=10))
def test_rows_are_counted_as_a_slow_comparison_counts_them(old: Drawn, new: Drawn) -> None:
    gone, come = Counter(old.rows), Counter(new.rows)
    gone, come = gone - come, come - gone
    by_key = [Counter((r.id, r.prefix) for r in side.elements()) for side in (gone, come)]
    changed = (by_key[0] & by_key[1]).total()
    found = compare(old.registry, new.registry, DAY, 1000)
    assert (found.added, found.removed, found.changed) == (
        come.total() - changed,
        gone.total() - changed,
        changed,
    )
    assert found.is_none == (Counter(old.rows) == Counter(new.rows))
    for line in found.lines:
        if line.old is not None and line.new is not None:
            one, other = old.rows[line.old - 2], new.rows[line.new - 2]
            assert (one.id, one.prefix) == (other.id, other.prefix)
            assert line.fields
            assert all(getattr(one, name) != getattr(other, name) for name in line.fields)
    assert len(found.lines) == found.added + found.removed + found.changed


def union(prefixes: set[Prefix], family: int, unit: int) -> int:
    """Units of 2**(bits - unit) addresses that the prefixes touch."""
    shift = BITS[4 if family == 4 else 6] - unit
    spans = sorted((p.network >> shift, p.last >> shift) for p in prefixes if p.family == family)
    total, end = 0, -1
    for first, last in spans:
        total += max(0, last - max(first, end + 1) + 1)
        end = max(end, last)
    return total


@settings(deadline=None)
@given(owned(max_size=10), owned(max_size=10))
def test_addresses_by_category_are_counted_exactly(old: Drawn, new: Drawn) -> None:
    expected = []
    for category in CATEGORIES:
        a, b = ({r.prefix for r in d.valid() if r.category == category} for d in (old, new))
        if not a | b:
            continue

        def counts(
            family: int, unit: int, a: set[Prefix] = a, b: set[Prefix] = b
        ) -> tuple[int, int, int, int]:
            before, after, both = (union(each, family, unit) for each in (a, b, a | b))
            return before, after, both - before, both - after

        prefixes = (len(a), len(b), len(b - a), len(a - b))
        expected.append(CategoryChange(category, prefixes, counts(4, 32), counts(6, 64)))
    found = compare(old.registry, new.registry, DAY)
    assert list(found.categories) == expected


OLD = (
    "a,20.0.0.0/24,house,,,\n"
    "b,20.0.1.0/24,house,,,\n"
    "c,2a01::/48,centre,,2026-12-31,\n"
    "d,20.0.2.0/24,mission,,,\n"
)
NEW = (
    "d,20.0.2.0/24,mission,,,\n"
    "c,2a01::/48,house,,2027-12-31,esp\n"
    "a,20.0.0.0/25,house,,,\n"
    "b,20.0.1.0/24,house,,,\n"
)


def test_what_is_told_of_a_change() -> None:
    found = compare(registry(OLD), registry(NEW), DAY)
    assert found.lines == (
        Line(2, None),
        Line(4, 3, ("category", "valid_until", "services")),
        Line(None, 4),
    )
    assert found.categories[0] == CategoryChange(
        "house", (2, 3, 2, 1), (512, 384, 0, 128), (0, 65536, 65536, 0)
    )
    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert len(compare(registry(OLD), registry(NEW), DAY, 2).lines) == 2


def test_categories_that_only_one_side_declares() -> None:
    old = registry("a,20.0.0.0/24,x,,,\n", ("x",))
    new = registry("a,20.0.0.0/24,y,,,esp\n", ("y", "z"))
    found = compare(old, new, DAY)
    assert found.lines == (Line(2, 2, ("category", "services")),)
    assert [change.category for change in found.categories] == ["x", "y"]
    assert compare(old, old, DAY).is_none
