"""A spliced tree is the tree that is built anew, array by array, and tells what has changed."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.lab.registry import CATEGORIES, generate
from enforcer.lookup import rows as rows_room
from enforcer.lookup.rows import Run, same_rows
from enforcer.lookup.splice import Spliced, splice
from enforcer.lookup.tree import RadixTree
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry import Registry, parse_registry
from tests.examples import examples
from tests.lookup.drawn_registries import DAY, updates

_ARRAYS = ("length", "parent", "row_starts", "rows", "front")


def assert_same(found: RadixTree, wanted: RadixTree) -> None:
    assert (found.registry, found.day) == (wanted.registry, wanted.day)
    for family in FAMILIES:
        mine, theirs = found.of_family(family), wanted.of_family(family)
        pairs = [(getattr(mine, name), getattr(theirs, name)) for name in _ARRAYS]
        for a, b in (*pairs, *zip(mine.words, theirs.words, strict=True)):
            assert a.dtype == b.dtype
            assert a.tolist() == b.tolist()
        if len(mine):
            assert (mine.base, mine.shift) == (theirs.base, theirs.shift)


def assert_told(before: RadixTree, change: Spliced) -> None:
    """Whatever is not touched has the very same rows, by what they say."""
    after = change.tree
    for tree, other in ((before, after), (after, before)):
        for family in FAMILIES:
            part = tree.of_family(family)
            for node in range(len(part)):
                prefix = part.prefix(node)
                if prefix not in change.touched:
                    here = [said(tree.registry, row) for row in part.rows_of(node)]
                    place = other.of_family(family)
                    twins = [n for n in range(len(place)) if place.prefix(n) == prefix]
                    assert [
                        said(other.registry, r) for n in twins for r in place.rows_of(n)
                    ] == here


def said(registry: Registry, row: int) -> tuple[object, ...]:
    r = registry.row(row)
    return r.prefix, r.category, r.services, r.valid_from, r.valid_until


@examples(60)
@given(updates(), st.lists(st.integers(-1, 1), min_size=4, max_size=4))
def test_a_spliced_tree_is_the_tree_built_anew(registries: list[Registry], days: list[int]) -> None:
    before = RadixTree.build(registries[0], DAY + timedelta(days[0]))
    for registry, shift in zip(registries[1:], days[1:], strict=False):
        day = DAY + timedelta(shift)
        change = splice(before, registry, day)
        assert change is not None
        assert_same(change.tree, RadixTree.build(registry, day))
        assert_told(before, change)
        before = change.tree


def test_one_row_of_many_touches_one_prefix() -> None:
    lines = generate(5000, 1).splitlines(keepends=True)
    before = parse_registry("r", b"".join(lines), CATEGORIES)
    lines.insert(2000, b"R-new,198.18.7.0/24,mission,,,udp/7777\n")
    del lines[4000]
    gone = parse_registry("r", lines[0] + lines[4001], CATEGORIES)
    after = parse_registry("r", b"".join(lines), CATEGORIES)
    tree = RadixTree.build(before, DAY)
    change = splice(tree, after, DAY)
    assert change is not None
    assert_same(change.tree, RadixTree.build(after, DAY))
    assert len(change.gained) == 1
    assert len(change.lost) <= 1
    assert {str(p) for p in change.touched} <= {"198.18.7.0/24", str(gone.row(0).prefix)} | {
        str(before.row(row).prefix) for row in change.lost
    }
    assert len(change.touched) <= 2


def test_too_many_changes_are_left_to_the_building(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = generate(3000, 1).splitlines(keepends=True)
    before = parse_registry("r", b"".join(lines), CATEGORIES)
    after = parse_registry("r", b"".join([lines[0], *lines[:0:-1]]), CATEGORIES)
    assert same_rows(before, after, 4) is None
    assert splice(RadixTree.build(before, DAY), after, DAY) is None
    assert same_rows(before, parse_registry("r", generate(3000, 2), CATEGORIES), 4) is None


def test_other_categories_are_another_registry() -> None:
    data = generate(100, 1)
    one, other = (parse_registry("r", data, c) for c in (CATEGORIES, CATEGORIES[::-1]))
    assert splice(RadixTree.build(one, DAY), other, DAY) is None


@settings(deadline=None)
@given(updates())
def test_runs_are_of_rows_that_say_the_same(registries: list[Registry]) -> None:
    for old, new in pairwise(registries):
        for family in FAMILIES:
            runs = same_rows(old, new, family)
            assert runs is not None
            shift = old.first_row(family), new.first_row(family)
            at = 0, 0
            for run in runs:
                assert at[0] <= run.old
                assert at[1] <= run.new
                for n in range(run.count):
                    here = said(old, shift[0] + run.old + n)
                    assert here == said(new, shift[1] + run.new + n)
                at = run.old + run.count, run.new + run.count


def test_rows_alike_on_both_sides_of_a_change_are_all_in_runs() -> None:
    columns = [np.arange(100_000, dtype=np.uint32)]
    other = [np.delete(columns[0], [7, 50_000, 50_001])]
    runs = rows_room._walk(columns, other)
    assert runs == [Run(0, 0, 7), Run(8, 7, 49_992), Run(50_002, 49_999, 49_998)]


def test_a_list_of_services_is_told_from_another_of_its_number() -> None:
    one, other = (
        parse_registry("r", f"{HEAD}a,20.0.0.0/24,mission,,,udp/{port}\n".encode(), CATEGORIES)
        for port in (7, 8)
    )
    change = splice(RadixTree.build(one, DAY), other, DAY)
    assert change is not None
    assert {str(prefix) for prefix in change.touched} == {"20.0.0.0/24"}
    shifted = parse_registry(
        "r",
        f"{HEAD}a,20.0.0.0/24,mission,,,udp/8\nb,30.0.0.0/24,mission,,,udp/7\n".encode(),
        CATEGORIES,
    )
    change = splice(RadixTree.build(other, DAY), shifted, DAY)
    assert change is not None
    assert {str(prefix) for prefix in change.touched} == {"30.0.0.0/24"}


HEAD = "id,prefix,category,valid_from,valid_until,services\n"
