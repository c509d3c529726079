"""The minimal cover holds just the addresses that were given, in the fewest prefixes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from drawn_registries import Drawn, registries
from hypothesis import given, settings

from enforcer.lookup.aggregate import aggregate
from enforcer.policy.prefix import BITS, FAMILIES, Family, Prefix, parse_prefix
from enforcer.policy.registry import parse_registry
from enforcer.policy.registry_columns import join_words


def covers(drawn: Drawn, family: Family) -> list[Prefix]:
    columns = drawn.registry.of_family(family)
    words, length = aggregate(family, columns.words, columns.length)
    return [Prefix(family, join_words(words, i), int(n)) for i, n in enumerate(length.tolist())]


@settings(deadline=None)
@given(registries())
def test_the_cover_holds_just_what_was_given(drawn: Drawn) -> None:
    for family in FAMILIES:
        found = covers(drawn, family)
        for kind, address in drawn.edges():
            if kind != family or not 0 <= address < 1 << BITS[family]:
                continue
            given_ = any(r.prefix.family == family and address in r.prefix for r in drawn.rows)
            assert any(address in prefix for prefix in found) == given_
        for one, other in pairwise(found):
            assert one.last < other.network
            # Two halves of one prefix would be that prefix.
            joined = one.length == other.length and one.length > 0
            assert not joined or Prefix(
                family, one.network & ~(1 << (BITS[family] - one.length)), one.length - 1
            ) != Prefix(
                family, other.network & ~(1 << (BITS[family] - other.length)), other.length - 1
            )


def test_what_was_given_is_left_as_it_is() -> None:
    rows = "\n".join(f"20.0.{n}.0/24" for n in (3, 0, 1, 2, 9))
    columns = parse_registry("r", rows.encode(), ("c",)).v4
    before = columns.length.copy()
    words, length = aggregate(4, columns.words, columns.length)
    assert [f"{word:08x}/{n}" for word, n in zip(words[0], length, strict=True)] == [
        "14000000/22",
        "14000900/24",
    ]
    assert np.array_equal(columns.length, before)


def test_all_hosts_of_a_range_make_one_prefix() -> None:
    wide = parse_prefix("20.0.0.0/16")
    words = (np.arange(wide.network, wide.last + 1, dtype=np.uint32),)
    found, length = aggregate(4, words, np.full(1 << 16, 32, np.uint8))
    assert (found[0].tolist(), length.tolist()) == ([wide.network], [16])
    nothing = (np.zeros(0, np.uint32),)
    assert len(aggregate(4, nothing, np.zeros(0, np.uint8))[1]) == 0
