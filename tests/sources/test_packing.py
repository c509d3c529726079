"""A registry packed and unpacked says the same, row for row and place for place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.policy.registry import HEADER, Registry, empty_registry, merge, parse_registry
from enforcer.sources.packing import pack, unpack

CATEGORIES = ("software-house", "freelancer")


def through(registry: Registry) -> Registry:
    described, parts = pack(registry)
    return unpack(json.loads(json.dumps(described)), memoryview(b"".join(parts)))


def same(one: Registry, other: Registry) -> bool:
    rows = range(len(one))
    return (
        one.digest == other.digest
        and one.files == other.files
        and [one.row(n) for n in rows] == [other.row(n) for n in rows]
        and [one.place(n) for n in rows] == [other.place(n) for n in rows]
    )


DATES = st.sampled_from(["", "2026-01-01", "2027-12-31", "0001-01-01", "9999-12-31"])
ROW = st.builds(
    lambda name, address, category, date, services, blanks: (
        f"{name},{address},{category},{date},,{services}\n" + "\n" * blanks
    ),
    st.text("abcشرکت-", min_size=1, max_size=300),
    st.one_of(
        st.integers(1 << 24, (100 << 24) - 1).map(
            lambda n: f"{n >> 24}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32"
        ),
        st.integers(0, 2**32 - 1).map(lambda n: f"2a01:{n >> 16:x}:{n & 65535:x}::/48"),
    ),
    st.sampled_from(CATEGORIES),
    DATES,
    st.sampled_from(["", "esp", "udp/500 udp/4500", "tcp/443"]),
    st.sampled_from([0, 0, 1, 300]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=12), st.lists(ROW, min_size=1, max_size=3))
def test_what_is_unpacked_is_what_was_packed(rows: list[str], others: list[str]) -> None:
    def read(name: str, some: list[str]) -> Registry:
        return parse_registry(name, f"{HEADER}\n{''.join(some)}".encode(), CATEGORIES)

    registry = merge([read("a.csv", rows), read("b.csv", others)])
    assert same(through(registry), registry)


def test_an_empty_registry_is_one_too() -> None:
    assert len(through(empty_registry(CATEGORIES))) == 0


def test_many_rows_take_little_room() -> None:
    rows = "".join(
        f"R-{n:06d},{20 + n % 7}.{n >> 8}.{n & 255}.0/24,freelancer,2026-01-{n % 28 + 1:02d},,\n"
        for n in range(20_000)
    )
    registry = parse_registry("r.csv", f"{HEADER}\n{rows}".encode(), CATEGORIES)
    described, parts = pack(registry)
    size = sum(part.nbytes for part in parts) + len(json.dumps(described))
    # Eight bytes of them the id itself.
    assert size < 18 * len(registry)
    assert same(through(registry), registry)


@pytest.mark.parametrize("spoil", ["short", "long", "rows", "form", "ids"])
def test_a_description_that_does_not_fit_is_refused(spoil: str) -> None:
    registry = parse_registry("r.csv", b"192.0.2.0/24\n198.51.100.0/25\n", CATEGORIES[:1])
    described, parts = pack(registry)
    body = b"".join(parts)
    four = described["families"]["4"]
    match spoil:
        case "short":
            body = body[:-1]
        case "long":
            body += b"x"
        case "rows":
            four["rows"] += 1
        case "form":
            four["forms"][0][0] = "folded"
        case "ids":
            four["ids"] += 1
            body += b"x"
    with pytest.raises(ValueError, match=r"column|file|ids|form|elements"):
        unpack(described, memoryview(body))
