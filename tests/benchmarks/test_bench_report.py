"""Figures, goals and tables: what the bench says of what it measured."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figure, find, ratios, side_by_side
from benchmarks.goals import GOALS, judge
from benchmarks.packets import CELLS
from benchmarks.report import (
    BEGIN,
    END,
    Report,
    from_json,
    goals_table,
    markdown,
    number,
    readme_section,
    to_json,
    with_section,
)

MACHINE = {
    "date": "2026-01-02 03:04 UTC", "kernel": "6.18", "processor": "a processor",
    "cores": "2, core 1 sends", "nft": "1.0.6", "ipset": "7.17",
}  # fmt: skip
MARK = "mark, 20 k, uniform"


def report(ours: float = 1.2) -> Report:
    rounds = {"no rules": [100.0] * 3, "enforcer": [100 * ours] * 3, "ipset hash:net": [132.0] * 3,
              "floor: lookup, mark": [126.0] * 3}  # fmt: skip
    figures = side_by_side("Cost", MARK, "ns", rounds, "no rules")
    figures.append(
        Figure("The daemon", "resident memory, 20 k", "enforcer", "MB", (80.0, 95.0, 81.0))
    )
    return Report(MACHINE, tuple(figures), ("punctual: TimeoutError: too late",))


def test_ratios_are_taken_round_by_round() -> None:
    assert ratios([100, 200], [150, 240]) == (1.5, 1.2)


def test_a_round_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ratios([1.0, 2.0], [1.0])


def test_the_median_withstands_one_wild_round() -> None:
    figure = Figure("g", "w", "who", "ns", (1.0, 900.0, 2.0))
    assert (figure.median, figure.spread) == (2.0, (1.0, 900.0))


def test_a_figure_without_a_value_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a value"):
        Figure("g", "w", "who", "ns", ())


def test_side_by_side_gives_the_base_no_ratio() -> None:
    figures = report().figures
    assert find(figures, MARK, "no rules", "×") is None
    found = find(figures, MARK, "enforcer", "×")
    assert found is not None
    assert found.values == (1.2, 1.2, 1.2)


def test_goals_are_met_missed_or_not_measured() -> None:
    verdicts = {j.goal.text: j.verdict for j in judge(report().figures)}
    assert verdicts["mark, 20 k, uniform"] == "met"
    assert verdicts["mark, 1 M, uniform"] == "not measured"
    verdicts = {j.goal.text: j.verdict for j in judge(report(1.3).figures)}
    assert verdicts["mark, 20 k, uniform"] == "missed"


def test_memory_is_judged_by_its_worst_round() -> None:
    (judged,) = (j for j in judge(report().figures) if j.goal.what == "resident memory, 20 k")
    assert (judged.value, judged.verdict) == (95.0, "missed")


def test_every_goal_on_a_packet_has_its_cell() -> None:
    cells = {cell.what for cell in CELLS}
    wanted = {g.what for g in GOALS if g.what.startswith(("mark", "guard"))}
    assert len(cells) == len(CELLS)
    assert wanted <= cells


def test_a_missed_goal_is_shown_with_what_the_peers_reach() -> None:
    row = next(line for line in goals_table(report(1.3)).splitlines() if MARK in line)
    assert row == "| mark, 20 k, uniform | ≤ 1.25 | 1.30 | – | 1.32 | – | 1.26 | **missed** |"


def test_the_report_names_what_could_not_be_measured() -> None:
    text = markdown(report())
    assert "| mark, 20 k, uniform | 100 ns | 120 ns ×1.20 | 132 ns ×1.32 |" in text
    assert text.endswith("## Not measured\n\n- punctual: TimeoutError: too late\n")


def test_json_and_back_is_the_same_report() -> None:
    assert from_json(to_json(report())) == report()


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (1.249, "1.25"), (40.13, "40.1"), (404.9, "405"),
                        (57_321.0, "57,321")],
)  # fmt: skip
def test_numbers_have_the_digits_that_mean_something(value: float, text: str) -> None:
    assert number(value) == text


def test_the_readmes_section_is_replaced_and_nothing_else() -> None:
    readme = f"# before\n{BEGIN}\nold\n{END}\nafter\n"
    section = readme_section(report())
    once = with_section(readme, section)
    assert once == f"# before\n{BEGIN}\n{section}\n{END}\nafter\n"
    assert with_section(once, section) == once
    assert "2 cores, nft 1.0.6, ipset 7.17" in section


def test_a_readme_without_markers_is_left_alone() -> None:
    with pytest.raises(ValueError, match="put them back"):
        with_section("# nothing here\n", "section")
