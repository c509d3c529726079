"""The time forms of a window: which keys make which form, and the form as a value.

Checked fields come in; `Timed` goes out, or None with the problems appended. The forms `rrule`,
`hijri` and `calendar` are read whole here and expanded in `schedule`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from enforcer.errors import Problem
from enforcer.policy.documents import WindowSection
from enforcer.policy.model import Calendar, Hijri, Once, Recurring, TimeForm
from enforcer.policy.places import Document, Path
from enforcer.policy.shape import Checked
from enforcer.policy.times import Stamp
from enforcer.policy.words import pick, shown
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
    "rrule": _Keys("a recurring window", ("rrule", "start", "duration", "timezone"), ("except",)),
    "hijri": _Keys("a Hijri window", ("hijri", "from", "to", "timezone"), ("sighting",)),
    "calendar": _Keys("a calendar window", ("calendar",), ("match", "timezone")),
}
TIME_KEYS = {key for keys in _FORMS.values() for key in (*keys.must, *keys.may)}


def read_form(
    document: Document,
    path: Path,
    checked: Checked[WindowSection],
    given: set[str],
    zones: Zones,
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
    form = Recurring(rule, section.start.wall, section.duration or timedelta(), left_out)
    return Timed(form, zone or UTC, section.timezone or "UTC")


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
    form = Hijri(days.month, days.day, days.days, section.from_, section.to, sighting)
    return Timed(form, zone or UTC, section.timezone or "UTC")


def _calendar(
    document: Document,
    path: Path,
    section: WindowSection,
    zone: tzinfo | None,
    problems: list[Problem],
) -> Timed | None:
    assert section.calendar is not None
    # Relative to the file that names it, kept relative to the configuration's folder.
    file = posixpath.normpath(posixpath.join(posixpath.dirname(document.file), section.calendar))
    form = Calendar(file, section.match)
    return Timed(form, zone or UTC, section.timezone or "UTC")


_READ: dict[
    str,
    Callable[
        [Document, Path, WindowSection, tzinfo | None, list[Problem]],
        Timed | None,
    ],
] = {"start": _once, "rrule": _recurring, "hijri": _hijri, "calendar": _calendar}

_NUMBERS = r"[+-]?[1-9]\d{0,2}(,[+-]?[1-9]\d{0,2})*"
# RFC 5545 section 3.3.10. Parts below a day are left out: nobody declares a window every second.
_RULE_PARTS = {
    "FREQ": r"YEARLY|MONTHLY|WEEKLY|DAILY",
    "UNTIL": r"\d{8}(T\d{6}Z?)?",
    "COUNT": r"[1-9]\d{0,4}",
    "INTERVAL": r"[1-9]\d{0,3}",
    "BYDAY": r"([+-]?[1-9]\d?)?(MO|TU|WE|TH|FR|SA|SU)(,([+-]?[1-9]\d?)?(MO|TU|WE|TH|FR|SA|SU))*",
    "BYMONTHDAY": _NUMBERS,
    "BYYEARDAY": _NUMBERS,
    "BYWEEKNO": _NUMBERS,
    "BYMONTH": r"[1-9]\d?(,[1-9]\d?)*",
    "BYSETPOS": _NUMBERS,
    "WKST": r"MO|TU|WE|TH|FR|SA|SU",
}


def check_rrule(rule: str) -> str:
    """`rule` in canonical case, when its parts are of RFC 5545. Raises ValueError."""
    parts: dict[str, str] = {}
    for part in rule.upper().removeprefix("RRULE:").split(";"):
        key, equals, value = part.partition("=")
        if not equals or key not in _RULE_PARTS:
            known = pick(key, _RULE_PARTS, "")
            raise ValueError(f"{shown(part)} is no part of an rrule; {known}")
        if key in parts:
            raise ValueError(f"{key} is given twice; remove one")
        if not re.fullmatch(_RULE_PARTS[key], value, re.ASCII):
            hint = _RULE_HINTS.get(key, "see RFC 5545, section 3.3.10")
            raise ValueError(f"{shown(part)} is not valid in an rrule; {hint}")
        parts[key] = value
    if "FREQ" not in parts:
        raise ValueError("has no FREQ; write it like FREQ=MONTHLY;BYDAY=1SU")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("has both COUNT and UNTIL; keep one of the two")
    return ";".join(f"{key}={value}" for key, value in parts.items())


_RULE_HINTS = {
    "FREQ": "write YEARLY, MONTHLY, WEEKLY or DAILY",
    "BYDAY": "write days like SU, or 1SU for the first Sunday",
    "UNTIL": "write it like 20271231T235959Z",
}


def hours(length: timedelta) -> str:
    """`96 h`, `96 h 30 min`: a length of time for messages."""
    minutes, seconds = divmod(round(length.total_seconds()), 60)
    parts = ((minutes // 60, "h"), (minutes % 60, "min"), (seconds, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
