"""Standing orders: what somebody decided about single occurrences, beside the declared schedule.

Orders and occurrences come in, occurrences as they will really be go out. Pure: whoever keeps the
orders on a disk is `enforcer/standing.py`. An order names its occurrence by window and declared
start; where the declaration no longer has that occurrence, the order does nothing.

The words are chosen so that a lost order never adds restriction: `confirmed` and `trial` open what
would else stay shut. Only a lost `closed` could reopen something, and whoever cannot read the
orders arms nothing new (`daemon`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from enforcer.errors import Problem
from enforcer.policy.model import Activation

Word = Literal["closed", "confirmed", "trial"]
# A clock that is wrong for a moment must not forget what somebody decided.
KEPT_FOR = timedelta(days=30)


@dataclass(frozen=True, slots=True, order=True)
class Order:
    """About the occurrence of `window` declared for `starts_at` to `ends_at`.

    `closed`: it does not open, or not again. `confirmed`: it opens although it is provisional.
    `trial`: it opens, but ends at `until` unless it is confirmed by then. `shift` moves the
    occurrence; of one that was closed it tells where it had been moved to. `by` is for the record,
    `given_at` too, and tells since when what is closed is so.
    """

    window: str
    starts_at: datetime
    ends_at: datetime
    word: Word
    by: str = field(default="", compare=False)
    given_at: datetime | None = field(default=None, compare=False)
    shift: timedelta = timedelta()
    until: datetime | None = None

    def __post_init__(self) -> None:
        if (self.until is not None) != (self.word == "trial"):
            raise ValueError("a trial, and nothing else, says until when")

    @property
    def key(self) -> tuple[str, datetime]:
        return self.window, self.starts_at

    @property
    def forgettable_at(self) -> datetime:
        """From then on it makes no difference any more, if the clock is right."""
        return max(self.ends_at, self.ends_at + self.shift)


@dataclass(frozen=True, slots=True)
class Orders:
    """The orders in force, one for each occurrence at most, sorted.

    `readable` is False when those of before are lost: then nothing new may be armed. `unread` is
    said in the place of a clash of windows, where they are there and whoever asks may not read
    them: one of the windows may have been closed.
    """

    every: tuple[Order, ...] = ()
    readable: bool = True
    unread: Problem | None = None
    _by_key: Mapping[tuple[str, datetime], Order] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_key", {order.key: order for order in self.every})

    def about(self, occurrence: Activation) -> Order | None:
        """The order about a declared occurrence."""
        return self._by_key.get((occurrence.id, occurrence.starts_at))

    def given(self, orders: Iterable[Order]) -> Orders:
        """These and new ones, which replace older ones about the same occurrences."""
        kept = {order.key: order for order in (*self.every, *orders)}
        return Orders(tuple(sorted(kept.values())), self.readable, self.unread)

    def ended_in(self, others: Orders) -> tuple[Order, ...]:
        """What `others` close and these do not, unless somebody has decided on it since."""
        return tuple(o for o in others.every if o.word == "closed" and self._let_stand(o))

    def _let_stand(self, closed: Order) -> bool:
        ours = self._by_key.get(closed.key)
        if ours is None:
            return True
        if ours.word == "closed":
            return False
        return ours.given_at is None or closed.given_at is None or closed.given_at >= ours.given_at

    def kept(self, now: datetime) -> Orders:
        """Without those that have made no difference for `KEPT_FOR`."""
        kept = tuple(o for o in self.every if o.forgettable_at + KEPT_FOR > now)
        return Orders(kept, self.readable, self.unread)

    def lapsed(self, now: datetime) -> tuple[Order, ...]:
        """The trials that nobody confirmed in time."""
        return tuple(o for o in self.every if o.until is not None and o.until <= now)


def closing(occurrence: Activation, by: str, at: datetime, shift: timedelta = timedelta()) -> Order:
    """The order that ends a declared occurrence now, or cancels it. `shift`: as it was moved."""
    return Order(
        occurrence.id, occurrence.starts_at, occurrence.ends_at, "closed", by, at, shift=shift
    )


def moved(occurrence: Activation, order: Order | None) -> Activation:
    """The occurrence as it will be, or would have been: shifted, and short while it is on trial."""
    if order is None:
        return occurrence
    starts_at, ends_at = occurrence.starts_at + order.shift, occurrence.ends_at + order.shift
    if order.until is not None:
        ends_at = max(starts_at, min(ends_at, order.until))
    return Activation(starts_at, ends_at, occurrence.window)


def counted(occurrence: Activation, order: Order | None) -> Activation | None:
    """The occurrence as the ceilings count it: a trial in full, for it may be confirmed, and one
    that was closed as declared, for closing must not make room for more.
    """
    if occurrence.window.provisional and (order is None or order.word == "closed"):
        return None
    shift = order.shift if order else timedelta()
    return Activation(occurrence.starts_at + shift, occurrence.ends_at + shift, occurrence.window)


def still_on(whole: Activation, order: Order | None, now: datetime | None) -> bool:
    """True when an occurrence, as `counted`, is on at `now` or may yet be: neither closed, nor a
    trial that nobody confirmed in time, nor over. Without `now` nothing is over.
    """
    if order is not None and order.word == "closed":
        return False
    if now is None:
        return True
    return whole.ends_at > now and (order is None or order.until is None or order.until > now)


def opens(occurrence: Activation, order: Order | None) -> bool:
    """True when the occurrence is armed in its time."""
    if order is None:
        return not occurrence.window.provisional
    return order.word != "closed"
