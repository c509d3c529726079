"""The result as a table for people. Pure.

In: rows of the judge, and figures. Out: Markdown, and whether it is as it must be: no packet lost
by us, registered or others' transit, and nothing else among the problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from soak.judge import FLUSH, MACHINE, OURS, Row, quantile
from soak.streams import Kind


@dataclass(frozen=True, slots=True)
class Result:
    """`overruns_ms`, `late_ends_ms`: when the last stranger was held back, after the declared end
    of a window (less than 0: before it), with the daemon dead and alive.
    `problems`: what did not go as it must, each a sentence. `notes`: what a reader must know.
    """

    machine: Mapping[str, str]
    rows: Sequence[Row]
    repairs_s: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    overruns_ms: Sequence[float] = ()
    late_ends_ms: Sequence[float] = ()
    starts_s: Sequence[float] = ()
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()

    @property
    def lost_by_us(self) -> int:
        return self._lost("registered", OURS)

    @property
    def sound(self) -> bool:
        return not self.lost_by_us and not self._lost("other", OURS) and not self.problems

    def _lost(self, kind: Kind, whose: str) -> int:
        return sum(row.lost(kind, whose) for row in self.rows)

    @property
    def verdict(self) -> str:
        sent = sum(row.registered for row in self.rows)
        return (
            f"{self.lost_by_us:,} of {sent:,} registered packets lost by us "
            f"({self._lost('registered', FLUSH):,} inside a foreign flush, "
            f"{self._lost('registered', MACHINE):,} by the machine), and "
            f"{self._lost('other', OURS):,} of others' transit"
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
        "fault", "times", "seconds", "registered sent", "lost by us",
        "in a foreign flush", "by the machine", "others' transit lost", "of it by us",
        "control lost",
    ]  # fmt: skip
    whose = (OURS, FLUSH, MACHINE)
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
                f"{row.lost('other', OURS):,}",
                f"{row.lost('control', MACHINE):,}",
            ]
            for row in rows
        ],
    )


def _figures(result: Result) -> str:
    rows = []
    every: dict[str, list[float]] = {}
    for (size, kind), repairs in result.repairs_s.items():
        rows.append([f"repair of a foreign flush: {kind}, {size}", *_spread(repairs, 1000, "ms")])
        every.setdefault(size, []).extend(repairs)
    for size, repairs in every.items():
        rows.append([f"repair of a foreign flush, all, {size}", *_spread(repairs, 1000, "ms")])
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
