"""Many addresses at a time get the nodes that one at a time would."""

from __future__ import annotations

from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enforcer.lookup.many import ManyLookup
from enforcer.lookup.tree import FamilyTree, RadixTree
from enforcer.policy.prefix import BITS, FAMILIES, Family, Prefix
from enforcer.policy.registry import empty_registry, parse_registry
from enforcer.policy.registry_columns import Words
from tests.examples import examples

DAY = date(2026, 12, 1)
# In the middle of the address space and at its end; IPv6 on both sides of a word's border.
BASES: dict[Family, tuple[int, ...]] = {
    4: (0x01000000, 0x0A000000, 0xDFFFFF00),
    6: (0x2001_0DB8 << 96, (0x2001_0DB8 << 96) + (1 << 64) - 128, 0x2A00_0000 << 96),
}


@st.composite
def addresses(draw: st.DrawFn, family: Family) -> int:
    return draw(st.sampled_from(BASES[family])) + draw(st.integers(0, 255))


@st.composite
def prefixes(draw: st.DrawFn, family: Family) -> Prefix:
    widest = {4: 8, 6: 24}[family]
    length = draw(st.integers(widest, BITS[family]) | st.integers(BITS[family] - 9, BITS[family]))
    host = BITS[family] - length
    return Prefix(family, draw(addresses(family)) >> host << host, length)


def words_of(family: Family, numbers: list[int]) -> Words:
    if family == 4:
        return (np.array(numbers, np.uint32),)
    low = (1 << 64) - 1
    return np.array([n >> 64 for n in numbers], np.uint64), np.array(
        [n & low for n in numbers], np.uint64
    )


def tree_of(registered: list[Prefix], family: Family) -> FamilyTree:
    if not registered:
        registry = empty_registry(["a"])
    else:
        registry = parse_registry("r", "\n".join(map(str, registered)).encode(), ["a"])
    return RadixTree.build(registry, DAY).of_family(family)


@examples(60)
@given(st.data())
def test_the_node_of_each_of_many_is_the_node_of_one(data: st.DataObject) -> None:
    family = data.draw(st.sampled_from(FAMILIES))
    registered = data.draw(st.lists(prefixes(family), max_size=12, unique=True))
    asked = data.draw(st.lists(addresses(family), min_size=1, max_size=40))
    asked += [0, (1 << BITS[family]) - 1]
    for prefix in registered:
        edges = (prefix.network, prefix.last, prefix.last + 1, prefix.network - 1)
        asked += [a for a in edges if 0 <= a < 1 << BITS[family]]
    tree = tree_of(registered, family)
    found = ManyLookup(tree).nodes_of(words_of(family, asked)).tolist()
    assert found == [tree.node_of(address) for address in asked]


def test_nothing_is_registered() -> None:
    for family in FAMILIES:
        assert ManyLookup(tree_of([], family)).nodes_of(words_of(family, [1, 2])).tolist() == [
            -1,
            -1,
        ]
