"""What armed windows do to many packets at a time, told from the policy and the radix tree.

In: a policy, activations, the tree of their day; packets as columns. Out: counts under the names of
the kernel's own counters, and which packets are held back. It says for millions of packets what
`verdict` says for one flow; the tests hold it against the compiled rules and the real kernel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.classes import classify_nodes
from enforcer.lookup.many import ManyLookup
from enforcer.lookup.tree import RadixTree
from enforcer.policy.model import Activation, Guard, Policy
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry_columns import pick
from enforcer.ruleset.measures import LIFELINE, UNREGISTERED, CounterName, MeasureName, Verdict
from enforcer.ruleset.packets import (
    IN,
    NONE,
    OUT,
    Packets,
    PrefixSet,
    ServiceNames,
    asks,
    serves,
    words_of,
)
from enforcer.ruleset.verdict import as_met

_SEVERAL = -2


@dataclass(frozen=True, slots=True)
class Seen:
    """Where packets were captured. `device` None: not known, and then supposed to be an uplink and
    every link that a window names. `everywhere`: on all interfaces at once, so that a forwarded
    packet is there twice, and what goes out was marked already when it came in.
    """

    device: str | None = None
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """`packets` and `bytes` that one counter counted, of one service (a `ServiceNames` number)."""

    counter: CounterName
    service: int
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """`held`: held back. `rehearsed`: would be, were the window not staged. `touched`: counted by
    any measure. One entry a packet.
    """

    tallies: tuple[Tally, ...]
    held: NDArray[np.bool_]
    rehearsed: NDArray[np.bool_]
    touched: NDArray[np.bool_]


class Registered:
    """The category of many packets by either end: `lookup` asks the tree, once for all windows."""

    def __init__(self, tree: RadixTree, categories: Sequence[str]) -> None:
        classes = classify_nodes(tree)
        self._lookups = {family: ManyLookup(tree.of_family(family)) for family in FAMILIES}
        self._class_of = {family: classes.of_family(family) for family in FAMILIES}
        self._terms = [entry.terms for entry in classes.classes]
        self._number = {name: i for i, name in enumerate(categories)}
        plain = [_SEVERAL if t[0].services else self._number[t[0].category] for t in self._terms]
        # The last entry stands for an address in no prefix, whose class is -1.
        self._plain = np.array([*plain, NONE], np.int32)

    def categories(self, packets: Packets, addresses: Any) -> NDArray[np.int32]:
        """The category's number by one end's address; NONE for what is not registered."""
        number = np.full(len(packets), NONE, np.int32)
        for family in FAMILIES:
            rows = np.flatnonzero(packets.family == family)
            if not len(rows):
                continue
            nodes = self._lookups[family].nodes_of(words_of(family, pick(addresses, rows)))
            hit = nodes >= 0
            number[rows[hit]] = self._class_of[family][nodes[hit]]
        found = self._plain[number]
        several = np.flatnonzero(found == _SEVERAL)
        if len(several):
            found[several] = NONE
            for rows in _groups(several, number[several]):
                found[rows] = self._by_service(packets.take(rows), int(number[rows[0]]))
        return found

    def _by_service(self, packets: Packets, number: int) -> NDArray[np.int32]:
        """As `classes.registered`: the first term that fits; either port counts."""
        found = np.full(len(packets), NONE, np.int32)
        # Backwards, so that the first has the last word.
        for term in reversed(self._terms[number]):
            fits = np.full(len(packets), not term.services)
            for service in term.services:
                fits |= serves(service, packets, packets.sport, packets.dport)
            found[fits] = self._number[term.category]
        return found


def _groups(rows: NDArray[Any], keys: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """`rows` in groups of equal keys."""
    order = np.argsort(keys, kind="stable")
    yield from np.split(rows[order], np.flatnonzero(np.diff(keys[order])) + 1)


class Judge:
    """The windows `activations` on the registry of `tree`, as a packet meets them: guards first,
    and of two guards of one service the one that opened last holds back, and counts.
    """

    def __init__(
        self,
        policy: Policy,
        activations: Sequence[Activation],
        registered: Registered,
        names: ServiceNames,
    ) -> None:
        self._policy, self._registered, self._names = policy, registered, names
        self._windows = [a.window for a in as_met(activations)]
        self._labels = (*policy.categories, LIFELINE, UNREGISTERED)
        self._estates = {estate.name: PrefixSet(estate.prefixes) for estate in policy.estates}
        self._lifelines = PrefixSet(policy.lifelines)

    def judge(self, packets: Packets, seen: Seen) -> Judged:
        count = len(packets)
        held, rehearsed, touched = (np.zeros(count, np.bool_) for _ in range(3))
        tallies: list[Tally] = []
        if not self._windows or not count:
            return Judged((), held, rehearsed, touched)
        by_source = self._registered.categories(packets, packets.source)
        services = self._names.of(packets)

        def tally(
            measure: MeasureName, window: str, verdict: Verdict, rows: Any, category: Any
        ) -> None:
            touched[rows] = True
            tallies.extend(
                self._counted(packets, services, (measure, window, verdict), rows, category)
            )

        for window in self._windows:
            if window.guard is None or not self._on_uplink(seen):
                continue
            rows = np.flatnonzero(~held & (packets.direction != OUT))
            rows = rows[self._concerned(window.guard, packets.take(rows))]
            lifeline = self._lifelines.holds(packets.family[rows], pick(packets.source, rows))
            category = np.where(lifeline, self._labels.index(LIFELINE), by_source[rows])
            let_in = category != NONE
            tally("guard", window.id, "let_in", rows[let_in], category[let_in])
            out = rows[~let_in]
            unregistered = np.full(len(out), self._labels.index(UNREGISTERED))
            verdict: Verdict = "would_drop" if window.stage else "held_back"
            tally("guard", window.id, verdict, out, unregistered)
            (rehearsed if window.stage else held)[out] = True
        if not any(window.mark or window.reserve for window in self._windows):
            return Judged(tuple(tallies), held, rehearsed, touched)
        by_target = self._registered.categories(packets, packets.target)
        either = np.where(by_source != NONE, by_source, by_target)
        known = ~held & (either != NONE)
        for window in self._windows:
            if window.mark:
                passed = known & ~(seen.everywhere & (packets.direction == OUT))
                rows = np.flatnonzero(passed)
                tally("mark", window.id, "marked", rows, either[rows])
            if window.reserve and self._leaves_by(window.reserve.link, seen):
                rows = np.flatnonzero(known & (packets.direction != IN))
                tally("reserve", window.id, "reserved", rows, either[rows])
        return Judged(tuple(tallies), held, rehearsed, touched)

    def _concerned(self, guard: Guard, packets: Packets) -> NDArray[np.bool_]:
        """What starts something new to a service of the estate."""
        estate = self._policy.estate(guard.estate)
        found = asks(estate.services, packets)
        rows = np.flatnonzero(found)
        inside = self._estates[estate.name]
        found[rows] = inside.holds(packets.family[rows], pick(packets.target, rows))
        return found

    def _on_uplink(self, seen: Seen) -> bool:
        return seen.device is None or seen.device in self._policy.gateway.uplinks

    def _leaves_by(self, link: str, seen: Seen) -> bool:
        return seen.device is None or seen.device == self._policy.link(link).device

    def _counted(
        self,
        packets: Packets,
        services: NDArray[np.int64],
        name: tuple[MeasureName, str, Verdict],
        rows: NDArray[Any],
        category: NDArray[Any],
    ) -> Iterator[Tally]:
        if not len(rows):
            return
        kinds = len(self._labels)
        # Family, category and service in one number.
        keys = (services[rows] * kinds + category) * 2 + (packets.family[rows] == 6)
        distinct, place = np.unique(keys, return_inverse=True)
        numbers = np.bincount(place)
        sizes = np.bincount(place, weights=packets.size[rows])
        for key, number, size in zip(
            distinct.tolist(), numbers.tolist(), sizes.tolist(), strict=True
        ):
            service, label = divmod(key >> 1, kinds)
            counter = CounterName(*name, 6 if key & 1 else 4, self._labels[label])
            yield Tally(counter, service, number, int(size))
