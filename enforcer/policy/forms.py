"""The time forms of a window: which keys make which form, and the form as a value.

Checked fields come in; `Timed` goes out, or None with the problems appended. What a form means in
instants is `schedule`'s; only what can be told without instants is refused here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from enforcer.errors import Problem
from enforcer.policy.documents import WindowSection
from enforcer.policy.icalevents import CalendarFiles, read_events
from enforcer.policy.icallines import CalendarError
from enforcer.policy.model import Calendar, Hijri, Once, Recurring, TimeForm
from enforcer.policy.places import Document, Path
from enforcer.policy.recurrence import Budget, check_rrule, last_wall, parse_rule, walls
from enforcer.policy.shape import Checked
from enforcer.policy.times import Stamp
from enforcer.policy.words import shown
from enforcer.policy.zones import Zones, find_zone, instant, offset_name


@dataclass(frozen=True, slots=True)
class Timed:
    form: TimeForm
    zone: tzinfo
    zone_name: str


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys of one form: `title` for messages, then the keys it must and may have."""

    title: str
    must: tuple[str, ...]
    may: tuple[str, ...]


# Told by its first key; a window with none of the other three is declared once.
_FORMS = {
    "start": _Keys("a window declared once", ("start",), ("end", "duration", "timezone", "fold")),
    "rrule": _Keys(
        "a recurring window", ("rrule", "start", "duration", "timezone"), ("except", "fold")
    ),
    "hijri": _Keys("a Hijri window", ("hijri", "from", "to", "timezone"), ("sighting", "fold")),
    "calendar": _Keys("a calendar window", ("calendar",), ("match", "timezone", "fold")),
}
TIME_KEYS = {key for keys in _FORMS.values() for key in (*keys.must, *keys.may)}


def read_form(
    document: Document,
    path: Path,
    checked: Checked[WindowSection],
    given: set[str],
    zones: Zones,
    calendars: CalendarFiles,
    problems: list[Problem],
) -> Timed | None:
    """The time form that the keys `given` make."""
    before = len(problems)

    def refuse(message: str, *inner: str, at_key: bool = False) -> None:
        problems.append(document.problem((*path, *inner), message, at_key=at_key))

    told = [key for key in ("rrule", "hijri", "calendar") if key in given]
    if len(told) > 1:
        refuse(
            f"has {' and '.join(told)}; a window has one time form, keep one", told[1], at_key=True
        )
        return None
    main = told[0] if told else "start"
    if main not in given:
        others = "rrule, hijri or calendar"
        refuse(f"says not when it takes place; give start and end or duration, or one of {others}")
        return None
    keys = _FORMS[main]
    for key in keys.must:
        if key not in given and checked.good(key):
            refuse(f"{keys.title} needs the key {shown(key)}, which is missing; add it")
    for key in sorted(given & TIME_KEYS - {*keys.must, *keys.may}):
        known = ", ".join((*keys.must, *keys.may))
        refuse(f"does not belong to {keys.title}; remove it ({known} do)", key, at_key=True)
    zone: tzinfo | None = None
    section = checked.section
    if checked.good("timezone") and section.timezone is not None:
        try:
            zone = find_zone(section.timezone, zones)
        except ValueError as error:
            refuse(str(error), "timezone")
    if not checked.good(*TIME_KEYS) or len(problems) != before:
        return None
    if main == "calendar":
        return _calendar(document, path, section, zone, calendars, problems)
    if main == "rrule":
        return _recurring(document, path, section, zone, calendars.budget, problems)
    return _READ[main](document, path, section, zone, problems)


def _once(
    document: Document,
    path: Path,
    section: WindowSection,
    zone: tzinfo | None,
    problems: list[Problem],
) -> Timed | None:
    before = len(problems)

    def refuse(message: str, *inner: str) -> None:
        problems.append(document.problem((*path, *inner), message))

    assert section.start is not None
    stamps = {"start": section.start}
    if section.end is not None:
        stamps["end"] = section.end
    if (section.end is None) == (section.duration is None):
        which = "neither end nor duration" if section.end is None else "both end and duration"
        refuse(f"has {which}, and every window ends; give one of the two")
    instants: dict[str, datetime] = {}
    folded = False
    for key, stamp in stamps.items():
        if (zone is None) == (stamp.offset is None):
            refuse(_zone_fact(stamp, zone is not None), key)
            continue
        try:
            instants[key], used = instant(stamp, zone or UTC, section.fold)
            folded |= used
        except ValueError as error:
            refuse(str(error), key)
    if len(problems) != before:
        return None
    if section.fold is not None and not folded:
        refuse(
            "no time of this window comes twice, so there is nothing to choose; remove it", "fold"
        )
    starts_at = instants["start"]
    ends_at = (
        instants["end"] if "end" in instants else starts_at + (section.duration or timedelta())
    )
    if section.end is not None and ends_at <= starts_at:
        refuse(f"{shown(section.end.text)} is not after the start; write a later end", "end")
    if len(problems) != before:
        return None
    shown_zone = zone or section.start.offset or UTC
    name = section.timezone or offset_name(shown_zone)
    return Timed(Once(starts_at, ends_at), shown_zone, name)


def _zone_fact(stamp: Stamp, has_zone: bool) -> str:
    if has_zone:
        return f"{shown(stamp.text)} has an offset, and the window a timezone; keep one of the two"
    fact = f"{shown(stamp.text)} has no zone"
    return f"{fact}; add timezone: Area/City to the window, or an offset like +05:00 to the time"


def _recurring(
    document: Document,
    path: Path,
    section: WindowSection,
    zone: tzinfo | None,
    budget: Budget,
    problems: list[Problem],
) -> Timed | None:
    before = len(problems)
    assert section.start is not None
    assert section.rrule is not None
    excepted = section.except_ or []
    stamps: list[tuple[Path, Stamp]] = [((*path, "start"), section.start)]
    stamps += [((*path, "except", n), stamp) for n, stamp in enumerate(excepted)]
    for here, stamp in stamps:
        if stamp.offset is not None:
            fact = (
                f"{shown(stamp.text)} has an offset, but a recurring window goes by the wall clock"
            )
            problems.append(document.problem(here, f"{fact} of its timezone; leave the offset out"))
    try:
        rule = check_rrule(section.rrule)
    except ValueError as error:
        problems.append(document.problem((*path, "rrule"), str(error)))
    if len(problems) != before:
        return None
    time_of_day = section.start.wall.time()
    left_out = tuple(
        # A day alone leaves out that day's occurrence.
        stamp.wall if "T" in stamp.text else datetime.combine(stamp.wall.date(), time_of_day)
        for stamp in excepted
    )
    try:
        last = last_wall(rule, section.start.wall, zone or UTC, budget)
        for here, fact in _off_the_rule(rule, section.start, last, excepted, left_out, budget):
            problems.append(document.problem((*path, *here), fact))
    except ValueError as error:
        problems.append(document.problem((*path, "rrule"), str(error)))
    if len(problems) != before:
        return None
    form = Recurring(
        rule, section.start.wall, section.duration or timedelta(), left_out, section.fold, last
    )
    return Timed(form, zone or UTC, section.timezone or "UTC")


def _off_the_rule(
    rule: str,
    start: Stamp,
    last: datetime | None,
    excepted: Sequence[Stamp],
    left_out: Sequence[datetime],
    budget: Budget,
) -> Iterator[tuple[Path, str]]:
    """What is given as an occurrence and is none: the start, or an exception."""
    parsed = parse_rule(rule, start.wall)
    first = next(walls(parsed, start.wall, start.wall, budget=budget), None)
    if first is None:
        fact = "happens on no day of the calendar from the start on"
        yield ("rrule",), f"{shown(rule)} {fact}; write a day that there is"
        return
    if first != start.wall:
        fact = f"{shown(start.text)} is no occurrence of the rrule"
        yield ("start",), f'{fact}; the first one after it is "{first.isoformat()}", write that'
        return
    if last is not None and last < start.wall:
        yield ("rrule",), "UNTIL is before the start; write a later one, or leave it out"
        return
    tick = timedelta(seconds=1)
    for n, (stamp, wall) in enumerate(zip(excepted, left_out, strict=True)):
        here = next(walls(parsed, start.wall, wall, wall + tick), None)
        if here is None or (last is not None and wall > last):
            fact = f"{shown(stamp.text)} is no occurrence of the rrule, so it leaves nothing out"
            yield ("except", n), f"{fact}; correct it, or remove it"


def _hijri(
    document: Document,
    path: Path,
    section: WindowSection,
    zone: tzinfo | None,
    problems: list[Problem],
) -> Timed | None:
    assert section.hijri is not None
    assert section.from_ is not None
    assert section.to is not None
    before = len(problems)
    for year in section.sighting or {}:
        if not 1343 <= year <= 1500:
            fact = f"the Hijri year {year} is out of bounds"
            where = (*path, "sighting", year)
            problems.append(document.problem(where, f"{fact}; write one from 1343 to 1500"))
    if section.from_ == section.to:
        fact = "is the same time as from"
        problems.append(document.problem((*path, "to"), f"{fact}; write another time"))
    if len(problems) != before:
        return None
    days = section.hijri
    sighting = tuple(sorted((section.sighting or {}).items()))
    form = Hijri(days.month, days.day, days.days, section.from_, section.to, sighting, section.fold)
    return Timed(form, zone or UTC, section.timezone or "UTC")


def _calendar(
    document: Document,
    path: Path,
    section: WindowSection,
    zone: tzinfo | None,
    calendars: CalendarFiles,
    problems: list[Problem],
) -> Timed | None:
    assert section.calendar is not None
    before = len(problems)
    # Relative to the file that names it, kept relative to the configuration's folder.
    file = posixpath.normpath(posixpath.join(posixpath.dirname(document.file), section.calendar))
    try:
        components = calendars.components(file)
    except CalendarError as error:
        problems.append(Problem(file, error.line, 1, "", str(error)))
        return None
    except ValueError as error:
        where = (*path, "calendar")
        problems.append(document.problem(where, f"{shown(file)} {error}"))
        return None
    events = read_events(file, components, section.match, zone, calendars, problems)
    if not events and len(problems) == before:
        which = f"whose summary holds {shown(section.match)}" if section.match else "at all"
        fact = f"{shown(file)} has no event {which} that takes place"
        key = "match" if section.match else "calendar"
        problems.append(document.problem((*path, key), f"{fact}; correct it, or remove the window"))
    if len(problems) != before:
        return None
    form = Calendar(file, section.match, tuple(events), section.fold)
    return Timed(form, zone or UTC, section.timezone or "UTC")


_READ: dict[
    str,
    Callable[
        [Document, Path, WindowSection, tzinfo | None, list[Problem]],
        Timed | None,
    ],
] = {"start": _once, "hijri": _hijri}


def hours(length: timedelta) -> str:
    """`96 h`, `96 h 30 min`: a length of time for messages."""
    minutes, seconds = divmod(round(length.total_seconds()), 60)
    parts = ((minutes // 60, "h"), (minutes % 60, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
