"""VTIMEZONE (RFC 5545, section 3.6.5) → a time zone, for calendars whose TZID no database knows.

A component comes in, a `RuleZone` goes out: every change of the clock up to the end of policy's
time is worked out once, so that a look-up is a search in a list. It reads no zone files.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo

from enforcer.policy.icallines import CalendarError, Component, Property
from enforcer.policy.recurrence import (
    LAST_WALL,
    Budget,
    check_rrule,
    last_wall,
    parse_rule,
    walls,
)
from enforcer.policy.words import shown

# Clocks before this do not concern windows, whose years begin with 2000.
_FIRST = datetime(1999, 1, 1)  # noqa: DTZ001
MOST_CHANGES = 5_000


@dataclass(frozen=True)
class RuleZone(tzinfo):
    """A zone made of its changes: `changes[i]` is the instant (naive, UTC) from which on
    `offsets[i + 1]` holds; `offsets[0]` holds before all of them.
    """

    name: str
    changes: tuple[datetime, ...]
    offsets: tuple[timedelta, ...]

    def __str__(self) -> str:
        return self.name

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        if moment is None:
            return None
        wall = moment.replace(tzinfo=None)
        # PEP 495: around a change fold 0 keeps to the clock before it, fold 1 to the one after.
        pick = min if moment.fold else max
        at = bisect_right(
            range(len(self.changes)),
            wall,
            key=lambda n: self.changes[n] + pick(self.offsets[n], self.offsets[n + 1]),
        )
        return self.offsets[at]

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return self.name

    def fromutc(self, moment: datetime) -> datetime:
        utc = moment.replace(tzinfo=None)
        at = bisect_right(self.changes, utc)
        wall = utc + self.offsets[at]
        lost = self.offsets[at - 1] - self.offsets[at] if at else timedelta()
        fold = int(bool(at) and utc - self.changes[at - 1] < lost)
        return wall.replace(tzinfo=self, fold=fold)


def read_zone(component: Component, budget: Budget) -> RuleZone:
    """Raises CalendarError."""
    name = component.one("TZID")
    observances = [part for part in component.parts if part.name in {"STANDARD", "DAYLIGHT"}]
    if name is None or not observances:
        fact = "a VTIMEZONE needs TZID, and STANDARD or DAYLIGHT"
        raise CalendarError(component.line, f"{fact}; export the file anew")
    changes = sorted(change for part in observances for change in _changes(part, budget))
    if len(changes) > MOST_CHANGES:
        fact = f"{shown(name.value)} changes its clocks {len(changes):,} times"
        raise CalendarError(component.line, f"{fact}; use a zone by its IANA name")
    before = changes[0][1]
    return RuleZone(
        name.value.strip(),
        tuple(instant for instant, _, _ in changes),
        (before, *(after for _, _, after in changes)),
    )


def _changes(part: Component, budget: Budget) -> Iterator[tuple[datetime, timedelta, timedelta]]:
    """(instant, offset before, offset after) of each time this observance begins."""
    before, after = (_offset(part, key) for key in ("TZOFFSETFROM", "TZOFFSETTO"))
    start_line = _needed(part, "DTSTART")
    start = _wall(start_line)
    onsets = {start}
    for line in part.all("RDATE"):
        onsets |= {_wall(line, text) for text in line.value.split(",")}
    for line in part.all("RRULE"):
        try:
            text = check_rrule(line.value.strip())
            # UNTIL is in UTC here, and the onset on the clock before it.
            last = last_wall(text, start, timezone(before), budget)
            end = LAST_WALL if last is None else min(last + timedelta(seconds=1), LAST_WALL)
            rule = parse_rule(text, start)
            onsets |= set(walls(rule, start, max(start, _FIRST), end, budget))
        except ValueError as error:
            raise CalendarError(line.line, str(error)) from None
    for onset in onsets:
        yield onset - before, before, after


def _needed(part: Component, name: str) -> Property:
    line = part.one(name)
    if line is None:
        raise CalendarError(part.line, f"{part.name} needs {name}; export the file anew")
    return line


def _wall(line: Property, text: str | None = None) -> datetime:
    value = (line.value if text is None else text).strip()
    match = _WALL.fullmatch(value)
    try:
        # From the first year of the calendar on: office programs begin their zones with 1601.
        if match is not None and "1582" < match[1] < "2200":
            return datetime(*(int(part) for part in match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        pass
    fact = f"{shown(value)} is not a wall time"
    raise CalendarError(line.line, f"{fact}; write it like 20261025T030000")


_WALL = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d)([0-5]\d)([0-5]\d)?", re.ASCII)


def _offset(part: Component, name: str) -> timedelta:
    line = _needed(part, name)
    match = _OFFSET.fullmatch(line.value.strip())
    if match is None or int(match[2]) > 15:
        fact = f"{shown(line.value)} is not an offset from UTC"
        raise CalendarError(line.line, f"{fact}; write it like +0500")
    length = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4] or 0))
    return -length if match[1] == "-" else length
