"""What the lab promises of each cell, and how a cell that differs is named."""

from __future__ import annotations

import pytest

from enforcer.lab.phases import (
    PHASES,
    ROWS,
    TRAFFIC,
    Cell,
    Check,
    Count,
    Promise,
    Report,
    judge,
)

WORDS = ("passes", "held back")


def as_promised(promise: Promise) -> Count:
    return {
        Promise.ALL: Count(10, 10),
        Promise.NONE: Count(0, 10),
        Promise.SOME: Count(3),
        Promise.ANY: Count(3),
    }[promise]


def good_report() -> Report:
    return Report(
        {
            phase.id: judge(phase, {row.id: as_promised(row.promise(phase)) for row in ROWS})
            for phase in PHASES
        }
    )


def test_guard_holds_back_new_unregistered_flows_while_a_window_is_open_and_nothing_else():
    held_back = {
        (row.id, phase.id)
        for row in TRAFFIC
        for phase in PHASES
        if row.promise(phase) is not Promise.ALL
    }
    assert held_back == {
        ("unregistered-vpn", "during"),
        ("unregistered-vpn", "killed"),
        ("unregistered-tcp", "during"),
        ("unregistered-tcp", "killed"),
    }


def test_outside_windows_nothing_of_ours_is_in_the_packet_path():
    outside = {
        row.id: [row.promise(phase) for phase in PHASES if phase.window is None]
        for row in ROWS[len(TRAFFIC) :]
    }
    assert outside == {
        "cs5-registered": [Promise.NONE] * 3,
        "cs5-others": [Promise.NONE] * 3,
        "reserved-packets": [Promise.NONE] * 3,
        # Past the end without the daemon its idle chains wait for the next start.
        "hooked-chains": [Promise.NONE, Promise.NONE, Promise.ANY],
    }


@pytest.mark.parametrize(
    ("promise", "count", "ok"),
    [
        (Promise.ALL, Count(10, 10), True),
        (Promise.ALL, Count(9, 10), False),
        (Promise.ALL, Count(0, 10), False),
        (Promise.ALL, Count(0, 0), False),
        (Promise.NONE, Count(0, 10), True),
        (Promise.NONE, Count(1, 10), False),
        (Promise.NONE, Count(0, 0), False),
        (Promise.NONE, Count(0), True),
        (Promise.SOME, Count(1), True),
        (Promise.SOME, Count(0), False),
        (Promise.ANY, Count(0), True),
        (Promise.ANY, Count(7), True),
    ],
)
def test_a_cell_is_right_only_when_its_count_keeps_the_promise(promise, count, ok):
    assert Cell(count, promise, WORDS).ok is ok


def test_a_cell_reads_as_a_person_says_it():
    texts = [
        Cell(count, Promise.ANY, WORDS).text
        for count in (Count(10, 10), Count(0, 10), Count(4, 10), Count(0, 0), Count(1234), Count(0))
    ]
    assert texts == [
        "passes 10/10",
        "held back 0/10",
        "some 4/10",
        "held back 0/0",
        "1,234",
        "held back",
    ]


def test_a_report_as_promised_differs_in_nothing():
    assert good_report().differs == []
    assert good_report().ok


@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.id)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_each_cell_can_fail_the_run(row, phase):
    promise = row.promise(phase)
    if promise is Promise.ANY:
        return
    wrong = {Promise.ALL: Count(9, 10), Promise.NONE: Count(1, 10), Promise.SOME: Count(0)}[promise]
    report = good_report()
    report.columns[phase.id][row.id] = Cell(wrong, promise, row.words)
    assert len(report.differs) == 1
    assert report.differs[0].startswith(f"{row.title}, {phase.title}: ")


def test_a_differing_cell_is_named_with_family_reason_and_promise():
    report = good_report()
    count = Count(5, 10, ((4, 5, 5), (6, 0, 5)), "IPv6: timed out")
    report.columns["during"]["web-out"] = Cell(count, Promise.ALL, WORDS)
    (named,) = report.differs
    assert named == (
        "web, subscriber → Internet, during: some 5/10 (IPv4 5/5, IPv6 0/5): IPv6: timed out; "
        "promised: passes"
    )


def test_a_row_that_was_not_counted_fails():
    column = judge(PHASES[0], {})
    assert [row.id for row in ROWS if column[row.id].ok] == []


def test_a_phase_that_was_not_reached_fails():
    report = good_report()
    del report.columns["past"]
    assert report.differs == ["past its end: not reached"]


def test_a_check_that_failed_is_named_with_its_value():
    report = Report(good_report().columns, (Check("share", "reserved on wan0", "300Mbit", False),))
    assert report.differs == ["reserved on wan0: 300Mbit"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (Count(3, 10), "3/10"),
        (Count(278, 278), "100%"),
        (Count(277, 278), "99%"),
        (Count(1, 1000), "1%"),
        (Count(0, 1000), "0%"),
        (Count(0), "none"),
        (Count(1241), "1,241"),
        (Count(1_234_567), "1234k"),
    ],
)
def test_a_narrow_cell_never_rounds_to_all_or_to_nothing(count, shown):
    assert Cell(count, Promise.ANY, ("all", "none")).short == shown
