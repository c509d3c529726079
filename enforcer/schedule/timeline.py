"""Windows → instants: which are active at a time, and when that next changes.

A policy and `now` come in (aware); activations go out, as instants in UTC. It asks no clock. The
forms that a window may take each have an expander in `EXPAND`; a form without one (`expands` says
so) has no occurrences yet.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from enforcer.policy.model import Activation, Once, Policy, TimeForm, Window

# The finest step of time, to ask for one instant; and the end of every time that policy accepts.
_INSTANT = timedelta(microseconds=1)
_HORIZON = datetime(2300, 1, 1, tzinfo=UTC)

# Occurrences of one window that overlap [after, before), in order, never overlapping each other.
Expander = Callable[[Window, datetime, datetime], Iterator[Activation]]


def _once(window: Window, after: datetime, before: datetime) -> Iterator[Activation]:
    form = window.form
    assert isinstance(form, Once)
    if form.starts_at < before and form.ends_at > after:
        yield Activation(form.starts_at, form.ends_at, window)


EXPAND: dict[type[TimeForm], Expander] = {Once: _once}


def expands(window: Window) -> bool:
    """True when this window's form can be told as instants."""
    return type(window.form) in EXPAND


def occurrences(window: Window, after: datetime, before: datetime) -> Iterator[Activation]:
    """The occurrences of `window` that share an instant with `after` <= t < `before`, in order.

    Those of a provisional window too: whether it is armed is `active`'s to say.
    """
    expand = EXPAND.get(type(window.form))
    if expand is not None and after < before:
        yield from expand(window, after, before)


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
    for occurrence in occurrences(window, now, _HORIZON):
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
