"""What was to be reached, and whether it was.

In: figures. Out: a row for each goal. The goals are those of the issues on the main job (2), on the
packet path at a million prefixes (3), on reliability (5) and on what operators look at (6). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.changes import what_planned, what_window
from benchmarks.figures import RATIO, Figure, find
from benchmarks.floors import BareDrop, BareLookup
from benchmarks.loading import IPSET, NFT, what_load
from benchmarks.lookups import what_lookup
from benchmarks.packets import OURS, Cell
from benchmarks.repair import what_repair
from benchmarks.replaying import what_replay
from benchmarks.running import what_memory, what_outside, what_reload, what_start

Verdict = Literal["met", "missed", "not measured"]
PEERS = ("nft interval set", "ipset hash:net", "Foomuuri-like nft")


@dataclass(frozen=True, slots=True)
class Goal:
    """`text` for people; `what` and `unit` name the figure of ours, at most `limit`.

    `worst`: the worst round counts rather than the median. `peers` are shown beside it, and the
    `floor` of what ours is built on.
    """

    issue: int
    text: str
    what: str
    unit: str
    limit: float
    worst: bool = False
    peers: tuple[str, ...] = PEERS
    floor: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal with what was measured; None where it was not."""

    goal: Goal
    value: float | None
    peers: tuple[float | None, ...]
    floor: float | None = None

    @property
    def verdict(self) -> Verdict:
        if self.value is None:
            return "not measured"
        return "met" if self.value <= self.goal.limit else "missed"


def _cost(cell: Cell, text: str, limit: float) -> Goal:
    floor = BareDrop.name if cell.to_estate else BareLookup.name if cell.measure == "mark" else ""
    return Goal(3, text, cell.what, RATIO, limit, floor=floor)


_K, _M = 20_000, 1_000_000
GOALS: tuple[Goal, ...] = (
    _cost(Cell("mark", _K), "mark, 20 k, uniform", 1.25),
    _cost(
        Cell("mark", _K, clustered=True, zipf=True), "mark, 20 k clustered, Zipf sources", 1.20
    ),
    _cost(
        Cell("mark", _K, clustered=True, share=0.02),
        "mark, 20 k clustered, 98 % of sources unregistered",
        1.12,
    ),
    _cost(Cell("mark", _M), "mark, 1 M, uniform", 1.60),
    _cost(Cell("mark", _M, zipf=True), "mark, 1 M, Zipf", 1.35),
    _cost(Cell("guard", _K), "guard armed, transit not to the estate", 1.06),
    _cost(
        Cell("guard", _K, clustered=True, share=0.0, to_estate=True),
        "guard dropping an unregistered packet, 20 k clustered",
        0.75,
    ),
    Goal(3, "CSV to kernel, 1 M rows, against `nft -f`", what_load(_M), RATIO, 0.35,
         peers=(NFT, IPSET, "")),
    Goal(3, "one row changed in 1 M, file read excluded", "in 1 M", "ms", 15,
         peers=("nft add element", "ipset add", "")),
    Goal(3, "one row changed in 1 M, from the parsed registry: planned as well",
         what_planned("1 M"), "ms", 150, peers=("", "", "")),
    Goal(3, what_reload(_M), what_reload(_M), "s", 0.5, peers=("", "", "")),
    *(
        Goal(3, f"{verb} a window at its instant, {size}", what_window(verb, size), "ms", 15,
             peers=("", "", ""))
        for verb in ("opening", "closing")
        for size in ("20 k", "200 k", "1 M")
    ),
    Goal(3, "daemon resident memory, 20 k", what_memory(_K), "MB", 90, worst=True,
         peers=("", "", "")),
    Goal(3, "daemon resident memory, 1 M", what_memory(_M), "MB", 400, worst=True,
         peers=("", "", "")),
    Goal(3, "one lookup in the tree, 1 M", what_lookup(_M), "µs", 1.5, peers=("", "", "")),
    Goal(6, "replay of a capture, a packet (200,000 packets/s)", what_replay(_K), "µs", 5.0,
         peers=("", "", "")),
    Goal(2, "forwarding outside windows, against no daemon", what_outside(_K), RATIO, 1.02,
         peers=("", "", "")),
    Goal(2, "daemon start with 20 k prefixes to rules in force", what_start(_K), "s", 0.7,
         peers=("", "", "")),
    *(
        Goal(5, what_repair(size), what_repair(size), "ms", limit, worst=True, peers=("", "", ""))
        for size, limit in (("20 k", 500), ("1 M", 5000))
    ),
    Goal(2, "window opens after its instant, 20 k", "first packet marked, 20 k", "ms", 100,
         worst=True, peers=("", "", "")),
)  # fmt: skip


def judge(figures: Sequence[Figure]) -> list[Judged]:
    """Every goal, in order."""
    judged = []
    for goal in GOALS:
        found = find(figures, goal.what, OURS, goal.unit)
        value = None
        if found is not None:
            value = found.spread[1] if goal.worst else found.median
        peers = [find(figures, goal.what, peer, goal.unit) for peer in goal.peers]
        floor = find(figures, goal.what, goal.floor, goal.unit)
        shown = tuple(p.median if p else None for p in peers)
        judged.append(Judged(goal, value, shown, floor.median if floor else None))
    return judged
