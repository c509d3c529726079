"""The report as a person and as a program sees it, against goldens that a person reviews.

ENFORCER_REWRITE_GOLDENS=1 rewrites them.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.lab import table
from enforcer.lab.phases import PHASES, ROWS, Check, Count, Promise, Report, judge
from enforcer.lab.screen import Screen

HERE = Path(__file__).parent


def count(promise: Promise, families: bool) -> Count:
    split = ((4, 5, 5), (6, 5, 5)) if promise is Promise.ALL else ((4, 0, 5), (6, 0, 5))
    return {
        Promise.ALL: Count(10, 10, split if families else ()),
        Promise.NONE: Count(0, 10, split if families else ()),
        Promise.SOME: Count(241),
        Promise.ANY: Count(3),
    }[promise]


def report(phases: int = len(PHASES)) -> Report:
    columns = {
        phase.id: judge(phase, {row.id: count(row.promise(phase), True) for row in ROWS})
        for phase in PHASES[:phases]
    }
    checks = (
        Check("killed", "daemon killed inside lab-2", "yes, with -9", True),
        Check("steady-transit", "steady transit traffic, whole run", "0 lost of 1,751", True),
    )
    return Report(columns, checks, ('enforcer_window_active{window="lab-1"} 1.0',), 37.04)


def broken() -> Report:
    found = report()
    wrong = judge(PHASES[1], {"web-in": Count(3, 10, ((4, 3, 5), (6, 0, 5)), "IPv6: timed out")})
    found.columns["during"]["web-in"] = wrong["web-in"]
    return found


def golden(name: str, text: str) -> None:
    path = HERE / name
    if os.environ.get("ENFORCER_REWRITE_GOLDENS"):
        path.write_text(text)
    assert text == path.read_text()


def test_a_report_as_promised_reads_like_this():
    golden("report-good.txt", table.text(report()))


def test_a_report_that_differs_names_the_cell_like_this():
    golden("report-broken.txt", table.text(broken()))


def test_a_report_as_json_has_stable_keys():
    golden("report-good.json", table.as_json(report()))
    document = json.loads(table.as_json(broken()))
    assert document["ok"] is False
    assert document["differs"] == broken().differs


def test_columns_of_phases_to_come_are_empty():
    lines = table.table(report(2)).splitlines()
    assert lines[0] == table.table(report()).splitlines()[0]
    assert lines[2].count("✓") == 2


def test_the_table_is_as_wide_and_as_high_as_it_says():
    lines = table.table(report()).splitlines()
    assert max(len(line) for line in lines) <= table.WIDTH
    assert len(lines) == table.HEIGHT


def test_nothing_of_it_is_wider_than_a_terminal_of_eighty_columns():
    assert table.WIDTH <= 80
    checks = (
        Check("edges", "lab-1 as unregistered TCP", "held back 12 ms after its start, " * 3, True),
    )
    for shown in (report(), broken(), replace(report(), checks=checks)):
        assert max(map(len, table.text(shown).splitlines())) <= 80
    many = judge(PHASES[1], {row.id: Count(1_234_567) for row in ROWS})
    widest = max(len(f"✓ {cell.short}") for cell in many.values())
    assert widest <= table.CELL_WIDTH


def test_metrics_are_a_table_of_the_labels_that_differ():
    page = (
        'enforcer_window_active{window="lab-1"} 1.0',
        'enforcer_packets_total{category="mission",family="ipv4",measure="m",window="lab-1"} 9.0',
        'enforcer_packets_total{category="x",family="ipv6",measure="m",window="lab-1"} 1518.0',
    )
    told = table.text(replace(report(), metrics=page)).splitlines()
    assert told[told.index('  enforcer_window_active{window="lab-1"} 1') + 1 : -2] == [
        '  enforcer_packets_total{measure="m",window="lab-1"}',
        "    category  family",
        "    mission   ipv4        9",
        "    x         ipv6    1,518",
    ]


def test_the_legend_has_every_column():
    heads = table.table(report()).splitlines()[0].split()
    assert heads == [line.split()[0] for line in table.legend().splitlines()[: len(PHASES)]]


def test_colours_change_nothing_but_colours():
    painted = table.text(broken(), color=True)
    assert "\x1b[32m✓\x1b[0m" in painted
    assert "\x1b[31m✗\x1b[0m" in painted
    for paint in (table.GREEN, table.RED, table.BOLD, table.PLAIN):
        painted = painted.replace(paint, "")
    assert painted == table.text(broken())


@pytest.fixture
def streams():
    return io.StringIO(), io.StringIO()


def test_away_from_a_terminal_each_phase_is_one_line_and_has_no_escapes(streams):
    out, err = streams
    screen = Screen(out, err)
    screen.progress("waiting")
    screen.show(report(1))
    screen.show(report(2))
    screen.finish(report())
    assert out.getvalue() == (
        " 37.0 s  before: 17 of 17 as promised\n 37.0 s  during: 17 of 17 as promised\n\n"
        + table.text(report())
    )
    assert err.getvalue() == ""


def test_as_json_only_the_object_is_on_stdout(streams):
    out, err = streams
    screen = Screen(out, err, json=True)
    screen.progress("waiting")
    screen.show(report(1))
    screen.finish(report())
    assert json.loads(out.getvalue())["ok"] is True
    assert err.getvalue() == " 37.0 s  before: 17 of 17 as promised\n"


def test_on_a_terminal_the_table_is_drawn_over_the_last_one(streams):
    out, err = streams
    screen = Screen(out, err, live=True)
    screen.show(report(1))
    screen.finish(report())
    height = table.table(report()).count("\n")
    assert out.getvalue().endswith(f"\r\x1b[{height}A\x1b[J{table.text(report())}")
