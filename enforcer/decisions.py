"""What people decide about windows, as values: confirm, close, declare on trial.

A policy, the standing orders and `now` come in, with who asks; the orders of after and the lines
for the record go out, or a `RefusedError` with fact and remedy. Nothing is done here but by `keep`,
which puts a decision on the disk. The daemon, and the commands without one, decide by the same
words.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from enforcer.observe.audit import Event, record
from enforcer.observe.facts import declaration_of, declared_facts
from enforcer.policy.model import Once, Policy, Window
from enforcer.policy.words import pick, shown
from enforcer.schedule.agenda import Entry, entry
from enforcer.schedule.confirming import check_orders
from enforcer.schedule.orders import Order, Orders, closing, moved
from enforcer.schedule.past import PastGuards
from enforcer.schedule.spans import END
from enforcer.schedule.timeline import occurrences
from enforcer.standing import write_orders

# A moon is seen a day earlier or later; more than a month is another occurrence.
LONGEST_SHIFT = timedelta(days=30)
LONGEST_TRIAL = timedelta(hours=24)
# By whom a trial is closed that nobody confirmed; people are named with their uid.
NOBODY = "enforcer"
# Further ahead nobody closes or confirms without naming a day.
_LOOKED_AT = 1000


class RefusedError(Exception):
    """The decision cannot be taken: `fact; remedy`."""


class ClosedError(RefusedError):
    """What is asked for is closed: `entry`."""

    def __init__(self, text: str, entry: Entry) -> None:
        super().__init__(text)
        self.entry = entry


@dataclass(frozen=True, slots=True)
class Decision:
    """`orders` are those of after; `entry` the occurrence under them (None: of none in particular).

    `opens` tells whether it lets something be armed: then it must be on disk and on record, or it
    is not taken. One that ends something is taken in any case.
    """

    orders: Orders
    events: tuple[Event, ...]
    entry: Entry | None
    opens: bool


def confirm(
    policy: Policy,
    orders: Orders,
    now: datetime,
    window_id: str,
    by: str,
    shift: timedelta | None = None,
    at: datetime | None = None,
    past: PastGuards = (),
) -> Decision:
    """Lets a provisional occurrence open, or one on trial stay: the one of `at`, or the first that
    is not over. `shift` moves it; None leaves it where it is. `past` is
    guard on the record, which the ceilings count.
    """
    window = _window(policy, window_id)
    _require_readable(orders)
    if shift is not None and abs(shift) > LONGEST_SHIFT:
        raise RefusedError(
            f"a shift of {abs(shift) / timedelta(days=1):g} days is over 30 days; confirm another "
            "occurrence with --at"
        )
    found = _pick(window, orders, now, at, missed=at is not None)
    if not window.provisional:
        raise RefusedError(
            f"{shown(window_id)} is not provisional and opens by itself; see `windows`"
        )
    order = found.order
    moves = shift if shift is not None else (order.shift if order else timedelta())
    declared = found.declared
    new = Order(window.id, declared.starts_at, declared.ends_at, "confirmed", by, now, shift=moves)
    if order == new:
        return Decision(orders, (), found, opens=True)
    later = moved(declared, new)
    if later.ends_at <= now:
        raise RefusedError(
            f"it would have ended at {later.ends_at:%Y-%m-%dT%H:%M:%SZ}; shift it less, or "
            "confirm another occurrence with --at"
        )
    after = orders.kept(now).given([new])
    _require_ceilings(policy, orders, after, now, past)
    more: dict[str, Any] = {
        "starts_at": _text(later.starts_at),
        "ends_at": _text(later.ends_at),
    }
    if moves:
        more["shift_s"] = int(moves.total_seconds())
    event = Event(now, "confirmed", by, window.id, window.reference, more)
    return Decision(after, (event,), entry(declared, after), opens=True)


def close(
    policy: Policy,
    orders: Orders,
    now: datetime,
    window_id: str,
    by: str,
    at: datetime | None = None,
) -> Decision:
    """Ends the occurrence that is on, or cancels the one of `at`, or the next. What is closed
    already is left as it is, without an event: who says it twice means the one that was on.
    """
    window = _window(policy, window_id)
    shut = _shut_now(window, orders, now) if at is None else None
    if shut is not None:
        return Decision(orders, (), shut, opens=False)
    try:
        found = _pick(window, orders, now, at)
    except ClosedError as closed:
        return Decision(orders, (), closed.entry, opens=False)
    if at is not None and found.activation.starts_at <= now < at:
        raise RefusedError(
            f"{shown(window.id)} is on, and --at names an occurrence, not when one is to end; "
            "leave --at out to end it now, or give when the one begins that is to be cancelled"
        )
    return _closed(orders, now, [found], by, "closed")


def _shut_now(window: Window, orders: Orders, now: datetime) -> Entry | None:
    """The occurrence that would be on, but for its closing, where no other is."""
    every = (entry(o, orders) for o in occurrences(window, now - LONGEST_SHIFT, END))
    begun = takewhile(lambda e: e.declared.starts_at <= now, every)
    now_on = [e for e in begun if e.activation.starts_at <= now < _ends_at(e)]
    shut = [e for e in now_on if e.state(now) == "closed"]
    return shut[-1] if shut and shut == now_on else None


def close_all(
    orders: Orders, now: datetime, on: Iterable[Entry], by: str, also: Iterable[Event] = ()
) -> Decision:
    """`disarm`: ends every occurrence that is on, and puts on record what else it ends. Where there
    is nothing, that it was asked is on record.
    """
    decision = _closed(orders, now, list(on), by, "disarmed")
    events = (*decision.events, *also) or (disarmed(now, by),)
    return replace(decision, events=events)


def disarmed(now: datetime, by: str, window: str = "", reference: str = "") -> Event:
    """Of no window in particular, or of one that is armed although it is on no longer."""
    return Event(now, "disarmed", by, window, reference)


def lapse(policy: Policy, orders: Orders, now: datetime) -> Decision | None:
    """Turns trials that nobody confirmed in time into closings, for the record."""
    late = orders.lapsed(now)
    if not late:
        return None
    shut = [Order(o.window, o.starts_at, o.ends_at, "closed", NOBODY, o.until) for o in late]
    windows = ((o, policy.window(o.window)) for o in late)
    events = tuple(
        Event(now, "lapsed", NOBODY, o.window, w.reference if w else "", {"asked_by": o.by})
        for o, w in windows
    )
    return Decision(orders.kept(now).given(shut), events, None, opens=False)


def declare(
    policy: Policy,
    orders: Orders,
    now: datetime,
    window_id: str,
    by: str,
    within: timedelta | None = None,
    past: PastGuards = (),
) -> Decision:
    """Puts a window that was just written on the record, and with `within` on trial: it ends so
    long after its opening unless it is confirmed.
    """
    window = _window(policy, window_id)
    if isinstance(window.form, Once) and window.form.ends_at <= now:
        raise RefusedError(
            f"{shown(window_id)} is over before it is declared: it ends at "
            f"{window.form.ends_at:%Y-%m-%dT%H:%M:%SZ}; give a later --start, or a longer --for"
        )
    found = _pick(window, orders, now, None)
    declared = found.declared
    more: dict[str, Any] = {
        **declared_facts(window),
        "starts_at": _text(declared.starts_at),
        "ends_at": _text(declared.ends_at),
        "declaration": declaration_of(window),
    }
    after = orders
    if within is not None:
        _require_readable(orders)
        if not timedelta() < within <= LONGEST_TRIAL:
            raise RefusedError("a time to confirm is over zero and at most 24h; write it like 5m")
        if not window.provisional:
            raise RefusedError(f"{shown(window_id)} is not provisional, so nothing would close it")
        begins = max(declared.starts_at, now)
        until = (begins + within).replace(microsecond=0)
        trial = Order(
            window.id, declared.starts_at, declared.ends_at, "trial", by, now, until=until
        )
        after = orders.kept(now).given([trial])
        _require_ceilings(policy, orders, after, now, past)
        more["confirm_by"] = _text(until)
    event = Event(now, "declared", by, window.id, window.reference, more)
    return Decision(after, (event,), entry(declared, after), opens=True)


def keep(
    directory: Path,
    before: Orders,
    decision: Decision,
    put: Callable[[Event], object] | None = None,
    counts: Callable[[], bool] = lambda: True,
) -> str | None:
    """Puts a decision on the disk and, by `put`, on the record. What opens something and cannot be
    kept is a RefusedError, and nothing of it stays; of what ends something the warning is returned.
    `counts` is asked before what opens something is in the orders: whether it still may be.
    """
    put = put or partial(record, directory)
    if decision.opens:
        _keep_opening(directory, before, decision, put, counts)
        return None
    waiting = list(decision.events)
    kept = decision.orders == before
    try:
        if not kept:
            write_orders(directory, decision.orders)
            kept = True
        while waiting:
            put(waiting[0])
            del waiting[0]
        return None
    except OSError as error:
        problem = f"{directory}: {error.strerror or error}"
    if not kept:
        return f"{problem}; it is done, but a restart would open it again"
    return f"{problem}; it is done, but not on the record"


def _keep_opening(
    directory: Path,
    before: Orders,
    decision: Decision,
    put: Callable[[Event], object],
    counts: Callable[[], bool],
) -> None:
    """The record first. What is killed while the disk hangs must not leave an order of which the
    person was told that it is refused: the next daemon would open the window.
    """
    changes, on_record = decision.orders != before, False

    def tell() -> None:
        nonlocal on_record
        for event in decision.events:
            put(event)
        if not counts():
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        on_record = True

    try:
        if changes:
            write_orders(directory, decision.orders, tell)
        else:
            tell()
    except OSError as error:
        problem = f"{directory}: {error.strerror or error}"
        if on_record:
            try:
                write_orders(directory, before)
            except OSError:
                problem += "; orders.json there may hold it all the same: look"
        raise RefusedError(
            f"{problem}; what opens a window must be on the record: make room or rights"
        ) from error


# --- the parts -----------------------------------------------------------------------------------


def _closed(orders: Orders, now: datetime, found: list[Entry], by: str, what: str) -> Decision:
    after = orders.kept(now).given(
        closing(e.declared, by, now, e.order.shift if e.order else timedelta()) for e in found
    )
    events = tuple(
        Event(
            now,
            what,
            by,
            e.declared.id,
            e.declared.window.reference,
            {"starts_at": _text(e.activation.starts_at), "ends_at": _text(e.activation.ends_at)},
        )
        for e in found
    )
    one = entry(found[0].declared, after) if found else None
    return Decision(after, events, one, opens=False)


def _window(policy: Policy, window_id: str) -> Window:
    window = policy.window(window_id)
    if window is None:
        ids = [w.id for w in policy.windows]
        remedy = pick(window_id, ids, "`enforcer windows` lists those there are")
        raise RefusedError(f"no window is named {shown(window_id)}; {remedy}")
    return window


def _pick(
    window: Window, orders: Orders, now: datetime, at: datetime | None, *, missed: bool = False
) -> Entry:
    """The first occurrence that is neither over nor closed: of all, or of those from `at` on."""
    # One that was shifted forward may have been declared for a month ago.
    after = at if at is not None else now - LONGEST_SHIFT
    every = (entry(o, orders) for o in occurrences(window, after, END))
    # Those that are over would fill the list: a calendar of outages has 48 a day.
    ahead = (e for e in every if at is not None or _ends_at(e) > now)
    looked_at = list(islice(ahead, _LOOKED_AT))
    for e in looked_at:
        state = e.state(now)
        if state not in ("past", "closed") or (missed and state == "past" and not e.opens):
            return e
        if at is not None:
            break
    shut = next((e for e in looked_at if e.state(now) == "closed"), None)
    if shut is not None:
        raise ClosedError(f"{shown(window.id)} {_how_closed(shut)}; declare a new window", shut)
    if at is not None:
        raise RefusedError(_none_from(window, orders, now, at))
    raise RefusedError(
        f"{shown(window.id)} has no occurrence ahead; `enforcer windows --from T` lists those "
        "of before"
    )


def _none_from(window: Window, orders: Orders, now: datetime, at: datetime) -> str:
    """Why there is nothing to decide from `at` on, while there may be something before it."""
    fact = f"{shown(window.id)} has no occurrence ahead from {at:%Y-%m-%dT%H:%M:%SZ} on"
    try:
        first = _pick(window, orders, now, None).activation
    except RefusedError:
        return f"{fact}, and none before it; `enforcer windows --from T` lists those that are over"
    begins = f"{first.starts_at:%Y-%m-%dT%H:%M:%SZ}"
    return f"{fact}; the first that is not over begins at {begins}: leave --at out for it"


def _how_closed(e: Entry) -> str:
    """A trial that is over stands as such, or as the closing that the daemon made of it."""
    order = e.order
    if order is not None and (order.until is not None or order.by == NOBODY):
        at = order.until or order.given_at
        when = f" at {at:%Y-%m-%dT%H:%M:%SZ}" if at else ""
        return f"lapsed{when}: nobody confirmed it in time"
    return "was closed early and stays so"


def _ends_at(e: Entry) -> datetime:
    """When it ends by declaration and shift, closed or on trial."""
    return e.order.forgettable_at if e.order else e.declared.ends_at


def _require_readable(orders: Orders) -> None:
    if not orders.readable:
        raise RefusedError(
            "the standing orders of before cannot be read, so nothing new is armed; mend or move "
            "orders.json in the state directory away, and restart the daemon"
        )


def _require_ceilings(
    policy: Policy, before: Orders, after: Orders, now: datetime, past: PastGuards
) -> None:
    problems = check_orders(policy, before, after, now, past)
    if problems:
        raise RefusedError("\n".join(map(str, problems)))


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
