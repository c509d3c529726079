"""A window's form → spans of absolute time, told one after the other.

A window and two instants come in (aware); spans in UTC go out. Where a wall clock shows a time
twice or not at all and the window does not say what it means, `Unclear` stands in the place of the
span: nothing is guessed here, and it reads no clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from enforcer.policy.model import Calendar, Event, Hijri, Once, Recurring, TimeForm, Window
from enforcer.policy.recurrence import parse_rule, walls
from enforcer.policy.zones import day_begins, read, readings
from enforcer.schedule.hijri import midnights

# Every time that policy accepts lies between these.
FIRST = datetime(1990, 1, 1, tzinfo=UTC)
END = datetime(2300, 1, 1, tzinfo=UTC)

DAY = timedelta(days=1)
# Wall clocks are at most 14 h from UTC, and at most a day is left out or comes twice.
_MARGIN = 2 * DAY


@dataclass(frozen=True, slots=True)
class Span:
    """`starts_at` included, `ends_at` excluded. `line` is where a calendar's event stands."""

    starts_at: datetime
    ends_at: datetime
    line: int = 0


@dataclass(frozen=True, slots=True)
class Unclear:
    """`wall` comes `twice` in `zone`, or not at all; `starts_at` is near it, for order."""

    starts_at: datetime
    wall: datetime
    zone: tzinfo
    twice: bool
    line: int = 0


Told = Span | Unclear


def spans(window: Window, after: datetime, before: datetime) -> Iterator[Told]:
    """What of `window` shares an instant with `after` <= t < `before`, in order of start."""
    after, before = max(after, FIRST), min(before, END)
    if after >= before:
        return
    for told in _TELL[type(window.form)](window, after, before):
        ends_at = told.ends_at if isinstance(told, Span) else told.starts_at + DAY
        if told.starts_at < before and ends_at > after:
            yield told


def _moment(wall: datetime, zone: tzinfo, fold: int | None, line: int = 0) -> datetime | Unclear:
    found = readings(wall, zone)
    if len(found) == 1:
        return found[0]
    near = read(wall, zone, fold or 0)
    return near if fold is not None else Unclear(near, wall, zone, bool(found), line)


def _span(start: datetime | Unclear, end: datetime | Unclear, line: int = 0) -> Iterator[Told]:
    if isinstance(start, Unclear):
        yield start
    elif isinstance(end, Unclear):
        yield Unclear(start, end.wall, end.zone, end.twice, line)
    elif start < end:
        yield Span(start, end, line)


def _wall(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _once(window: Window, after: datetime, before: datetime) -> Iterator[Told]:
    form = window.form
    assert isinstance(form, Once)
    yield Span(form.starts_at, form.ends_at)


def _recurring(window: Window, after: datetime, before: datetime) -> Iterator[Told]:
    form = window.form
    assert isinstance(form, Recurring)
    first = _wall(after, window.zone) - form.duration - _MARGIN
    last = _wall(before, window.zone) + _MARGIN
    left_out = frozenset(form.except_)
    for wall in walls(parse_rule(form.rrule, form.start), form.start, first, last):
        if form.last is not None and wall > form.last:
            return
        if wall in left_out:
            continue
        start = _moment(wall, window.zone, form.fold)
        if isinstance(start, Unclear):
            yield start
        else:
            yield Span(start, start + form.duration)


def _hijri(window: Window, after: datetime, before: datetime) -> Iterator[Told]:
    form = window.form
    assert isinstance(form, Hijri)
    last = _wall(before, window.zone) + _MARGIN
    for midnight in midnights(form, _wall(after, window.zone), last):
        yield from _hijri_day(window, form, midnight)


def _hijri_day(window: Window, form: Hijri, midnight: datetime) -> Iterator[Told]:
    over_midnight = form.to_minute <= form.from_minute
    start = midnight + timedelta(minutes=form.from_minute)
    end = midnight + timedelta(minutes=form.to_minute) + over_midnight * DAY
    yield from _span(_moment(start, window.zone, form.fold), _moment(end, window.zone, form.fold))


# --- calendars ------------------------------------------------------------------------------------


def _calendar(window: Window, after: datetime, before: datetime) -> Iterator[Told]:
    form = window.form
    assert isinstance(form, Calendar)
    streams = [_event(event, form.fold, after, before) for event in form.events]
    return heapq.merge(*streams, key=_start)


def _start(told: Told) -> datetime:
    return told.starts_at


def _event(event: Event, fold: int | None, after: datetime, before: datetime) -> Iterator[Told]:
    first = _wall(after, event.zone) - event.days * DAY - event.length - _MARGIN
    last = _wall(before, event.zone) + _MARGIN
    if event.last is not None:
        last = min(last, event.last + timedelta(seconds=1))
    own: Iterator[datetime] = iter((event.start,))
    if event.rrule:
        own = walls(parse_rule(event.rrule, event.start), event.start, first, last)
    previous: datetime | None = None
    for wall in heapq.merge(own, sorted(event.also)):
        if wall not in event.not_on and wall != previous and first <= wall:
            yield from _event_at(event, wall, fold)
        previous = wall


def _event_at(event: Event, wall: datetime, fold: int | None) -> Iterator[Told]:
    until = wall + event.days * DAY
    if event.all_day:
        yield from _span(day_begins(wall, event.zone), day_begins(until, event.zone), event.line)
        return
    start = _moment(wall, event.zone, fold, event.line)
    end = _moment(until, event.zone, fold, event.line) if event.days else start
    if not isinstance(end, Unclear):
        end += event.length
    yield from _span(start, end, event.line)


_TELL: dict[type[TimeForm], Callable[[Window, datetime, datetime], Iterator[Any]]] = {
    Once: _once,
    Recurring: _recurring,
    Hijri: _hijri,
    Calendar: _calendar,
}
