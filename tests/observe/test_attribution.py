"""Each opening of a window has the packets of its own time, over restarts and reboots."""

from __future__ import annotations

from enforcer.observe.attribution import Attribution, rows, sums_of
from enforcer.ruleset.measures import CounterName

HELD = CounterName("guard", "ddos", "held_back", 4, "unregistered")
OTHER = CounterName("mark", "exam", "marked", 6, "mission")


def test_what_an_earlier_opening_had_is_not_the_next_ones() -> None:
    shares = Attribution()
    assert shares.share("ddos", {HELD: (7, 700), OTHER: (1, 1)}) == {HELD: (7, 700)}
    shares.close("ddos", {HELD: (7, 700)})
    assert shares.share("ddos", {HELD: (9, 900)}) == {HELD: (2, 200)}


def test_counters_of_windows_told_already_are_left_out_after_a_restart() -> None:
    shares = Attribution()
    shares.begin({HELD: (7, 700), OTHER: (5, 5)}, {"ddos": {HELD: (6, 600)}})
    assert shares.share("ddos", {HELD: (8, 800)}) == {HELD: (8, 800)}
    assert shares.share("exam", {OTHER: (6, 6)}) == {OTHER: (1, 1)}


def test_counters_that_began_anew_add_to_what_was_seen() -> None:
    shares = Attribution()
    shares.begin({}, {"ddos": {HELD: (6, 600)}})
    assert shares.share("ddos", {}) == {HELD: (6, 600)}
    assert shares.share("ddos", {HELD: (3, 300)}) == {HELD: (9, 900)}
    shares.close("ddos", {HELD: (3, 300)})
    assert shares.share("ddos", {HELD: (4, 400)}) == {HELD: (1, 100)}


def test_rows_come_back_as_they_were_and_nonsense_is_passed_over() -> None:
    sums = {HELD: (7, 700)}
    assert sums_of("ddos", rows(sums)) == sums
    assert sums_of("ddos", [None, 3, {}, {"measure": "x"}, {**rows(sums)[0], "packets": "?"}]) == {}
    assert rows({HELD: (0, 0)}) == []
