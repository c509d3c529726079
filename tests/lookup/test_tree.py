"""The radix tree against a scan of a list."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings

from enforcer.lookup.tree import RadixTree
from enforcer.policy.prefix import BITS, Prefix, parse_address, parse_prefix
from enforcer.policy.registry import empty_registry, parse_registry
from tests.lookup.drawn_registries import CATEGORIES, DAY, Drawn, registries


def rows(drawn: Drawn, numbers: list[int] | tuple[int, ...]) -> list[str]:
    return [drawn.registry.row(number).id for number in numbers]


@settings(deadline=None)
@given(registries())
def test_longest_match_is_what_a_scan_finds_at_every_edge(drawn: Drawn) -> None:
    tree = RadixTree.build(drawn.registry, DAY)
    for family, address in drawn.edges():
        if not 0 <= address < 1 << BITS[family]:
            continue
        found = drawn.covering(family, address)
        longest = [r.id for r in found if r.prefix.length == found[0].prefix.length]
        assert rows(drawn, tree.longest(family, address)) == longest
        packed = tree.longest_packed(address.to_bytes(BITS[family] // 8, "big"))
        assert (packed < 0) == (not found)
        if found:
            assert drawn.registry.row(packed).id == longest[0]


@settings(deadline=None)
@given(registries())
def test_covering_runs_from_longest_to_shortest_and_covered_by_address(drawn: Drawn) -> None:
    tree = RadixTree.build(drawn.registry, DAY)
    valid = drawn.valid()
    asked = {row.prefix for row in drawn.rows}
    asked |= {
        Prefix(p.family, p.network >> 40 << 40 if p.family == 6 else p.network & ~0xFFF, 20)
        for p in asked
        if p.family == 4
    }
    for prefix in asked:
        covering = [r for r in valid if r.prefix.covers(prefix)]
        covering.sort(key=lambda r: -r.prefix.length)
        assert rows(drawn, tree.covering(prefix)) == [r.id for r in covering]
        covered = [r for r in valid if prefix.covers(r.prefix)]
        covered.sort(key=lambda r: (r.prefix.network, r.prefix.length))
        assert rows(drawn, tree.covered(prefix)) == [r.id for r in covered]


def test_a_registration_holds_on_its_first_and_its_last_day_and_no_longer() -> None:
    text = (
        b"id,prefix,category,valid_from,valid_until,services\n"
        b"R-1,20.0.0.0/24,house,2026-07-01,2026-07-02,\n"
    )
    registry = parse_registry("r.csv", text, CATEGORIES)
    address = parse_address("20.0.0.7")
    held = [
        RadixTree.build(registry, DAY + timedelta(days=offset)).longest(*address)
        for offset in (-1, 0, 1, 2)
    ]
    assert held == [(), (0,), (0,), ()]


def test_a_tree_of_nothing_finds_nothing() -> None:
    tree = RadixTree.build(empty_registry(CATEGORIES), DAY)
    assert tree.longest(4, 1) == tree.longest(6, 1) == ()
    assert tree.longest_packed(bytes(4)) == tree.longest_packed(bytes(16)) == -1
    assert tree.covering(parse_prefix("20.0.0.0/24")) == []
    assert tree.covered(parse_prefix("::/0")) == []


def test_everything_lies_inside_the_whole_address_space() -> None:
    text = b"20.0.0.0/24\n223.255.255.255\n2a01::/32\n"
    registry = parse_registry("list.txt", text, ("house",))
    tree = RadixTree.build(registry, DAY)
    assert tree.covered(parse_prefix("0.0.0.0/0")) == [0, 1]
    assert tree.covered(parse_prefix("::/0")) == [2]
    assert tree.longest(4, 2**32 - 1) == ()
