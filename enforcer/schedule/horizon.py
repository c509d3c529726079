"""Windows as instants, looked at ahead: what is wrong with an occurrence is said at `check`, not
found out on the day.

Placed windows come in, problems go out. It asks no clock: the horizon reaches from the first time
that any window names (or from `now`, where the edge gives it) to two years behind the last window's
beginning. What several windows do together is `together`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from operator import itemgetter

from enforcer.errors import Problem
from enforcer.policy import limits
from enforcer.policy.forms import hours
from enforcer.policy.model import Activation, Calendar, Estate, Hijri, Once, Recurring, Window
from enforcer.policy.windows import Placed
from enforcer.policy.words import shown
from enforcer.policy.zones import read
from enforcer.schedule.orders import Order, Orders, counted, still_on
from enforcer.schedule.past import PastGuards
from enforcer.schedule.spans import END, FIRST, Span, Told, Unclear, spans
from enforcer.schedule.together import Armed, check_together

HORIZON = timedelta(days=2 * 366)
# A few seconds of looking, and 200 MB; ten thousand windows that each recur every fortnight.
MOST_OCCURRENCES = 500_000
NO_ORDERS = Orders()
# Where no window names a date (Hijri windows come every year) and no clock was given.
_ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)


def check_schedule(
    placed: Sequence[Placed],
    estates: Sequence[Estate],
    now: datetime | None = None,
    orders: Orders = NO_ORDERS,
    past: PastGuards = (),
) -> list[Problem]:
    """Every problem of windows as instants, over the horizon, provisional ones as confirmed.
    `past` is guard that was armed before; the ceilings count it, whether it is still declared.
    """
    after, before = horizon((one.window for one in placed), now)
    problems: list[Problem] = []
    armed: list[Armed] = []
    on: list[Armed] = []
    left = MOST_OCCURRENCES
    for index, one in enumerate(placed):
        # A window declared once is looked at wherever it lies.
        whole = isinstance(one.window.form, Once)
        every = spans(one.window, FIRST if whole else after, END if whole else before)
        told = list(islice(every, left + 1))
        left -= len(told)
        if left < 0:
            return [*problems, _too_many(one, index + 1)]
        own = [span for span in told if isinstance(span, Span)]
        problems += _unclear(one, told)
        problems += _overlapping(one, own)
        problems += _too_long(one, own)
        opening = _opening(one, own, orders)
        problems += _moved_together(one, [a for a, _ in opening])
        for opened, order in opening:
            closed = order is not None and order.word == "closed"
            armed.append(Armed(opened.starts_at, opened.ends_at, index, one, closed))
            if still_on(opened, order, now):
                on.append(armed[-1])
    armed.sort()
    on.sort()
    return problems + check_together(armed, on, estates, past, now, orders.unread)


def _too_many(one: Placed, number: int) -> Problem:
    fact = f"the windows up to this one, {number:,}, have more than {MOST_OCCURRENCES:,}"
    ahead = f"occurrences in the {HORIZON.days} days that are looked at ahead"
    return one.problem(f"{fact} {ahead}; let them recur less often, or take some out")


def horizon(windows: Iterable[Window], now: datetime | None) -> tuple[datetime, datetime]:
    """From when to when windows are looked at."""
    begins = [begin for window in windows if (begin := _begins(window)) is not None]
    if now is not None:
        # What lies more than a period back can no longer break a ceiling.
        return now - limits.GUARD_PERIOD - limits.GUARD_WINDOW, max([now, *begins]) + HORIZON
    return min(begins, default=_ANCHOR), max(begins, default=_ANCHOR) + HORIZON


def _begins(window: Window) -> datetime | None:
    """When the first occurrence begins, as nearly as a horizon needs; None: every year."""
    match window.form:
        case Once(starts_at):
            return starts_at
        case Recurring(start=start):
            return read(start, window.zone, 0)
        case Calendar(events=events):
            begins = (read(event.start, event.zone, 0) for event in events)
            return max(min(begins, default=_ANCHOR), FIRST)
    return None


def _unclear(one: Placed, told: Iterable[Told]) -> Iterator[Problem]:
    """The first occurrence that a change of clocks makes unclear stands for all of them."""
    found = [entry for entry in told if isinstance(entry, Unclear)]
    if not found:
        return
    first = found[0]
    what = f"the occurrence of {shown(first.wall.isoformat())}"
    more = f" (as over {len(found) - 1:,} more)" if len(found) > 1 else ""
    if first.twice:
        fact = f"{what} comes twice in {first.zone}: clocks are set back over it{more}"
        folds = "add fold: 0 for the first, fold: 1 for the second"
    else:
        early, late = (_on_the_clock(first, fold) for fold in (1, 0))
        fact = f"{what} does not exist in {first.zone}: clocks are set forward over it{more}"
        folds = f"add fold: 0 for {late} instead, fold: 1 for {early}"
    match one.window.form:
        case Calendar(file=file):
            remedy = f"{folds} to window {shown(one.window.id)}, or move the event"
            yield Problem(file, first.line, 1, "", f"{fact}; {remedy}")
        case Hijri(from_minute=minute):
            begins = first.wall.hour * 60 + first.wall.minute == minute
            remedy = f"{folds}, or choose another time"
            yield one.problem(f"{fact}; {remedy}", "from" if begins else "to")
        case _:
            remedy = f"{folds}, leave it out under except, or choose another time"
            yield one.problem(f"{fact}; {remedy}", "start")


def _on_the_clock(unclear: Unclear, fold: int) -> str:
    """What clocks show at the instant that `fold` makes of a time left out."""
    return f"{read(unclear.wall, unclear.zone, fold).astimezone(unclear.zone):%H:%M}"


def _overlapping(one: Placed, own: Sequence[Span]) -> Iterator[Problem]:
    """Occurrences of one window have one arming set and one record: they may not overlap."""
    until = own[0] if own else None
    for span in own[1:]:
        assert until is not None
        if span.starts_at < until.ends_at:
            yield _overlap(one, until, span)
            return
        until = span


def _overlap(one: Placed, first: Span, second: Span) -> Problem:
    match one.window.form:
        case Calendar(file=file):
            at = f"at {second.starts_at:%Y-%m-%dT%H:%MZ}"
            fact = f"this event overlaps {at} with the one on line {first.line}"
            remedy = f"and window {shown(one.window.id)} takes both; move one, or narrow match"
            return Problem(file, second.line, 1, "", f"{fact}, {remedy}")
    lasts, apart = first.ends_at - first.starts_at, second.starts_at - first.starts_at
    fact = f"the occurrence of {first.starts_at:%Y-%m-%dT%H:%MZ} lasts {hours(lasts)}"
    remedy = "shorten it, or recur less often"
    return one.problem(f"{fact}, and the next begins {hours(apart)} later; {remedy}", "duration")


def _opening(
    one: Placed, own: Iterable[Span], orders: Orders
) -> list[tuple[Activation, Order | None]]:
    """The occurrences that open or opened, as the ceilings count them, in order, and what was
    decided about each.
    """
    declared = (Activation(span.starts_at, span.ends_at, one.window) for span in own)
    ordered = ((d, orders.about(d) if orders.every else None) for d in declared)
    every = ((counted(d, order), order) for d, order in ordered)
    return sorted(((a, order) for a, order in every if a is not None), key=itemgetter(0))


def _moved_together(one: Placed, opening: Sequence[Activation]) -> Iterator[Problem]:
    """A shift may not push an occurrence onto another of the same window."""
    for first, second in pairwise(opening):
        if one.window.provisional and second.starts_at < first.ends_at:
            fact = f"the occurrence confirmed for {second.starts_at:%Y-%m-%dT%H:%MZ} begins before"
            ends = f"the one of {first.starts_at:%Y-%m-%dT%H:%MZ} ends"
            yield one.problem(f"{fact} {ends}; shift it otherwise, or close one of them")
            return


def _too_long(one: Placed, own: Iterable[Span]) -> Iterator[Problem]:
    """Events are measured here; `policy.windows` measures the forms whose length is written."""
    form = one.window.form
    if one.window.guard is None or not isinstance(form, Calendar):
        return
    seen: set[int] = set()
    for span in own:
        length = span.ends_at - span.starts_at
        if length > limits.GUARD_WINDOW and span.line not in seen:
            seen.add(span.line)
            ceiling = f"{hours(limits.GUARD_WINDOW)} ceiling of a guard window"
            fact = f"{hours(length)} is over the {ceiling} ({shown(one.window.id)})"
            remedy = "shorten the event, or leave it out with match"
            yield Problem(form.file, span.line, 1, "", f"{fact}; {remedy}")
