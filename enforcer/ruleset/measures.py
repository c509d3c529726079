"""What every measure shares: the part of a ruleset it adds, and the names of its counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enforcer.policy.prefix import Family
from enforcer.ruleset.vocabulary import Chain, Container, Count, Shaper

MeasureName = Literal["guard", "mark", "reserve"]
Verdict = Literal["marked", "reserved", "let_in", "held_back", "would_drop"]
MEASURE_NAMES: tuple[MeasureName, ...] = ("guard", "mark", "reserve")
VERDICTS: tuple[Verdict, ...] = ("marked", "reserved", "let_in", "held_back", "would_drop")
LIFELINE, UNREGISTERED = "lifeline", "unregistered"
UNTOUCHED: Literal["untouched"] = "untouched"


@dataclass(frozen=True, slots=True)
class Part:
    """One measure of one window. Parts add up; names carry the window, so they never collide."""

    containers: tuple[Container, ...] = ()
    chains: tuple[Chain, ...] = ()
    shapers: tuple[Shaper, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class CounterName:
    """The labels of a counter, from the operator's own names only (promise 6)."""

    measure: MeasureName
    window: str
    verdict: Verdict
    family: Family
    category: str

    def __str__(self) -> str:
        return f"{self.measure}/{self.window}/{self.verdict}/ip{self.family}/{self.category}"

    @property
    def count(self) -> Count:
        return Count(str(self))


@dataclass(frozen=True, slots=True, order=True)
class SampleName:
    """What the rules say that they do to a sampled packet; `verdict` is `untouched` where a measure
    looked it up and found nothing. From the operator's own names only, as a counter's.
    """

    measure: MeasureName
    window: str
    verdict: Verdict | Literal["untouched"]
    family: Family
    category: str

    def __str__(self) -> str:
        return f"{self.measure}/{self.window}/{self.verdict}/ip{self.family}/{self.category}"

    @classmethod
    def counted(cls, name: CounterName) -> SampleName:
        return cls(name.measure, name.window, name.verdict, name.family, name.category)

    @classmethod
    def untouched(cls, measure: MeasureName, window: str, family: Family) -> SampleName:
        return cls(measure, window, UNTOUCHED, family, UNREGISTERED)


def parse_sample(label: str) -> SampleName | None:
    """What the label of a sample says; None for a label that we never make."""
    parts = label.split("/")
    if len(parts) == 5 and parts[2] == UNTOUCHED and parts[4] == UNREGISTERED:
        # Otherwise of the same form as a counter's name.
        like = parse_counter("/".join((*parts[:2], "marked", *parts[3:])))
        return SampleName.untouched(like.measure, like.window, like.family) if like else None
    counter = parse_counter(label)
    return SampleName.counted(counter) if counter else None


def parse_counter(name: str) -> CounterName | None:
    """The labels of one of our counters; None for a name that we never make."""
    parts = name.split("/")
    if len(parts) != 5:
        return None
    measure, window, verdict, family, category = parts
    if measure not in MEASURE_NAMES or verdict not in VERDICTS or family not in ("ip4", "ip6"):
        return None
    return CounterName(
        next(m for m in MEASURE_NAMES if m == measure),
        window,
        next(x for x in VERDICTS if x == verdict),
        4 if family == "ip4" else 6,
        category,
    )
