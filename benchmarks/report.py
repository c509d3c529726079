"""Figures as tables for people, as JSON for programs, and as the README's section. Pure.

In: a `Report`. Out: text. The JSON holds everything; the tables are made from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.figures import RATIO, Figure
from benchmarks.goals import PEERS, Judged, judge

BEGIN, END = "<!-- performance:begin -->", "<!-- performance:end -->"


@dataclass(frozen=True, slots=True)
class Report:
    """A run: what it ran on, its figures, and what could not be measured, with the reason."""

    machine: Mapping[str, str]
    figures: tuple[Figure, ...]
    failures: tuple[str, ...] = ()


def number(value: float) -> str:
    """Three digits that mean something, with thousands apart: 1.25, 40.1, 57,000."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def to_json(report: Report) -> str:
    goals = [
        {
            "issue": j.goal.issue,
            "goal": j.goal.text,
            "limit": j.goal.limit,
            "unit": j.goal.unit,
            "value": j.value,
            "verdict": j.verdict,
        }
        for j in judge(report.figures)
    ]
    figures = [asdict(f) | {"median": f.median} for f in report.figures]
    document = {
        "machine": dict(report.machine),
        "goals": goals,
        "figures": figures,
        "failures": list(report.failures),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def from_json(text: str) -> Report:
    document = json.loads(text)
    figures = tuple(
        Figure(f["group"], f["what"], f["who"], f["unit"], tuple(f["values"]), f["note"])
        for f in document["figures"]
    )
    return Report(document["machine"], figures, tuple(document["failures"]))


def markdown(report: Report) -> str:
    """The whole report."""
    parts = ["# Benchmark results", _machine(report.machine), "## Goals", goals_table(report)]
    parts += [
        text
        for group in dict.fromkeys(f.group for f in report.figures)
        for text in (f"## {group}", _group_table([f for f in report.figures if f.group == group]))
    ]
    if report.failures:
        parts += ["## Not measured", "\n".join(f"- {failure}" for failure in report.failures)]
    return "\n\n".join(parts) + "\n"


def _machine(machine: Mapping[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in machine.items())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def goals_table(report: Report) -> str:
    """One row a goal: limit, ours, peers, verdict."""
    rows = [_goal_row(j) for j in judge(report.figures)]
    return _table(["goal", "limit", "enforcer", *PEERS, "floor", "result"], rows)


def _goal_row(judged: Judged) -> list[str]:
    goal = judged.goal
    unit = "" if goal.unit == RATIO else f" {goal.unit}"

    def shown(value: float | None) -> str:
        return "–" if value is None else f"{number(value)}{unit}"

    verdict = "**missed**" if judged.verdict == "missed" else judged.verdict
    limit = f"≤ {goal.limit:g}{unit}" if unit else f"≤ {goal.limit:.2f}"
    others = map(shown, (*judged.peers, judged.floor))
    return [goal.text, limit, shown(judged.value), *others, verdict]


def _group_table(figures: Sequence[Figure]) -> str:
    """What → who; a ratio stands behind the value that it belongs to."""
    columns = list(dict.fromkeys(f.who for f in figures))
    rows = []
    for what in dict.fromkeys(f.what for f in figures):
        cells = {
            who: " ".join(
                _cell(f, with_spread=f.unit != "ns")
                for f in figures
                if f.what == what and f.who == who
            )
            for who in columns
        }
        rows.append([what, *(cells[who] or "–" for who in columns)])
    return _table(["", *columns], rows)


def _cell(figure: Figure, *, with_spread: bool) -> str:
    value = number(figure.median)
    least, greatest = (number(edge) for edge in figure.spread)
    if figure.unit == RATIO:
        return f"×{value}"
    text = f"{value} {figure.unit}"
    if with_spread and least != greatest:
        text += f" ({least}–{greatest})"
    return text


def readme_section(report: Report) -> str:
    """What stands between the README's markers."""
    machine = report.machine
    ran_on = (
        f"Measured with `make bench` on {machine['date']}: kernel {machine['kernel']}, "
        f"{machine['processor']}, {machine['cores'].split(',')[0]} cores, nft {machine['nft']}, "
        f"ipset {machine['ipset']}. Costs are ratios to the same path without rules, medians over "
        "alternating rounds in one run, each cost between two without rules; half of the sources "
        "are registered unless said. "
        "*Clustered* is a registry inside 300 /16s, as a national one is. *Floor* is what the "
        "kernel takes for the lookup and the mark alone, in our maps, and for a drop of everything "
        "at ingress: no end, no category, no service, no promise."
    )
    return f"{ran_on}\n\n{goals_table(report)}"


def with_section(readme: str, section: str) -> str:
    """The README with its section replaced. Raises ValueError when a marker is missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README: the markers {BEGIN} and {END} are not there; put them back")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"
