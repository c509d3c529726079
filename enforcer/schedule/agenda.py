"""The schedule and the standing orders → what is really on, and when that next changes.

A timeline (or a policy and two instants) and orders come in; activations as they will be go out,
each with its state. It asks no clock. Found once, asked often.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

from enforcer.policy.model import Activation, Policy
from enforcer.schedule.orders import Order, Orders, moved, opens
from enforcer.schedule.timeline import Timeline, occurrences

State = Literal["past", "armed", "next", "provisional", "closed"]
_INSTANT = timedelta(microseconds=1)
# Nobody reads more in one answer, and a gateway has other things to do.
MOST_SHOWN = 20_000


class TooManyError(ValueError):
    """More was asked for than one answer holds; the text is `fact; remedy`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A declared occurrence, the order about it, and the occurrence as it will be."""

    declared: Activation
    order: Order | None
    activation: Activation

    @property
    def opens(self) -> bool:
        return opens(self.declared, self.order)

    @property
    def closed_at(self) -> datetime | None:
        """Of what is closed: when somebody did, or it lapsed; None where that was not noted."""
        order = self.order
        return None if order is None else order.until or order.given_at

    def state(self, now: datetime) -> State:
        """What it is at `now`, by the schedule and the orders."""
        order = self.order
        if order is not None and order.word == "closed":
            return "closed"
        if order is not None and order.until is not None and order.until <= now:
            return "closed"
        if self.activation.ends_at <= now:
            return "past"
        if not self.opens:
            return "provisional"
        return "armed" if self.activation.starts_at <= now else "next"


def entry(declared: Activation, orders: Orders) -> Entry:
    order = orders.about(declared)
    return Entry(declared, order, moved(declared, order))


def entries(
    policy: Policy,
    orders: Orders,
    after: datetime,
    before: datetime,
    most: int | None = None,
) -> list[Entry]:
    """Every occurrence that shares an instant with `after` <= t < `before`, moved ones as they
    will be, in order. Raises TooManyError when there are more than `most`, and looks at no more.
    """
    every = (o for window in policy.windows for o in occurrences(window, after, before))
    found = list(islice(every, None if most is None else most + 1))
    if most is not None and len(found) > most:
        raise TooManyError(f"more than {most:,} occurrences; ask for fewer days")
    return _entries(policy, orders, found, after, before)


def armed_at(policy: Policy, orders: Orders, now: datetime) -> tuple[Activation, ...]:
    """What is armed at `now`, sorted by start and id."""
    return tuple(e.activation for e in on_at(policy, orders, now))


def on_at(policy: Policy, orders: Orders, now: datetime) -> list[Entry]:
    """The entries of what is armed at `now`."""
    return [e for e in entries(policy, orders, now, now + _INSTANT) if e.opens]


def _entries(
    policy: Policy,
    orders: Orders,
    found: Iterable[Activation],
    after: datetime,
    before: datetime,
) -> list[Entry]:
    declared = {(o.id, o.starts_at): o for o in found}
    # What a shift brings in from outside.
    for order in orders.every:
        window = policy.window(order.window)
        if window is not None and order.shift and order.key not in declared:
            same = occurrences(window, order.starts_at, order.starts_at + _INSTANT)
            for occurrence in same:
                if occurrence.starts_at == order.starts_at:
                    declared[order.key] = occurrence
    every = (entry(o, orders) for o in declared.values())
    inside = (e for e in every if e.activation.starts_at < before and e.activation.ends_at > after)
    return sorted(inside, key=_order)


def _order(e: Entry) -> tuple[datetime, str]:
    return e.activation.starts_at, e.activation.id


@dataclass(frozen=True, slots=True)
class Agenda:
    """What is on in the span of `timeline` under `orders`."""

    timeline: Timeline
    orders: Orders
    every: tuple[Entry, ...]
    edges: tuple[datetime, ...]

    @classmethod
    def build(cls, timeline: Timeline, orders: Orders) -> Agenda:
        after, before = timeline.after, timeline.before
        every = tuple(_entries(timeline.policy, orders, timeline.occurrences, after, before))
        edges = {
            edge
            for e in every
            if e.opens
            for edge in (e.activation.starts_at, e.activation.ends_at)
            if after < edge <= before
        }
        return cls(timeline, orders, every, tuple(sorted(edges)))

    def active(self, now: datetime) -> tuple[Activation, ...]:
        """What is armed at `now` (starts included, ends excluded), sorted by start and id."""
        begun = bisect_right(self.every, now, key=lambda e: e.activation.starts_at)
        return tuple(
            e.activation for e in self.every[:begun] if e.opens and e.activation.ends_at > now
        )

    def next_edge(self, now: datetime) -> datetime | None:
        """The first start or end strictly after `now`; None when none is in sight."""
        at = bisect_right(self.edges, now)
        return self.edges[at] if at < len(self.edges) else None

    def transitions(self, now: datetime) -> Iterator[tuple[str, datetime]]:
        """Each window's first start or end strictly after `now`, in the order of the policy; also
        those too far ahead for the timeline, which must cover `now`. Nothing for a window that is
        over or does not open.
        """
        first: dict[str, datetime] = {}
        for e in self.every:
            for at in (e.activation.starts_at, e.activation.ends_at):
                if e.opens and at > now:
                    first[e.activation.id] = min(at, first.get(e.activation.id, at))
        ordered = {order.window for order in self.orders.every if order.forgettable_at > now}
        for window in self.timeline.policy.windows:
            edge = first.get(window.id)
            if edge is None and not window.provisional and window.id not in ordered:
                edge = self.timeline.beyond(window)
            if edge is not None:
                yield window.id, edge

    def coming(self, now: datetime) -> Iterator[Entry]:
        """Every occurrence that is not over at `now`, in order; a trial that lapsed, to its end."""
        return (
            e
            for e in self.every
            if e.activation.ends_at > now or (e.state(now) == "closed" and e.declared.ends_at > now)
        )

    def foremost(self, now: datetime, most: int) -> list[Entry]:
        """Of `coming`, in order: what is on, and of the rest what opens next before what was
        closed; `most` of them, or as many as are on.
        """
        on: list[Entry] = []
        ahead: list[Entry] = []
        closed: list[Entry] = []
        for e in self.coming(now):
            if len(ahead) == most and e.activation.starts_at > now:
                break
            state = e.state(now)
            (on if state == "armed" else closed if state == "closed" else ahead).append(e)
        left = max(0, most - len(on))
        return sorted([*on, *(ahead[:most] + closed)[:left]], key=_order)
