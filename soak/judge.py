"""Whose loss it is: each packet that never arrived, laid to the fault that was on as it was sent.

Pure. In: the traffic, the spans of the faults. Out: a row for each fault, and one for what happened
at no fault. A loss is the machine's only when a packet of the control streams, which meet no rule
of ours, was lost within `NEAR_NS` of it; else it is ours, unless it lies inside a foreign flush
that was not repaired yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from soak.streams import Kind, Traffic

NEAR_NS = 100_000_000
NOTHING = "no fault"
# So long after its end a window is looked at; in the last stretch of it nobody may be held back.
_LOOKED_AFTER_NS, _LAST_NS = 900_000_000, 100_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """`begin_ns` to `end_ns`; its after-effects reach to the next one's beginning. `foreign`:
    somebody else's flush; `end_ns` is when it was repaired.
    """

    name: str
    begin_ns: int
    end_ns: int
    foreign: bool = False


@dataclass(slots=True)
class Row:
    """What was lost at one kind of fault. `registered` were sent while it was on; `losses` counts
    (kind of stream, whose loss)."""

    name: str
    count: int = 0
    registered: int = 0
    seconds: float = 0.0
    losses: Counter[tuple[Kind, str]] = field(default_factory=Counter)

    def lost(self, kind: Kind, whose: str) -> int:
        return self.losses[kind, whose]


OURS, FLUSH, MACHINE = "us", "flush", "machine"


def judge(traffic: Traffic, faults: Sequence[Fault]) -> list[Row]:
    """The rows, in the order in which their faults first came."""
    faults = sorted(faults, key=lambda f: f.begin_ns)
    begins = np.array([f.begin_ns for f in faults], np.int64)
    rows: dict[str, Row] = {}
    first = min((int(s.at_ns[0]) for s in traffic.streams if len(s.at_ns)), default=0)
    last = max((int(s.at_ns[-1]) for s in traffic.streams if len(s.at_ns)), default=0) + 1
    for n, fault in enumerate(faults):
        row = rows.setdefault(fault.name, Row(fault.name))
        row.count += 1
        until = faults[n + 1].begin_ns if n + 1 < len(faults) else last
        _add_span(row, traffic, fault.begin_ns, until)
    before = Row(NOTHING)
    _add_span(before, traffic, first, faults[0].begin_ns if faults else last)
    control = _merged(s.lost_ns for s in traffic.of("control"))
    kinds: tuple[Kind, ...] = ("registered", "other")
    for kind in kinds:
        for sent in traffic.of(kind):
            for at_ns in map(int, sent.lost_ns):
                n = int(np.searchsorted(begins, at_ns, "right")) - 1
                fault_on = faults[n] if n >= 0 else None
                row = rows[fault_on.name] if fault_on else before
                row.losses[kind, _whose(at_ns, fault_on, control)] += 1
    for at_ns in map(int, control):
        n = int(np.searchsorted(begins, at_ns, "right")) - 1
        (rows[faults[n].name] if n >= 0 else before).losses["control", MACHINE] += 1
    return [before, *rows.values()]


def _add_span(row: Row, traffic: Traffic, begin_ns: int, end_ns: int) -> None:
    row.registered += sum(s.between(begin_ns, end_ns) for s in traffic.of("registered"))
    row.seconds += max(0, end_ns - begin_ns) / 1e9


def _whose(at_ns: int, fault: Fault | None, control: NDArray[np.int64]) -> str:
    if fault is not None and fault.foreign and at_ns <= fault.end_ns:
        return FLUSH
    if _any(control, at_ns - NEAR_NS, at_ns + NEAR_NS):
        return MACHINE
    return OURS


def _any(instants: NDArray[np.int64], first: int, last: int) -> bool:
    begin, end = np.searchsorted(instants, (first, last + 1))
    return bool(end > begin)


def _merged(parts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.sort(np.concatenate([*parts, np.array([], np.int64)]))


def overruns_ms(traffic: Traffic, spans_ns: Sequence[tuple[int, int]]) -> list[float]:
    """For each window (opening, declared end): when the last stranger was held back, after its end
    (less than 0: before it). Raises ValueError when none was at all: it was not armed; and when
    strangers were held back as long as was looked: it did not end.
    """
    found = []
    lost = _merged(s.lost_ns for s in traffic.of("stranger"))
    control = _merged(s.lost_ns for s in traffic.of("control"))
    for opens_ns, ends_ns in spans_ns:
        if not _any(lost, opens_ns, ends_ns):
            raise ValueError("a window held nobody back; it was not armed")
        until_ns = ends_ns + _LOOKED_AFTER_NS
        if not any(s.between(until_ns - _LAST_NS, until_ns) for s in traffic.of("stranger")):
            raise ValueError("nobody looked whether a window ended: no stranger was sent after it")
        held = lost[(lost >= opens_ns) & (lost < until_ns)]
        last = held[held >= until_ns - _LAST_NS]
        if any(_whose(at_ns, None, control) == OURS for at_ns in map(int, last)):
            raise ValueError("a window held strangers back as long as was looked; it did not end")
        found.append(float(held[-1] - ends_ns) / 1e6)
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, int(np.ceil(share * len(ordered))) - 1)]
