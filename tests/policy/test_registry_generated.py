"""Generated registries are what the parser takes, and stay off the laboratory's own addresses."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from enforcer.lab.registry import CATEGORIES, generate
from enforcer.policy.prefix import parse_prefix
from enforcer.policy.registry import parse_registry

LABORATORY = [
    parse_prefix(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "192.0.2.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
        "fc00::/7",
    )
]


@pytest.mark.parametrize("clustered", [False, True])
def test_every_row_loads_is_distinct_and_lies_outside_the_laboratory(clustered: bool) -> None:
    data = generate(5000, 1, clustered=clustered)
    assert data == generate(5000, 1, clustered=clustered)
    read = parse_registry("r.csv", data, CATEGORIES)
    rows = [read.row(number) for number in range(len(read))]
    prefixes = {row.prefix for row in rows}
    assert (len(rows), len(prefixes)) == (5000, 5000)
    assert not any(own.overlaps(prefix) for own in LABORATORY for prefix in prefixes)
    assert Counter(prefix.family for prefix in prefixes) == {4: 4500, 6: 500}
    sixteens = {prefix.network >> 16 for prefix in prefixes if prefix.family == 4}
    assert (len(sixteens) <= 300) == clustered
    assert {row.category for row in rows} == set(CATEGORIES)
    days = (date(2026, 1, 1), date(2029, 12, 31))
    assert all(sum(read.count(day).values()) == 5000 for day in days)
    assert 0 < sum(bool(row.services) for row in rows) < 2500
    assert len({row.id for row in rows}) < 5000


def test_another_seed_is_another_registry() -> None:
    assert generate(100, 1) != generate(100, 2)


@pytest.mark.parametrize("count", [1, 2, 5, 11])
def test_a_small_registry_is_of_that_size(count: int) -> None:
    assert len(parse_registry("r.csv", generate(count, 1), CATEGORIES)) == count
