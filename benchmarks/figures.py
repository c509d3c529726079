"""Measured values with their names, and the few statistics that tables are made of.

In: lists of numbers. Out: `Figure`s, which a report shows and goals are judged by. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

RATIO = "×"


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured (`what`), of whom (`who`), in which `unit`; one value a round.

    `group` is the table it stands in. A unit of `×` is a ratio to the first column of the table.
    """

    group: str
    what: str
    who: str
    unit: str
    values: tuple[float, ...]
    note: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.what}: {self.who}: a figure needs a value")

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return min(self.values), max(self.values)


def ratios(base: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    """Round by round, so that what slows the whole machine for a while cancels out."""
    return tuple(b / a for a, b in zip(base, other, strict=True))


def side_by_side(
    group: str, what: str, unit: str, rounds: Mapping[str, Sequence[float]], base: str
) -> list[Figure]:
    """A figure for each subject in the unit, and for each but `base` its ratio to it."""
    made = [Figure(group, what, who, unit, tuple(values)) for who, values in rounds.items()]
    made += [
        Figure(group, what, who, RATIO, ratios(rounds[base], values))
        for who, values in rounds.items()
        if who != base
    ]
    return made


def find(figures: Sequence[Figure], what: str, who: str, unit: str) -> Figure | None:
    """The figure of that name; None when it was not measured."""
    return next((f for f in figures if (f.what, f.who, f.unit) == (what, who, unit)), None)
