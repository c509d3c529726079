"""The VEVENTs of a calendar file that a window takes → events, as the wall clock of their zone.

Components come in; events go out, and everything wrong with those that are taken goes to
`problems` with the line the event begins on. Events that `match` leaves out are not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from enforcer.errors import Problem
from enforcer.policy.icallines import (
    CalendarError,
    Component,
    Property,
    plain_text,
    read_components,
)
from enforcer.policy.icalzones import RuleZone, read_zone
from enforcer.policy.model import Event
from enforcer.policy.recurrence import Budget, check_rrule, last_wall, parse_rule, walls
from enforcer.policy.words import shown
from enforcer.policy.zones import Zones, find_zone

# RFC 5545, section 3.8.1.11. A tentative event is a plan that nobody has confirmed.
NOT_TAKING_PLACE = frozenset({"CANCELLED", "TENTATIVE"})
MOST_EVENTS = 10_000


class CalendarFiles:
    """The calendar files of one configuration: each is read once and parsed once, however many
    windows name it. `files` holds the bytes of those that were asked for; `budget` is that of all
    the configuration's rules.

    `read` gives the bytes of a file, or raises ValueError with `fact; remedy`.
    """

    def __init__(self, read: Callable[[str], bytes], zones: Zones) -> None:
        self._read = read
        # Without names: a search for what a zone may have been meant to be opens every zone file.
        self._zones = Zones(zones.get)
        self._parsed: dict[str, list[Component]] = {}
        self._found: dict[tuple[str, str], tzinfo] = {}
        self.files: dict[str, bytes] = {}
        self.budget = Budget()

    def components(self, file: str) -> list[Component]:
        """The VCALENDARs of `file`. Raises ValueError, or CalendarError with its line."""
        if file not in self._parsed:
            self.files[file] = self._read(file)
            self._parsed[file] = read_components(self.files[file])
        return self._parsed[file]

    def zone(self, file: str, line: Property) -> tzinfo:
        """The zone of a property's TZID: the IANA database knows it (and follows new rules of that
        place), or the file tells its rules. Raises CalendarError.
        """
        name = line.parameters["TZID"]
        key = (file, name)
        if key not in self._found:
            try:
                self._found[key] = find_zone(name, self._zones)
            except ValueError:
                self._found[key] = self._told(file, name, line)
        return self._found[key]

    def _told(self, file: str, name: str, line: Property) -> RuleZone:
        for calendar in self.components(file):
            for part in calendar.parts:
                told = part.one("TZID") if part.name == "VTIMEZONE" else None
                if told is not None and told.value.strip() == name:
                    return read_zone(part, self.budget)
        fact = f"{shown(name)} is no zone of the IANA database, and the file has no VTIMEZONE of it"
        raise CalendarError(line.line, f"{fact}; export the file with its time zones")


@dataclass(frozen=True, slots=True)
class _Moment:
    """A value of DTSTART and its like: a wall time in its zone, or a day."""

    wall: datetime
    zone: tzinfo
    is_day: bool

    def wall_in(self, zone: tzinfo) -> datetime:
        """The same moment on the wall clock of `zone`."""
        if self.is_day or self.zone == zone:
            return self.wall
        return self.wall.replace(tzinfo=self.zone).astimezone(zone).replace(tzinfo=None, fold=0)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the times of one file: `zone` is the window's, None when it names none."""

    file: str
    files: CalendarFiles
    zone: tzinfo | None

    def moments(self, line: Property) -> list[_Moment]:
        return [self._moment(line, text.strip()) for text in line.value.split(",")]

    def moment(self, component: Component, name: str) -> _Moment | None:
        line = component.one(name)
        return None if line is None else self._moment(line, line.value.strip())

    def _moment(self, line: Property, text: str) -> _Moment:
        if line.parameters.get("VALUE") == "PERIOD":
            fact = f"{line.name} gives periods, which are not read"
            raise CalendarError(line.line, f"{fact}; make each an event of its own")
        match = _MOMENT.fullmatch(text)
        if match is None:
            fact = f"{shown(text)} is not a time of a calendar"
            raise CalendarError(line.line, f"{fact}; write it like 20261201T080000Z")
        try:
            wall = datetime(*(int(part or 0) for part in match.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001
        except ValueError as error:
            fact = f"{shown(text)} is not in the calendar: {error}"
            raise CalendarError(line.line, f"{fact}; correct the event") from None
        if not 1900 <= wall.year <= 2199:
            fact = f"the year {wall.year} is out of bounds"
            raise CalendarError(line.line, f"{fact}; write one from 1900 to 2199")
        if match[7]:
            return _Moment(wall, UTC, False)
        if "TZID" in line.parameters and "T" in text:
            return _Moment(wall, self.files.zone(self.file, line), False)
        if self.zone is None:
            fact = f"{shown(text)} is a time of no zone"
            remedy = "add timezone: Area/City to the window that takes this calendar"
            raise CalendarError(line.line, f"{fact}; {remedy}")
        return _Moment(wall, self.zone, "T" not in text)


_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?", re.ASCII)


def read_events(
    file: str,
    calendars: Sequence[Component],
    match: str | None,
    zone: tzinfo | None,
    files: CalendarFiles,
    problems: list[Problem],
) -> list[Event]:
    """The events of `calendars` whose summary holds `match` and that take place, in order of the
    file. `zone` is for days and for times without a zone.
    """
    reader = _Reader(file, files, zone)
    events: list[Event] = []
    found = [part for calendar in calendars for part in calendar.parts if part.name == "VEVENT"]
    for family in _families(found):
        try:
            events += _of_family(reader, family, match)
        except CalendarError as problem:
            problems.append(Problem(file, problem.line, 1, "", str(problem)))
    if len(events) > MOST_EVENTS:
        fact = f"{len(events):,} events are taken, over the limit of {MOST_EVENTS:,}"
        problems.append(Problem(file, 1, 1, "", f"{fact}; narrow them with match"))
    return sorted(events, key=lambda event: event.line)


def _families(found: Iterable[Component]) -> list[list[Component]]:
    """Events with one UID: an event and the occurrences of it that were changed."""
    by_uid: dict[str, list[Component]] = {}
    for part in found:
        uid = next((p.value for p in part.all("UID")), f"line {part.line}")
        by_uid.setdefault(uid, []).append(part)
    return list(by_uid.values())


def _of_family(reader: _Reader, family: list[Component], match: str | None) -> list[Event]:
    masters = [part for part in family if not part.all("RECURRENCE-ID")]
    changed = [part for part in family if part.all("RECURRENCE-ID")]
    master = masters[0] if masters else None
    summary = _text(master, "SUMMARY") if master else ""
    if match is not None and not any(match in _text(p, "SUMMARY", summary) for p in family):
        return []
    if len(masters) > 1:
        fact = f"the UID {shown(_text(masters[1], 'UID'))} is already that of another event"
        raise CalendarError(masters[1].line, f"{fact}; remove one of the two")
    events: list[Event] = []
    if master is not None and _text(master, "STATUS").upper() in NOT_TAKING_PLACE:
        # A cancelled series takes its changed occurrences with it.
        return []
    if master is not None and (match is None or match in summary):
        event = _event(reader, master, summary)
        gone = {
            moment.wall_in(event.zone)
            for part in changed
            for line in part.all("RECURRENCE-ID")
            for moment in reader.moments(line)
        }
        events.append(replace(event, not_on=event.not_on | gone))
    for part in changed:
        line = part.all("RECURRENCE-ID")[0]
        if line.parameters.get("RANGE"):
            fact = "changes this occurrence and all later ones at once (RANGE), which is not read"
            raise CalendarError(line.line, f"{fact}; end the series and begin another")
        own = _text(part, "SUMMARY", summary)
        if _text(part, "STATUS").upper() in NOT_TAKING_PLACE:
            continue
        if match is None or match in own:
            events.append(_event(reader, part, own))
    return events


def _text(part: Component, name: str, otherwise: str = "") -> str:
    return next((plain_text(p.value).strip() for p in part.all(name)), otherwise)


def _event(reader: _Reader, part: Component, summary: str) -> Event:
    start = reader.moment(part, "DTSTART")
    if start is None:
        raise CalendarError(part.line, "an event without DTSTART; give it a start")
    days, length = _length(reader, part, start)
    event = Event(
        summary,
        start.wall,
        start.zone,
        days,
        length,
        all_day=start.is_day,
        line=part.line,
        also=tuple(
            moment.wall_in(start.zone)
            for line in part.all("RDATE")
            for moment in reader.moments(line)
        ),
        not_on=frozenset(
            # A day alone leaves out that day's occurrence.
            datetime.combine(moment.wall.date(), start.wall.time())
            if moment.is_day
            else moment.wall_in(start.zone)
            for line in part.all("EXDATE")
            for moment in reader.moments(line)
        ),
    )
    rule = part.one("RRULE")
    return event if rule is None else _recurring(event, rule, reader.files.budget)


def _recurring(event: Event, line: Property, budget: Budget) -> Event:
    try:
        text = check_rrule(line.value.strip())
        rule = parse_rule(text, event.start)
        first = next(walls(rule, event.start, event.start, budget=budget), None)
        last = last_wall(text, event.start, event.zone, budget)
    except ValueError as error:
        raise CalendarError(line.line, str(error)) from None
    if first != event.start:
        # RFC 5545, section 3.8.5.3: what such a rule gives "is undefined".
        fact = "DTSTART is no occurrence of its RRULE, and what that means is undefined"
        raise CalendarError(line.line, f"{fact}; begin the event with its first occurrence")
    return replace(event, rrule=text, last=last)


_DURATION = re.compile(
    r"([+-])?P(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,8})S)?)?",
    re.ASCII,
)


def _length(reader: _Reader, part: Component, start: _Moment) -> tuple[int, timedelta]:
    """How long an event lasts: days of the wall clock, and elapsed time behind them.

    RFC 5545, section 3.8.5.3: every occurrence of an event with DTEND lasts as long in elapsed
    time as the first; with DURATION, days and weeks are those of the wall clock.
    """
    end, duration = reader.moment(part, "DTEND"), part.one("DURATION")
    if end is not None and duration is not None:
        raise CalendarError(duration.line, "both DTEND and DURATION are given; keep one of them")
    if end is not None:
        if end.is_day != start.is_day:
            fact = "one of DTSTART and DTEND is a day and the other a time"
            raise CalendarError(part.line, f"{fact}; make both the same")
        if start.is_day:
            days, length = (end.wall - start.wall).days, timedelta()
        else:
            days = 0
            length = end.wall.replace(tzinfo=end.zone).astimezone(UTC) - start.wall.replace(
                tzinfo=start.zone
            ).astimezone(UTC)
    elif duration is not None:
        days, length = _duration(duration)
    elif start.is_day:
        days, length = 1, timedelta()
    else:
        raise CalendarError(part.line, "an event without end; give it DTEND or DURATION")
    if timedelta(days=days) + length <= timedelta():
        raise CalendarError(part.line, "an event that ends before it has begun; correct its end")
    if timedelta(days=days) + length > timedelta(days=366):
        raise CalendarError(part.line, "an event of over 366 days; shorten it")
    if start.is_day and length:
        fact = "an event of whole days that lasts hours"
        raise CalendarError(part.line, f"{fact}; give DTSTART a time, or the event whole days")
    return days, length


def _duration(line: Property) -> tuple[int, timedelta]:
    text = line.value.strip()
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()[1:]) or match[1] == "-":
        raise CalendarError(line.line, f"{shown(text)} is no length of time; write it like PT4H")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    return weeks * 7 + days, timedelta(hours=hours, minutes=minutes, seconds=seconds)
