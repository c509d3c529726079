"""A range becomes the fewest prefixes that hold just it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.policy.prefix import BITS, Family, Prefix
from enforcer.registries.ranges import cover, parse_range, with_netmask


@settings(deadline=None)
@given(st.sampled_from([4, 6]), st.data())
def test_a_cover_holds_just_the_range_and_nothing_fewer_would(
    family: Family, data: st.DataObject
) -> None:
    last = (1 << BITS[family]) - 1
    first = data.draw(st.integers(0, last))
    end = data.draw(st.one_of(st.integers(first, last), st.just(min(last, first + 79))))
    found = cover(family, first, end)
    # In order, without gap and overlap, from the first address to the last.
    assert [found[0].network, found[-1].last] == [first, end]
    for one, other in pairwise(found):
        assert one.last + 1 == other.network
        # Two neighbours of one length that could be one prefix would be one too many.
        parent = one.length - 1
        assert one.length != other.length or one.network >> (BITS[family] - parent) != (
            other.network >> (BITS[family] - parent)
        )
    assert len(found) <= 2 * BITS[family]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2**20))
def test_the_cover_of_a_count_of_hosts_counts_as_many(first: int, count: int) -> None:
    end = min(first + count, 2**32) - 1
    assert sum(1 << (32 - prefix.length) for prefix in cover(4, first, end)) == end - first + 1


def test_ends_of_the_address_space() -> None:
    assert cover(4, 0, 2**32 - 1) == [Prefix(4, 0, 0)]
    assert cover(6, 2**128 - 1, 2**128 - 1) == [Prefix(6, 2**128 - 1, 128)]
    assert list(map(str, parse_range("2001:db8::1 - 2001:db8::4"))) == [
        "2001:db8::1/128",
        "2001:db8::2/127",
        "2001:db8::4/128",
    ]


@pytest.mark.parametrize(
    ("first", "end"), [(5, 4), (-1, 4), (0, 2**32)], ids=["backward", "below", "above"]
)
def test_what_is_no_range(first: int, end: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        cover(4, first, end)


@pytest.mark.parametrize("text", ["20.0.0.9-20.0.0.1", "20.0.0.1-2a01::1", "20.0.0.1-", "x-y"])
def test_a_range_in_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=";"):
        parse_range(text)


def test_netmasks() -> None:
    assert str(with_netmask("20.0.0.0", "255.255.255.0")) == "20.0.0.0/24"
    assert str(with_netmask("20.0.0.1", "255.255.255.255")) == "20.0.0.1/32"
    for wrong in ("255.0.255.0", "0.0.0.255", "2a01::", "24"):
        with pytest.raises(ValueError, match=";"):
            with_netmask("20.0.0.0", wrong)
    with pytest.raises(ValueError, match="host bits"):
        with_netmask("20.0.0.1", "255.255.255.0")
