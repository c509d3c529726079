"""What an update takes: prefixes that go, and services of prefixes that stay."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.policy import losses as room
from enforcer.policy.inclusion import holds, includes
from enforcer.policy.losses import Shrunk, shrink
from enforcer.policy.prefix import Prefix, Service
from enforcer.policy.registry import HEADER, Registry, empty_registry, merge, parse_registry
from tests.examples import examples

DAY = date(2026, 11, 25)
CATEGORIES = ("a", "b")
KEY = "20.0.0.0/24,a"


def registry(rows: str, categories: tuple[str, ...] = CATEGORIES) -> Registry:
    lines = "".join(f"R,{row}\n" for row in rows.split("\n") if row)
    return parse_registry("r.csv", f"{HEADER}\n{lines}".encode(), categories)


def narrowed(before: str, after: str) -> bool:
    """Whether one prefix loses services; lists of several rows are divided by a bar."""
    old, new = (
        registry("\n".join(f"{KEY},,,{services}" for services in said.split("|")))
        for said in (before, after)
    )
    found = shrink(old, new, DAY)
    assert found in ([], [Shrunk("a", 1, 1, 0, 1)])
    return bool(found)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "", False),
        ("", "tcp/1", True),
        ("tcp/1", "", False),
        ("udp/500 udp/4500 esp", "esp", True),
        ("esp", "udp/500 udp/4500 esp", False),
        ("udp/500", "udp/501", True),
        # Several rows are what they say together.
        ("udp/500 esp", "udp/500|esp", False),
        ("udp/500|esp", "esp|udp/500", False),
        ("udp/500|esp", "udp/500|ah", True),
        ("udp/500|esp", "udp/500", True),
        ("udp/500|esp", "udp/500 esp ah", False),
        ("udp/500|esp", "|ah", False),
        ("|esp", "esp", True),
        ("|esp", "esp|ah", True),
        ("udp/1-9|udp/10-20", "udp/1-20", False),
        ("udp/1-20", "udp/1-9|udp/11-20", True),
        ("udp/1-20", "udp/1-9|udp/10-20", False),
        ("esp|esp|ah", "esp|ah|ah", False),
        ("ah|udp/500", "ah|esp", True),
    ],
)
def test_a_prefix_that_stays_for_less_is_narrowed(before: str, after: str, expected: bool) -> None:
    assert narrowed(before, after) is expected


def test_each_category_tells_what_goes_and_what_stays_for_less() -> None:
    old = registry(
        "20.0.0.0/24,a,,,\n20.0.1.0/24,a,,,esp\n20.0.2.0/24,a,,,\n"
        "2a01::/48,a,,,udp/500 esp\n2a01::/48,b,,,udp/500 esp\n2a02::/48,b,,,"
    )
    new = registry(
        "20.0.0.0/24,a,,,tcp/1\n20.0.1.0/24,a,,,esp\n20.0.2.0/25,a,,,\n"
        "2a01::/48,b,,,udp/500 esp\n2a01::/48,a,,,esp\n2a02::/48,b,,,"
    )
    assert shrink(old, new, DAY) == [Shrunk("a", 4, 4, 1, 2)]
    assert shrink(new, old, DAY) == [Shrunk("a", 4, 4, 1, 0)]


def test_what_moves_to_another_category_is_removed_and_not_narrowed() -> None:
    old, new = registry("20.0.0.0/24,a,,,\n20.0.0.0/24,b,,,esp"), registry("20.0.0.0/24,b,,,esp")
    assert shrink(old, new, DAY) == [Shrunk("a", 1, 0, 1, 0)]


def test_a_row_counts_on_its_days_alone() -> None:
    old = registry("20.0.0.0/24,a,,,udp/500\n20.0.0.0/24,a,,,esp")
    new = registry("20.0.0.0/24,a,,2026-11-25,udp/500\n20.0.0.0/24,a,,,esp")
    assert shrink(old, new, DAY) == []
    assert shrink(old, new, DAY + timedelta(1)) == [Shrunk("a", 1, 1, 0, 1)]


def test_lists_and_categories_that_are_numbered_otherwise_are_the_same() -> None:
    old = registry("20.0.0.0/24,a,,,udp/500\n20.0.1.0/24,b,,,esp")
    new = registry(
        "20.0.1.0/24,b,,,esp\n20.0.0.0/24,a,,,udp/500\n20.0.2.0/24,c,,,ah", ("c", "b", "a")
    )
    assert shrink(old, new, DAY) == []
    other = registry("20.0.1.0/24,b,,,esp\n20.0.0.0/24,a,,,ah", ("c", "b", "a"))
    assert shrink(old, other, DAY) == [Shrunk("a", 1, 1, 0, 1)]


def test_many_prefixes_of_the_same_two_lists_are_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []

    def counting(*given: object) -> bool:
        asked.append(given)
        return holds(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(room, "holds", counting)
    old, same, less = (
        registry("\n".join(f"20.0.{n}.0/24,a,,,{listed}" for n in range(200)))
        for listed in ("udp/500 esp", "udp/500 esp", "esp")
    )
    assert shrink(old, same, DAY) == []
    assert not asked
    assert shrink(old, less, DAY) == [Shrunk("a", 200, 200, 0, 200)]
    assert len(asked) == 1
    # Several rows each, and the same as before: nothing is looked at either.
    pairs, turned = (
        registry("\n".join(f"20.0.{n}.0/24,a,,,{s}" for n in range(99) for s in order))
        for order in (("ah", "esp"), ("esp", "ah"))
    )
    assert shrink(pairs, pairs, DAY) == []
    assert shrink(pairs, turned, DAY) == []
    assert len(asked) == 1


def union(read: Registry, day: date) -> dict[tuple[Prefix, str], list[Service]]:
    """By prefix and category, its services; none: any."""
    lists: dict[tuple[Prefix, str], list[tuple[Service, ...]]] = defaultdict(list)
    for row in map(read.row, range(len(read))):
        if (row.valid_from or day) <= day <= (row.valid_until or day):
            lists[row.prefix, row.category].append(row.services)
    return {
        key: [s for listed in found for s in listed] * all(found) for key, found in lists.items()
    }


def by_rows(old: Registry, new: Registry, day: date) -> list[Shrunk]:
    """As `shrink`, prefix by prefix."""
    before, after = union(old, day), union(new, day)
    found = []
    for name in dict.fromkeys(old.categories + new.categories):
        mine = [key for key in before if key[1] == name]
        gone = [key for key in mine if key not in after]
        less = [key for key in mine if key in after and not includes(after[key], before[key])]
        if gone or less:
            count = sum(key[1] == name for key in after)
            found.append(Shrunk(name, len(mine), count, len(gone), len(less)))
    return found


PREFIXES = ("20.0.0.0/24", "20.0.0.0/25", "20.0.1.0/24", "2a01::/48", "2a01::/49")
SERVICES = ("", "", "esp", "ah", "esp ah", "udp/5", "udp/1-9", "udp/1-4 udp/5-9", "udp/1-9 esp")
DAYS = (",",) * 4 + (",2026-11-25", ",2026-11-24", "2026-11-26,")


@st.composite
def rows(draw: st.DrawFn, categories: tuple[str, ...]) -> Registry:
    drawn = draw(
        st.lists(
            st.tuples(*map(st.sampled_from, (PREFIXES, categories, DAYS, SERVICES))), max_size=16
        )
    )
    half = draw(st.integers(0, len(drawn)))
    parts = (drawn[:half], drawn[half:])
    read = [registry("\n".join(map(",".join, part)), categories) for part in parts if part]
    return merge(read or [empty_registry(categories)])


@examples(300)
@given(rows(("a", "b")), st.sampled_from((("a", "b"), ("b", "c", "a"))).flatmap(rows))
def test_it_is_what_a_look_at_every_prefix_finds(old: Registry, new: Registry) -> None:
    for day in (DAY, DAY + timedelta(1)):
        assert shrink(old, new, day) == by_rows(old, new, day)
