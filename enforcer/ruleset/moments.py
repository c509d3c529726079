"""Which windows and which day's registry judge a packet: those of one instant, or of its own time.

In: a policy, the standing orders, the registry, instants in nanoseconds. Out: judges, each with the
packets that are its to judge. Memory does not grow with the span of the capture.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.lookup.tree import RadixTree
from enforcer.policy.model import Activation, Policy
from enforcer.policy.prefix import FAMILIES, Service
from enforcer.policy.registry import Registry
from enforcer.ruleset.compiler import epoch_ns
from enforcer.ruleset.judging import Judge, Registered
from enforcer.ruleset.packets import ServiceNames
from enforcer.schedule.agenda import Entry, armed_at, entries
from enforcer.schedule.orders import Orders

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS = 86_400 * 10**9
_LOOKED_AHEAD = timedelta(days=1)
# A registry of a million rows takes some 100 MB as a tree; a capture rarely spans three.
_TREES_KEPT = 3


def instant_of(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)


def service_names(policy: Policy, registry: Registry) -> ServiceNames:
    """Names for services: those of the estates first, then those of registrations; of two that
    overlap, the narrower.
    """

    def width(service: Service) -> tuple[int, Service]:
        return len(service.ports), service

    own = {s for estate in policy.estates for s in estate.services}
    rest = {s for services in registry.services for s in services} - own
    return ServiceNames((*sorted(own, key=width), *sorted(rest, key=width)))


class Moments:
    """`at` None: each packet is judged at its own time. `armed` are the activations that any packet
    was judged under, and the one instant's all.
    """

    def __init__(
        self, policy: Policy, orders: Orders, registry: Registry, at: datetime | None
    ) -> None:
        self._policy, self._orders, self._registry, self._at = policy, orders, registry, at
        self.names = service_names(policy, registry)
        self.armed: dict[tuple[str, datetime], Activation] = {}
        self._days = _days_of_change(registry)
        self._trees: dict[int, Registered] = {}
        self._judges: dict[tuple[int, tuple[tuple[str, datetime], ...]], Judge] = {}
        self._from_ns = self._until_ns = 0
        self._entries: list[Entry] = []
        self._edges: NDArray[np.int64] = np.zeros(0, np.int64)

    def split(self, when_ns: NDArray[np.int64]) -> Iterator[tuple[Judge, NDArray[Any]]]:
        """Each judge with the places of the packets it judges; every place once."""
        if not len(when_ns):
            return
        if self._at is not None:
            activations = armed_at(self._policy, self._orders, self._at)
            yield self._judge(epoch_ns(self._at), activations), np.arange(len(when_ns))
            return
        self._look(int(when_ns.min()), int(when_ns.max()))
        span = np.searchsorted(self._edges, when_ns, "right")
        bucket = np.searchsorted(self._days, when_ns // _DAY_NS, "right")
        key = span * (len(self._days) + 1) + bucket
        for one in np.unique(key).tolist():
            rows = np.flatnonzero(key == one)
            first_ns = int(when_ns[rows[0]])
            moment = instant_of(first_ns)
            on = (e.activation for e in self._entries)
            activations = tuple(a for a in on if a.starts_at <= moment < a.ends_at)
            yield self._judge(first_ns, activations), rows

    def _look(self, first_ns: int, last_ns: int) -> None:
        """Makes sure that the windows of first..last are known."""
        if self._from_ns <= first_ns and last_ns < self._until_ns:
            return
        after, before = instant_of(first_ns), instant_of(last_ns) + _LOOKED_AHEAD
        found = entries(self._policy, self._orders, after, before)
        self._entries = [e for e in found if e.opens]
        edges = {
            epoch_ns(edge)
            for e in self._entries
            for edge in (e.activation.starts_at, e.activation.ends_at)
        }
        self._edges = np.array(sorted(edges), np.int64)
        self._from_ns, self._until_ns = epoch_ns(after), epoch_ns(before)

    def _judge(self, ns: int, activations: tuple[Activation, ...]) -> Judge:
        bucket = int(np.searchsorted(self._days, ns // _DAY_NS, "right"))
        for activation in activations:
            self.armed[activation.id, activation.starts_at] = activation
        # By name: activations are equal when their times are.
        key = bucket, tuple((a.id, a.starts_at) for a in activations)
        if key not in self._judges:
            registered = self._tree(bucket, instant_of(ns).date())
            self._judges[key] = Judge(self._policy, activations, registered, self.names)
        return self._judges[key]

    def _tree(self, bucket: int, day: date) -> Registered:
        if bucket not in self._trees:
            while len(self._trees) >= _TREES_KEPT:
                self._trees.pop(next(iter(self._trees)))
                self._judges.clear()
            tree = RadixTree.build(self._registry, day)
            self._trees[bucket] = Registered(tree, self._policy.categories)
        return self._trees[bucket]


def _days_of_change(registry: Registry) -> NDArray[np.int64]:
    """The days on which a registration begins to be valid, or no longer is."""
    parts = [registry.of_family(family) for family in FAMILIES]
    begin = np.concatenate([part.valid_from for part in parts]).astype(np.int64)
    ended = np.concatenate([part.valid_until for part in parts]).astype(np.int64) + 1
    return np.unique(np.concatenate([begin, ended]))
