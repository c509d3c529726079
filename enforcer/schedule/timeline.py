"""Windows → activations: which are active at a time, and when that next changes.

A policy and `now` come in (aware); activations go out, as instants in UTC. It asks no clock. The
functions look at every window; a `Timeline` is found once and then asked often, at a cost that
does not depend on how many windows there are.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from enforcer.policy.model import Activation, Policy, Window
from enforcer.schedule.spans import END, Span, spans

# The finest step of time, to ask for one instant.
_INSTANT = timedelta(microseconds=1)


def occurrences(window: Window, after: datetime, before: datetime) -> Iterator[Activation]:
    """The occurrences of `window` that share an instant with `after` <= t < `before`, in order.

    Those of a provisional window too: whether it is armed is `active`'s to say. One whose wall
    time became unclear (new rules of a zone, after `check`) is left out: nothing is guessed.
    """
    for told in spans(window, after, before):
        if isinstance(told, Span):
            yield Activation(told.starts_at, told.ends_at, window)


def active(policy: Policy, now: datetime) -> tuple[Activation, ...]:
    """The activations in force at `now` (starts included, ends excluded), sorted by start and id.

    A provisional window is never active.
    """
    found = [
        occurrence
        for window in policy.windows
        if not window.provisional
        for occurrence in occurrences(window, now, now + _INSTANT)
    ]
    return tuple(sorted(found, key=_order))


def next_transition(policy: Policy, now: datetime) -> datetime | None:
    """The first start or end strictly after `now`; None when nothing changes any more."""
    return min((instant for _, instant in transitions(policy, now)), default=None)


def transitions(policy: Policy, now: datetime) -> Iterator[tuple[str, datetime]]:
    """Each window's first start or end strictly after `now`, in the order of the policy; nothing
    for a window that is over or provisional.
    """
    for window in policy.windows:
        if not window.provisional:
            yield from ((window.id, instant) for instant in _transitions(window, now))


def _transitions(window: Window, now: datetime) -> Iterator[datetime]:
    for occurrence in occurrences(window, now, END):
        if occurrence.starts_at > now:
            yield occurrence.starts_at
            return
        if occurrence.ends_at > now:
            yield occurrence.ends_at
            return


def coming(policy: Policy, after: datetime, before: datetime) -> Iterator[Activation]:
    """All windows' occurrences in `after` <= t < `before`, provisional ones too, in order."""
    streams = [occurrences(window, after, before) for window in policy.windows]
    return heapq.merge(*streams, key=_order)


def _order(activation: Activation) -> tuple[datetime, str]:
    return activation.starts_at, activation.id


# How far a timeline looks: far enough to hold what people want to see, and no farther.
_REACHES = (timedelta(days=8), timedelta(days=60), timedelta(days=400))
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Timeline:
    """What `policy` has on in `after` <= t < `before`.

    `occurrences` are in order, provisional ones too. `edges` are the instants, in order, at which
    something that is armed begins or ends.
    """

    policy: Policy
    after: datetime
    before: datetime
    occurrences: tuple[Activation, ...]
    edges: tuple[datetime, ...]
    _beyond: dict[str, datetime | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def build(cls, policy: Policy, after: datetime, before: datetime) -> Timeline:
        found = [a for w in policy.windows for a in occurrences(w, after, before)]
        armed = (a for a in found if not a.window.provisional)
        edges = {edge for a in armed for edge in (a.starts_at, a.ends_at)}
        return cls(
            policy,
            after,
            before,
            tuple(sorted(found, key=_order)),
            tuple(sorted(edge for edge in edges if after < edge <= before)),
        )

    @classmethod
    def ahead(cls, policy: Policy, now: datetime) -> Timeline:
        """From `now` on, so far that the next 10 occurrences are in it, if there are so many."""
        for reach in _REACHES:
            timeline = cls.build(policy, now, now + reach)
            if len(timeline.occurrences) >= _SHOWN:
                return timeline
        return cls.build(policy, now, END)

    def covers(self, now: datetime) -> bool:
        return self.after <= now < self.before

    def wears_out(self, now: datetime) -> bool:
        """True when more than half of it is past: time to find a new one, while nothing waits."""
        return now - self.after > (self.before - self.after) / 2

    def active(self, now: datetime) -> tuple[Activation, ...]:
        """As the function; `now` must be covered."""
        begun = bisect_right(self.occurrences, now, key=lambda a: a.starts_at)
        return tuple(
            a for a in self.occurrences[:begun] if a.ends_at > now and not a.window.provisional
        )

    def next_transition(self, now: datetime) -> datetime | None:
        """The first start or end strictly after `now`; None when there is none up to `before`."""
        at = bisect_right(self.edges, now)
        return self.edges[at] if at < len(self.edges) else None

    def beyond(self, window: Window) -> datetime | None:
        """The first start of a window of the policy from `before` on. Found once: whoever shows
        what is next asks at each step, and a rule of months takes milliseconds to walk.
        """
        if window.id not in self._beyond:
            later = (o.starts_at for o in occurrences(window, self.before, END))
            self._beyond[window.id] = next((at for at in later if at >= self.before), None)
        return self._beyond[window.id]

    def coming(self, now: datetime) -> Iterator[Activation]:
        """Every occurrence that is not over at `now`, in order."""
        return (a for a in self.occurrences if a.ends_at > now)
