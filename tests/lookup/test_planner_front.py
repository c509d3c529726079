"""The filter in front of the stages holds every /16 with something in it, and no other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.lookup.planner import FRONT_AT_MOST, front_of, plan
from enforcer.lookup.tables import Stage
from enforcer.lookup.tree import RadixTree
from enforcer.policy.prefix import Prefix
from enforcer.policy.registry import parse_registry
from tests.examples import examples
from tests.lookup.drawn_registries import CATEGORIES, DAY, Drawn, registries

BUDGET = 256 << 20


@st.composite
def prefixes(draw: st.DrawFn, shortest: int = 6) -> Prefix:
    """Anywhere, but crowded at both ends of the address space and around one border of two /16s."""
    length = draw(st.integers(shortest, 32) | st.sampled_from([15, 16, 17]))
    crowded = st.sampled_from([0, 0x1400_FFFF, 0x1401_0000, 0x1500_0000, 0xFFFF_0000, 0xFFFF_FFFF])
    address = draw(crowded | st.integers(0, 0xFFFF_FFFF))
    return Prefix(4, address >> (32 - length) << (32 - length), length)


def front(found: list[Prefix]) -> Stage | None:
    networks = np.array([p.network for p in found], np.uint32)
    return front_of(networks, np.array([p.length for p in found], np.uint8))


def naive(found: list[Prefix]) -> list[int]:
    """The /16s that meet a prefix, asked one by one for each of the prefixes."""
    blocks: set[int] = set()
    for prefix in found:
        block = prefix.network >> 16
        while block << 16 <= prefix.last:
            blocks.add(block)
            block += 1
    return sorted(blocks)


@examples(60)
@given(st.lists(prefixes(), min_size=1, max_size=12))
def test_the_front_holds_each_16_that_meets_a_prefix_and_no_other(found: list[Prefix]) -> None:
    blocks = naive(found)
    made = front(found)
    if len(blocks) > FRONT_AT_MOST:
        assert made is None
        return
    keys = np.array(blocks, np.uint32) << np.uint32(16)
    assert made == Stage.of(4, 16, keys, np.zeros(len(keys), np.uint32))
    assert made is not None
    assert [key >> 16 for key in made.keys.tolist()] == blocks
    assert made.classes.tolist() == [0] * len(blocks)


@settings(deadline=None)
@given(st.lists(prefixes(12), min_size=1, max_size=12))
def test_equal_prefixes_in_another_order_are_an_equal_front(found: list[Prefix]) -> None:
    assert front(found) == front(found[::-1]) == front(found + found)


@pytest.mark.parametrize(
    ("text", "count"),
    [("0.0.0.0/2", FRONT_AT_MOST), ("64.0.0.0/2 10.0.0.0/32", None), ("0.0.0.0/0", None)],
)
def test_a_front_that_would_let_most_through_is_none(text: str, count: int | None) -> None:
    made = front([Prefix(4, *_parsed(token)) for token in text.split()])
    assert (None if made is None else len(made)) == count


def _parsed(token: str) -> tuple[int, int]:
    address, _, length = token.partition("/")
    number = sum(int(part) << 8 * at for at, part in enumerate(reversed(address.split("."))))
    return number, int(length)


def test_one_16_over_the_most_is_none() -> None:
    scattered = [Prefix(4, 4 * n << 16 | 7, 32) for n in range(FRONT_AT_MOST)]
    made = front(scattered)
    assert made is not None
    assert len(made) == FRONT_AT_MOST
    assert front([*scattered, Prefix(4, 1 << 16, 32)]) is None


@settings(deadline=None)
@given(registries())
def test_the_planner_puts_the_registrations_of_the_day_in_front(drawn: Drawn) -> None:
    """Aggregation neither loses nor invents a /16; IPv6 alone has no front."""
    found = [row.prefix for row in drawn.valid() if row.prefix.family == 4]
    made = plan(RadixTree.build(drawn.registry, DAY), BUDGET).front
    assert made == (front(found) if found else None)


def test_a_registry_of_ipv6_alone_has_no_front() -> None:
    text = b"id,prefix,category,valid_from,valid_until,services\na,2a01::/48,house,,,\n"
    registry = parse_registry("r.csv", text, CATEGORIES)
    assert plan(RadixTree.build(registry, DAY), BUDGET).front is None
