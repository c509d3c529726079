"""The pure parts of the bench's parts: texts for peers, what a stream tells of a window, bounds."""

from __future__ import annotations

import struct

from benchmarks.beside import Beside, steady_ones
from benchmarks.case import Case, prefix_lines
from benchmarks.changes import with_one_row_more
from benchmarks.counters import attributes
from benchmarks.foomuuri import chains_script
from benchmarks.gateway import Span, windows_text
from benchmarks.peers import ipset_script, nft_script, packets_in
from benchmarks.punctual import Arrival, Lateness, lateness
from enforcer.lab.registry import CATEGORIES
from enforcer.policy.registry import parse_registry

SECOND, MS = 10**9, 10**6
PREFIXES = {4: ["192.0.2.0/24", "198.51.100.7/32"], 6: ["2001:db8::/32"]}


def stream(*, opens_ms: int, ends_ms: int) -> list[Arrival]:
    """A packet of each kind each 10 ms around a window from second 10 to second 12."""
    arrivals = []
    for at_ms in range(9_000, 13_000, 10):
        open_ = 10_000 + opens_ms <= at_ms < 12_000 + ends_ms
        arrivals.append(Arrival(at_ms * MS, False, open_))
        if not open_:
            arrivals.append(Arrival(at_ms * MS, True, False))
    return arrivals


def test_a_window_that_is_late_is_told_late() -> None:
    found = lateness(stream(opens_ms=30, ends_ms=-10), Span(10, 12))
    assert found == Lateness(marked=30 * MS, held_back=20 * MS, unmarked=-10 * MS)


def test_a_window_that_never_opens_has_no_lateness() -> None:
    found = lateness(stream(opens_ms=2000, ends_ms=0), Span(10, 12))
    assert found == Lateness(None, None, None)


def test_the_windows_file_says_whole_seconds_in_utc() -> None:
    text = windows_text([Span(0, 1), Span(86_400, 86_402)])
    assert 'start: "1970-01-01T00:00:00"' in text
    assert 'end: "1970-01-02T00:00:02"' in text
    assert (text.count("bench-1"), text.count("bench-2")) == (1, 1)


def test_peers_get_every_prefix_of_both_families() -> None:
    assert nft_script(PREFIXES).count("elements") == 2
    assert "192.0.2.0/24, 198.51.100.7/32" in nft_script(PREFIXES)
    lines = ipset_script(PREFIXES).splitlines()
    assert lines[1:3] == ["add registered4 192.0.2.0/24", "add registered4 198.51.100.7/32"]
    assert lines[3].startswith("create registered6 hash:net family inet6")
    assert lines[4:] == ["add registered6 2001:db8::/32"]


def test_an_empty_family_makes_an_empty_set() -> None:
    script = nft_script({4: ["192.0.2.0/24"], 6: []})
    assert script.count("set registered") == 2
    assert script.count("elements") == 1


def test_foomuuris_rules_mark_or_guard_and_not_both() -> None:
    assert ("mark set 0x51" in chains_script("mark"), "drop" in chains_script("mark")) == (
        True,
        True,
    )
    assert "mark set" not in chains_script("guard")
    assert not {"GUARD", "MARK"} & set(chains_script("mark").split())


def test_counters_of_a_listing_add_up() -> None:
    listing = (
        "*raw\n:PREROUTING ACCEPT [7:99]\n[3:180] -A PREROUTING -j DROP\n[40:9] -A OUTPUT -j DROP\n"
    )
    assert packets_in(listing) == 43


def test_netlink_attributes_are_read_with_their_padding() -> None:
    data = struct.pack("=HH", 7, 0x8001) + b"abc\0" + struct.pack("=HHI", 8, 2, 5)
    assert list(attributes(data)) == [(1, b"abc"), (2, struct.pack("=I", 5))]


def test_one_row_more_is_a_registry_with_one_row_more() -> None:
    case = Case.make(500)
    more = parse_registry("r.csv", with_one_row_more(case.data), CATEGORIES)
    assert len(more) == 501


def test_what_peers_get_is_what_the_tree_holds() -> None:
    case = Case.make(500)
    lines = prefix_lines(case)
    assert {family: len(part) for family, part in lines.items()} == {
        4: len(case.tree.v4),
        6: len(case.tree.v6),
    }


def test_expected_counts_agree_with_looking_up_one_by_one() -> None:
    case = Case.make(500)
    sources = case.prefixes.networks[:100]
    one_by_one = [case.category(address) for address in sources.tolist()]
    expected = {name: one_by_one.count(name) for name in set(one_by_one) if name is not None}
    assert case.expected(sources) == expected
    assert expected


def test_a_cost_is_held_against_what_it_stands_between() -> None:
    beside = Beside(cost=150.0, before=100.0, after=108.0)
    assert beside.steady
    assert beside.ratio == 150 / 104


def test_what_spans_a_change_of_the_machines_speed_is_left_out_if_enough_is_left() -> None:
    spans = Beside(cost=150.0, before=100.0, after=190.0)
    steady = [Beside(cost=120.0, before=100.0, after=at) for at in (100.0, 101.0, 102.0)]
    assert not spans.steady
    assert steady_ones([*steady, spans]) == steady
    assert steady_ones([*steady[:2], spans]) == [*steady[:2], spans]
