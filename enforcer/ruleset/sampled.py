"""Sampled packets judged again: what the radix tree says, beside what the kernel's rules did.

In: the label that the rules gave a packet (`SampleName`), packets as columns, and one or two truths
(policy, armed windows, registry) that may have been in force when they passed. Out: how many of
each service, and what the tree says of those that no truth agrees with. A packet of which too
little was told to judge it is told of as such, never as a difference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.planner import first_hit
from enforcer.lookup.tables import Tables
from enforcer.policy.model import Activation, Policy
from enforcer.policy.prefix import PROTOCOLS, Family
from enforcer.ruleset.judging import Judge, Registered, Seen
from enforcer.ruleset.measures import UNTOUCHED, MeasureName, SampleName, Verdict
from enforcer.ruleset.packets import NONE, Packets, ServiceNames
from enforcer.ruleset.vocabulary import RegisteredMap

_TCP = PROTOCOLS["tcp"]
_WITH_PORTS = np.array([PROTOCOLS[name] for name in ("tcp", "udp", "sctp")])
NOT_ARMED, NOWHERE = "not armed", "none"

Said = tuple[Verdict | str, str]


@dataclass(slots=True, eq=False)
class Truth:
    """What the kernel should be doing: `armed` windows by a policy, on a registry. `tables` are
    what was loaded of it, to name the map in which an address belongs.
    """

    policy: Policy
    armed: tuple[Activation, ...]
    registered: Registered
    names: ServiceNames
    tables: Tables
    _judges: dict[tuple[str, MeasureName], Judge | None] = field(default_factory=dict)

    def said(self, name: SampleName, packets: Packets) -> list[Said]:
        """What should have been done to each packet by this measure of this window: verdict and
        category.
        """
        judge = self._judge(name)
        if judge is None:
            return [(NOT_ARMED, NOWHERE)] * len(packets)
        return [_said(judge, packets.take(np.array([row]))) for row in range(len(packets))]

    def agrees(self, name: SampleName, packets: Packets) -> bool:
        """Whether all of them should have been treated as the rules say. At once, for most do."""
        judge = self._judge(name)
        if judge is None:
            return False
        tallies = judge.judge(packets, Seen()).tallies
        if name.verdict == UNTOUCHED:
            return not tallies
        wanted = _as_said(name)
        same = (t for t in tallies if (t.counter.verdict, t.counter.category) == wanted)
        return sum(t.packets for t in same) == len(packets)

    def _judge(self, name: SampleName) -> Judge | None:
        """The window's measure alone: what another one does to a packet is not asked here."""
        key = name.window, name.measure
        if key not in self._judges:
            mine = [_alone(a, name.measure) for a in self.armed if a.id == name.window]
            found = next((a for a in mine if a.window.measures), None)
            self._judges[key] = None
            if found is not None:
                self._judges[key] = Judge(self.policy, (found,), self.registered, self.names)
        return self._judges[key]

    def stage_of(self, packets: Packets, row: int) -> str:
        """The map of the kernel in which one end of the packet belongs; `none` for neither."""
        family: Family = 4 if packets.family[row] == 4 else 6
        for high, low in (packets.source, packets.target):
            address = int(high[row]) << 64 | int(low[row])
            if (hit := first_hit(self.tables, family, address)) is not None:
                return RegisteredMap(hit[0]).name
        return NOWHERE


def _alone(activation: Activation, measure: MeasureName) -> Activation:
    window = activation.window
    return replace(
        activation,
        window=replace(
            window,
            guard=window.guard if measure == "guard" else None,
            mark=window.mark if measure == "mark" else None,
            reserve=window.reserve if measure == "reserve" else None,
        ),
    )


def _as_said(name: SampleName) -> Said:
    return name.verdict, name.category


def _said(judge: Judge, packet: Packets) -> Said:
    tallies = judge.judge(packet, Seen()).tallies
    if not tallies:
        return UNTOUCHED, NOWHERE
    return tallies[0].counter.verdict, tallies[0].counter.category


@dataclass(frozen=True, slots=True)
class Difference:
    """`packets` that the kernel treated as `name`, and the radix tree would have as `wanted`;
    `stage` is the map in which their address belongs.
    """

    name: SampleName
    wanted: Said
    stage: str
    packets: int


@dataclass(frozen=True, slots=True)
class Compared:
    """`services`: name → (packets, bytes) of all that came. `judged` of them were compared."""

    services: dict[str, tuple[int, int]]
    judged: int
    differences: tuple[Difference, ...]


def as_sampled(packets: Packets) -> Packets:
    """The packets as their samples tell of them: no flags, so what guard took for a new flow is
    taken for one; and cut only where the ports are missing.
    """
    missing = np.isin(packets.protocol, _WITH_PORTS) & (packets.dport == NONE) & ~packets.later
    unknown = packets.protocol == NONE
    return replace(packets, starts=packets.protocol == _TCP, cut=missing | unknown)


def compare(
    name: SampleName, packets: Packets, truths: Sequence[Truth], *, judged: bool = True
) -> Compared:
    """`packets` are `as_sampled`; `truths`, the newest last, were in force when they passed.
    Without `judged` they are only counted.
    """
    services = _services(packets, truths[-1].names)
    if not judged:
        return Compared(services, 0, ())
    whole = packets.take(np.flatnonzero(~packets.cut & ~packets.later))
    if not len(whole) or any(truth.agrees(name, whole) for truth in truths):
        return Compared(services, len(whole), ())
    wanted = _as_said(name) if name.verdict != UNTOUCHED else (UNTOUCHED, NOWHERE)
    every = [truth.said(name, whole) for truth in truths]
    found: Counter[tuple[Said, str]] = Counter()
    for row in range(len(whole)):
        if all(said[row] != wanted for said in every):
            found[every[-1][row], truths[-1].stage_of(whole, row)] += 1
    differences = tuple(
        Difference(name, said, stage, count) for (said, stage), count in sorted(found.items())
    )
    return Compared(services, len(whole), differences)


def _services(packets: Packets, names: ServiceNames) -> dict[str, tuple[int, int]]:
    numbers: NDArray[np.int64] = names.of(packets)
    found: dict[str, tuple[int, int]] = {}
    for number in np.unique(numbers).tolist():
        rows = numbers == number
        found[names.text(number)] = int(rows.sum()), int(packets.size[rows].sum())
    return found
