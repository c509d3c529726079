"""The result as a table for people. Pure.

In: rows of the judge, and figures. Out: Markdown, and whether the goal is met: no registered packet
lost by us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from soak.judge import EXCHANGE, FLUSH, MACHINE, OURS, Row, quantile


@dataclass(frozen=True, slots=True)
class Result:
    """`overruns_ms`, `late_ends_ms`: when the last stranger was held back, after the declared end
    of a window (less than 0: before it), with the daemon dead and alive.
    `problems`: what did not go as it must, each a sentence. `notes`: what a reader must know.
    """

    machine: Mapping[str, str]
    rows: Sequence[Row]
    repairs_s: Mapping[str, Sequence[float]] = field(default_factory=dict)
    overruns_ms: Sequence[float] = ()
    late_ends_ms: Sequence[float] = ()
    starts_s: Sequence[float] = ()
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def lost_by_us(self) -> int:
        return sum(row.lost("registered", OURS) for row in self.rows)

    @property
    def sound(self) -> bool:
        return self.lost_by_us == 0 and not self.problems

    @property
    def verdict(self) -> str:
        sent = sum(row.registered for row in self.rows)
        excused = {
            whose: sum(row.lost("registered", whose) for row in self.rows)
            for whose in (FLUSH, EXCHANGE, MACHINE)
        }
        return (
            f"{self.lost_by_us:,} of {sent:,} registered packets lost by us "
            f"({excused[FLUSH]:,} inside a foreign flush, {excused[EXCHANGE]:,} at an exchange of "
            f"the root qdisc, {excused[MACHINE]:,} by the machine)"
        )


def markdown(result: Result) -> str:
    parts = [
        "# Soak",
        "\n".join(f"- {name}: {value}" for name, value in result.machine.items()),
        f"**{result.verdict}**",
        _losses(result.rows),
        _figures(result),
    ]
    if result.notes:
        parts.append("\n".join(f"- {note}" for note in result.notes))
    if result.problems:
        parts += ["## Not as it must be", "\n".join(f"- {problem}" for problem in result.problems)]
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _losses(rows: Sequence[Row]) -> str:
    head = [
        "fault", "times", "seconds", "registered sent", "lost by us", "in a foreign flush",
        "at a qdisc exchange", "by the machine", "others' transit lost", "control lost",
    ]  # fmt: skip
    whose = (OURS, FLUSH, EXCHANGE, MACHINE)
    return _table(
        head,
        [
            [
                row.name,
                f"{row.count:,}" if row.count else "–",
                f"{row.seconds:,.0f}",
                f"{row.registered:,}",
                *(f"{row.lost('registered', each):,}" for each in whose),
                f"{sum(row.lost('other', each) for each in whose):,}",
                f"{row.lost('control', MACHINE):,}",
            ]
            for row in rows
        ],
    )


def _figures(result: Result) -> str:
    rows = []
    for kind, repairs in sorted(result.repairs_s.items()):
        rows.append([f"repair of a foreign flush: {kind}", *_spread(repairs, 1000, "ms")])
    every = [s for repairs in result.repairs_s.values() for s in repairs]
    if every:
        rows.append(["repair of a foreign flush, all", *_spread(every, 1000, "ms")])
    if result.overruns_ms:
        row = [
            "last one held back, after the declared end; daemon dead",
            *_spread(result.overruns_ms, 1, "ms"),
        ]
        rows.append(row)
    if result.late_ends_ms:
        row = ["the same, daemon alive", *_spread(result.late_ends_ms, 1, "ms")]
        rows.append(row)
    if result.starts_s:
        rows.append(["start to the first answer", *_spread(result.starts_s, 1000, "ms")])
    return _table(["figure", "times", "p50", "p99", "most"], rows)


def _spread(values: Sequence[float], scale: float, unit: str) -> list[str]:
    quantiles = (quantile(values, share) * scale for share in (0.5, 0.99, 1.0))
    return [f"{len(values):,}", *(f"{value:,.1f} {unit}" for value in quantiles)]
