"""Times as they are written: durations, wall clocks, days, months → values.

Each parser takes what YAML gave and returns the value, or raises ValueError with `fact; remedy`.
A wall clock becomes an instant only in `zones`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from enforcer.policy.values import kind_of, text_of
from enforcer.policy.words import pick, shown

LONGEST_DURATION = timedelta(days=366)

_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_DURATION_FORMS = "write it like 90s, 10m, 72h, 2d or 1h30m"


def duration(value: Any) -> timedelta:
    """`1h30m` as a timedelta, over zero and at most 366 days."""
    text = text_of(value, "a number with its unit, like 90s, 10m, 72h or 2d")
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise ValueError(f"{shown(text)} is not a duration; {_DURATION_FORMS}")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise ValueError(f"{text} lasts no time at all; {_DURATION_FORMS}")
    if length > LONGEST_DURATION:
        raise ValueError(f"{text} is over 366 days; write a shorter one")
    return length


def saved_instant(value: object) -> datetime:
    """An instant as we write it ourselves, on the disk or on a wire: ISO 8601 with an offset, in
    UTC. A program wrote it, so there is no remedy: it is ValueError, and the whole is spoilt.
    """
    instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    if instant is None or instant.tzinfo is None:
        raise ValueError(f"{shown(value)} is no instant with an offset")
    return instant.astimezone(UTC)


def saved_or_none(value: object) -> datetime | None:
    """The same, where there may be none."""
    return None if value is None else saved_instant(value)


LEASE_SHORTEST, LEASE_LONGEST = timedelta(seconds=5), timedelta(hours=24)


def lease(value: Any) -> timedelta:
    """A lease: 5 s to 24 h."""
    length = duration(value)
    if not LEASE_SHORTEST <= length <= LEASE_LONGEST:
        raise ValueError(f"{value} is no lease; write one from 5s to 24h")
    return length


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time as written: the wall clock, and its offset when it carries one."""

    text: str
    wall: datetime
    offset: tzinfo | None


_TIME_FORMS = 'write it like "2026-12-01T08:00:00"'
_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d))?(?:(Z)|([+-])(\d\d):(\d\d))?", re.ASCII
)


def stamp(value: Any) -> Stamp:
    """An ISO 8601 time to the second, with or without offset; years 2000 to 2199."""
    text = text_of(value, 'a time in quotes, like "2026-12-01T08:00:00"')
    match = _STAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"{shown(text)} is not a time; {_TIME_FORMS}")
    wall = _wall(text, [int(part or 0) for part in match.groups()[:6]])
    if match[7]:
        return Stamp(text, wall, UTC)
    if match[8] is None:
        return Stamp(text, wall, None)
    hours, minutes = int(match[9]), int(match[10])
    if hours > 14 or minutes > 59:
        raise ValueError(f"{shown(text)} has no offset of a zone; write one like +05:00, or Z")
    length = timedelta(hours=hours, minutes=minutes) * (-1 if match[8] == "-" else 1)
    return Stamp(text, wall, timezone(length) if length else UTC)


_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)


def stamp_or_day(value: Any) -> Stamp:
    """A time, or a day alone: `wall` is then its midnight."""
    if isinstance(value, str) and (match := _DAY.fullmatch(value)):
        return Stamp(value, _wall(value, [*(int(part) for part in match.groups()), 0, 0, 0]), None)
    return stamp(value)


def _wall(text: str, parts: list[int]) -> datetime:
    try:
        wall = datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001  (a wall clock has no zone)
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not in the calendar: {error}; {_TIME_FORMS}") from None
    if not 2000 <= wall.year <= 2199:
        raise ValueError(f"the year {wall.year} is out of bounds; write one from 2000 to 2199")
    return wall


_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


def clock_minute(value: Any) -> int:
    """`"06:00"` as minutes since midnight."""
    text = text_of(value, 'a time of the day in quotes, like "06:00"')
    match = _CLOCK.fullmatch(text)
    if match is None:
        raise ValueError(f'{shown(text)} is not a time of the day; write it like "06:00"')
    return int(match[1]) * 60 + int(match[2])


MONTHS = (
    "Muharram",
    "Safar",
    "Rabi al-Awwal",
    "Rabi al-Thani",
    "Jumada al-Awwal",
    "Jumada al-Thani",
    "Rajab",
    "Shaban",
    "Ramadan",
    "Shawwal",
    "Dhu al-Qada",
    "Dhu al-Hijja",
)


def hijri_month(value: Any) -> int:
    """A month's name, or 1..12."""
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 12:
        return value
    known = {month.casefold(): number for number, month in enumerate(MONTHS, 1)}
    if isinstance(value, str):
        if value.casefold() in known:
            return known[value.casefold()]
        raise ValueError(f"{shown(value)} is not a month; {pick(value, MONTHS, '')}")
    raise ValueError(f"{kind_of(value)} is not a month; write its name, or 1 to 12")
