"""One pass over the columns finds what the radix tree finds."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from enforcer.lookup.covering import covering
from enforcer.lookup.tree import RadixTree
from enforcer.policy.prefix import BITS, Prefix
from enforcer.policy.registry import empty_registry, parse_registry

DAY = date(2026, 12, 1)
HEADER = "id,prefix,category,valid_from,valid_until,services\n"


@st.composite
def _prefix(draw: st.DrawFn) -> Prefix:
    """In few places, so that they nest and meet."""
    family = draw(st.sampled_from((4, 6)))
    bits = BITS[family]
    length = draw(st.integers(bits // 4, bits))
    low = draw(st.integers(0, 3)) | draw(st.sampled_from((0, 1 << 62, 3 << 63 & (1 << 64) - 1)))
    address = (((10 if family == 4 else 0x20) << bits - 8) | low) & (1 << bits) - 1
    return Prefix(family, address >> bits - length << bits - length, length)


_days = st.sampled_from((",", "2026-12-01,", ",2026-12-01", "2026-12-02,", ",2026-11-30"))


@given(st.lists(st.tuples(_prefix(), _days), max_size=30), _prefix())
def test_as_the_tree(rows: list[tuple[Prefix, str]], asked: Prefix) -> None:
    lines = [f"R-{n},{prefix},a,{days},\n" for n, (prefix, days) in enumerate(rows)]
    data = (HEADER + "".join(lines)).encode()
    registry = parse_registry("r.csv", data, ("a",)) if rows else empty_registry(("a",))
    assert covering(registry, asked, DAY) == RadixTree.build(registry, DAY).covering(asked)


def test_the_longest_comes_first_and_rows_of_one_prefix_in_the_order_of_the_file() -> None:
    rows = ["W,198.51.0.0/16,a,,,", "A,198.51.100.0/24,a,,,", "H,198.51.100.7/32,a,,,",
            "B,198.51.100.0/24,a,,,tcp/443", "X,198.51.101.0/24,a,,,"]  # fmt: skip
    registry = parse_registry("r.csv", (HEADER + "\n".join(rows) + "\n").encode(), ("a",))
    found = covering(registry, Prefix(4, 0xC6336407, 32), DAY)
    assert [registry.row(row).id for row in found] == ["H", "A", "B", "W"]
