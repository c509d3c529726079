"""What is said of late edges, from edges that are made up."""

from __future__ import annotations

from benchmarks.late import Edge, line

MS = 1_000_000


def test_what_was_not_waited_for_was_worked() -> None:
    assert Edge(10**9, 17 * MS, 15 * MS).worked == 2 * MS


def test_a_line_has_the_median_the_ninetieth_and_the_most() -> None:
    edges = [Edge(10**9, (n + 1) * MS, n * MS) for n in (9, *range(9), 10)]
    assert line("opened", edges) == (
        "opened 11: late 6.0 / 10.0 / 11.0 ms, waited for a core 5.0 / 9.0 / 10.0, "
        "worked 1.0 / 1.0 / 1.0"
    )
