"""What the daemon shows: one frozen value, replaced whole after each step.

Metrics, `status` and the control socket read it from other threads without a lock.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from enforcer.lookup.tables import Tables
from enforcer.observe.audit_chain import NOTHING_BEFORE
from enforcer.policy.model import Activation, Policy
from enforcer.policy.prefix import Family
from enforcer.policy.registry import Registry
from enforcer.schedule.agenda import Entry, State

Shown = State | Literal["due"]


def in_force(state: State, window: str, armed: Collection[str]) -> Shown:
    """A state by the schedule and the orders → `due` where it should be armed and is not: what is
    said of a window is what is in force. `armed` are the ids of those that the kernel arms.
    """
    return "due" if state == "armed" and window not in armed else state


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of a window and what became of it. `confirm_by`: on trial until then.
    `closed_at`: when it was closed, cancelled, or lapsed; None where it was not, or nobody noted.
    """

    activation: Activation
    state: Shown
    confirm_by: datetime | None = None
    closed_at: datetime | None = None

    @classmethod
    def of(cls, entry: Entry, now: datetime, armed: Collection[str] | None = None) -> Occurrence:
        """`armed` as for `in_force`; None where nobody can tell: by the schedule alone."""
        until = entry.order.until if entry.order else None
        state, window = entry.state(now), entry.activation.id
        shown = state if armed is None else in_force(state, window, armed)
        closed_at = entry.closed_at if state == "closed" else None
        return cls(entry.activation, shown, until, closed_at)


@dataclass(frozen=True, slots=True)
class Kept:
    """The last good configuration on the disk: `at` is when it was accepted, None without one;
    `problem` why it is not the one in force.
    """

    at: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class FeedLook:
    """What is known of a feed: `checked_at` is when it was last made sure that what is in force is
    the newest, None when never; `problem` what was wrong with the last attempt. `counts` are of
    attempts by result. `named`: the signature of what is in force names this very feed.
    """

    name: str
    file: str
    every_s: int
    checked_at: datetime | None = None
    tried_at: datetime | None = None
    accepted_at: datetime | None = None
    rows: int | None = None
    serial: int | None = None
    url: str | None = None
    problem: str | None = None
    counts: tuple[tuple[str, int], ...] = ()
    named: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`edges`: for each window with one ahead, when it next opens or closes. `drift_kinds`: how
    often each kind of drift was put right. `contested`: nothing acts, for another program keeps
    changing our table. `registry` and `tables` are those in force, for whoever asks about one
    address. `ends`: when each armed window ends. `due`: windows that are on by the schedule and the
    orders, and not in force. `stepped_at`: the instant of the last step. `day_refused`: the
    registrations in force are, or are about to be, those of an earlier day. `orders_lost`: what was
    decided before cannot be read, so nothing new is armed.
    """

    policy: Policy
    config_error: str | None
    loaded_at: datetime
    reloaded_at: datetime
    armed: tuple[str, ...]
    waiting_for_clock: tuple[str, ...]
    coming: tuple[Occurrence, ...]
    edges: tuple[tuple[str, datetime], ...]
    prefixes: tuple[tuple[Family, str, int], ...]
    elements: tuple[tuple[Family, int], ...]
    clock_synchronised: bool
    drift_repairs: int
    promise_violations: int
    problem: str | None
    missing_devices: tuple[str, ...]
    drift_kinds: tuple[tuple[str, int], ...] = ()
    contested: bool = False
    orders_lost: bool = False
    shrink_refused: bool = False
    day_refused: bool = False
    last_good: Kept = Kept()
    registry: Registry | None = None
    tables: Tables | None = None
    stepped_at: datetime | None = None
    ends: tuple[tuple[str, datetime], ...] = ()
    due: tuple[str, ...] = ()
    fetched: tuple[FeedLook, ...] = ()

    @property
    def blamed_on_clock(self) -> tuple[str, ...]:
        """What opens once the clock is right; where the orders are lost, it helps nothing."""
        return () if self.orders_lost or self.clock_synchronised else self.waiting_for_clock

    @property
    def feeds(self) -> tuple[tuple[str, datetime | None], ...]:
        """Each source of registrations by its label, and when it was last known to be the newest:
        a file, when it was accepted; a feed, when that was last made sure of, None for never.
        """
        fetched = {look.file: look for look in self.fetched}
        return tuple(
            (fetched[file].name, fetched[file].checked_at)
            if file in fetched
            else (file, self.loaded_at)
            for file in self.policy.registry.files
        )


@dataclass(frozen=True, slots=True)
class RecordState:
    """The record as metrics and status show it: how many records there are (the number of the
    newest), its digest, how many wait to be written, how many were lost while too many waited, how
    often writing failed, and what is wrong now.
    """

    records: int = 0
    digest: str = NOTHING_BEFORE
    waiting: int = 0
    lost: int = 0
    failures: int = 0
    problem: str | None = None
