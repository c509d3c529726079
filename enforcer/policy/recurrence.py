"""Recurrence rules of RFC 5545, section 3.3.10: text → `Rule` → wall times.

A rule and its first wall time come in, naive wall times go out; zones are `schedule`'s. A walk may
begin anywhere in time at the same cost, and it is bounded: a rule without occurrences ends at
`LAST_WALL` (why not dateutil: docs/decisions/0006).
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import count as counting
from itertools import islice

from enforcer.policy.words import pick, shown

# So many days are looked at for all rules of a configuration, some seconds of work: what takes
# longer would keep the daemon from its windows.
MOST_DAYS = 1_000_000
# Policy accepts no year after 2199.
LAST_WALL = datetime(2200, 1, 1)  # noqa: DTZ001  (a wall clock has no zone)
DAY = timedelta(days=1)

WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAYS = "|".join(WEEKDAYS)
_NUMBERS = r"[+-]?[1-9]\d{0,2}(,[+-]?[1-9]\d{0,2})*"
# Parts below a day are left out: nobody declares a window every second.
_PARTS = {
    "FREQ": r"YEARLY|MONTHLY|WEEKLY|DAILY",
    "UNTIL": r"\d{8}(T\d{6}Z?)?",
    "COUNT": r"[1-9]\d{0,4}",
    "INTERVAL": r"[1-9]\d{0,3}",
    "BYDAY": rf"([+-]?[1-9]\d?)?({_DAYS})(,([+-]?[1-9]\d?)?({_DAYS}))*",
    "BYMONTHDAY": _NUMBERS,
    "BYYEARDAY": _NUMBERS,
    "BYWEEKNO": _NUMBERS,
    "BYMONTH": r"[1-9]\d?(,[1-9]\d?)*",
    "BYSETPOS": _NUMBERS,
    "WKST": _DAYS,
}
_MOST = {"BYMONTHDAY": 31, "BYYEARDAY": 366, "BYWEEKNO": 53, "BYMONTH": 12, "BYSETPOS": 366}
_HINTS = {
    "FREQ": "write YEARLY, MONTHLY, WEEKLY or DAILY",
    "BYDAY": "write days like SU, or 1SU for the first Sunday",
    "UNTIL": "write it like 20271231T235959Z",
}
# RFC 5545 gives these parts a meaning with some frequencies only.
_ONLY_WITH = {
    "BYWEEKNO": ("YEARLY",),
    "BYYEARDAY": ("YEARLY",),
    "BYMONTHDAY": ("YEARLY", "MONTHLY", "DAILY"),
    "BYSETPOS": ("YEARLY", "MONTHLY", "WEEKLY"),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule whose defaults are filled in from its start. Numbers as in the RFC, -1 is the last.

    `days` are (ordinal, weekday), ordinal 0 for every one; weekdays count from Monday = 0.
    """

    freq: str
    interval: int = 1
    months: frozenset[int] = frozenset()
    month_days: frozenset[int] = frozenset()
    year_days: frozenset[int] = frozenset()
    weeks: frozenset[int] = frozenset()
    days: tuple[tuple[int, int], ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0


@dataclass(frozen=True, slots=True)
class Until:
    """The last moment of a rule: a wall time, or with `utc` the wall clock of UTC."""

    wall: datetime
    utc: bool


class Budget:
    """How many days may yet be looked at in search of occurrences."""

    def __init__(self, days: int = MOST_DAYS) -> None:
        self.left = days

    def spend(self, days: int) -> None:
        """Raises ValueError when nothing is left."""
        self.left -= days
        if self.left < 0:
            fact = f"the rules up to this one take a look at over {MOST_DAYS:,} days"
            raise ValueError(f"{fact}; write UNTIL in place of COUNT, or take rules out")


def check_rrule(text: str) -> str:
    """`text` in canonical case, when its parts are of RFC 5545. Raises ValueError."""
    parts: dict[str, str] = {}
    for part in text.upper().removeprefix("RRULE:").split(";"):
        key, equals, value = part.partition("=")
        if not equals or key not in _PARTS:
            raise ValueError(f"{shown(part)} is no part of an rrule; {pick(key, _PARTS, '')}")
        if key in parts:
            raise ValueError(f"{key} is given twice; remove one")
        fact = f"{shown(part)} is not valid in an rrule"
        if not re.fullmatch(_PARTS[key], value, re.ASCII):
            raise ValueError(f"{fact}; {_HINTS.get(key, 'see RFC 5545, section 3.3.10')}")
        most = _MOST.get(key)
        if most and any(abs(int(number)) > most for number in value.split(",")):
            raise ValueError(f"{fact}; write numbers of at most {most}")
        parts[key] = value
    if "FREQ" not in parts:
        raise ValueError("has no FREQ; write it like FREQ=MONTHLY;BYDAY=1SU")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("has both COUNT and UNTIL; keep one of the two")
    _check_meaning(parts)
    canonical = ";".join(f"{key}={value}" for key, value in parts.items())
    until_of(canonical)
    return canonical


def _check_meaning(parts: dict[str, str]) -> None:
    freq = parts["FREQ"]
    for key, frequencies in _ONLY_WITH.items():
        if key in parts and freq not in frequencies:
            raise ValueError(f"{key} has no meaning with FREQ={freq}; remove it")
    numbered = bool(re.search(r"\d", parts.get("BYDAY", "")))
    if numbered and (freq not in {"YEARLY", "MONTHLY"} or "BYWEEKNO" in parts):
        fact = f"{shown('BYDAY=' + parts['BYDAY'])} numbers days of a month or year"
        raise ValueError(f"{fact}; use it with FREQ=MONTHLY or YEARLY, and without BYWEEKNO")
    if "BYWEEKNO" in parts and "BYDAY" not in parts:
        raise ValueError("BYWEEKNO says not which days of the week; add BYDAY")
    chooses = any(key.startswith("BY") and key != "BYSETPOS" for key in parts)
    if "BYSETPOS" in parts and not chooses:
        raise ValueError("BYSETPOS has nothing to choose from; add another part like BYDAY")


def _parts(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(";"))


def until_of(text: str) -> Until | None:
    """The UNTIL of a rule; a day alone is meant to its end. Raises ValueError."""
    value = _parts(text).get("UNTIL")
    if value is None:
        return None
    digits = value.replace("T", "").rstrip("Z").ljust(14, "0")
    fields = [int(digits[:4]), *(int(digits[n : n + 2]) for n in range(4, 14, 2))]
    try:
        wall = datetime(*fields)  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError as error:
        fact = f"{shown('UNTIL=' + value)} is not in the calendar: {error}"
        raise ValueError(f"{fact}; {_HINTS['UNTIL']}") from None
    if "T" not in value:
        wall += DAY - timedelta(seconds=1)
    return Until(wall, value.endswith("Z"))


def parse_rule(text: str, start: datetime) -> Rule:
    """A rule that `check_rrule` has passed, its defaults taken from the wall time `start`."""
    parts = _parts(text)

    def numbers(key: str) -> frozenset[int]:
        return frozenset(int(n) for n in parts[key].split(",")) if key in parts else frozenset()

    days = tuple(
        (int(day[:-2] or 0), WEEKDAYS.index(day[-2:]))
        for day in parts.get("BYDAY", "").split(",")
        if day
    )
    rule = Rule(
        parts["FREQ"],
        int(parts.get("INTERVAL", 1)),
        numbers("BYMONTH"),
        numbers("BYMONTHDAY"),
        numbers("BYYEARDAY"),
        numbers("BYWEEKNO"),
        days,
        tuple(sorted(numbers("BYSETPOS"))),
        WEEKDAYS.index(parts.get("WKST", "MO")),
    )
    if rule.month_days or rule.year_days or rule.days or rule.freq == "DAILY":
        return rule
    if rule.freq == "WEEKLY":
        return replace(rule, days=((0, start.weekday()),))
    if rule.freq == "YEARLY" and not rule.months:
        rule = replace(rule, months=frozenset({start.month}))
    return replace(rule, month_days=frozenset({start.day}))


def last_wall(
    text: str, start: datetime, zone: tzinfo = UTC, budget: Budget | None = None
) -> datetime | None:
    """The last wall time that COUNT or UNTIL lets a rule have, in `zone`; None without them.

    A later walk then has to count nothing. None as well for COUNT of a rule that never happens.
    Raises ValueError when counting takes more than the `budget`.
    """
    until = until_of(text)
    if until is not None:
        if not until.utc:
            return until.wall
        return until.wall.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    count = _parts(text).get("COUNT")
    if count is None:
        return None
    rule = parse_rule(text, start)
    days = _days_to(rule, start.date(), int(count) - 1)
    if days is None:
        return _last(islice(walls(rule, start, start, budget=budget), int(count)))
    if start.toordinal() + days < LAST_WALL.toordinal():
        return start + days * DAY
    # Beyond the end of time: the last one before it, within two periods of it.
    return _last(walls(rule, start, LAST_WALL - (7 * rule.interval + 7) * DAY))


def _last(every: Iterator[datetime]) -> datetime | None:
    found = None
    for wall in every:
        found = wall
    return found


def _days_to(rule: Rule, start: date, number: int) -> int | None:
    """How many days after `start` the occurrence `number` (from 0) is, where that is arithmetic;
    None where the days have to be looked at.
    """
    if rule.months or rule.month_days or rule.year_days or rule.weeks or rule.positions:
        return None
    if rule.freq == "DAILY" and not rule.days:
        return number * rule.interval
    if rule.freq != "WEEKLY" and not (rule.freq == "DAILY" and rule.interval == 1):
        return None
    begins = (start.weekday() - rule.week_start) % 7
    offsets = sorted({(weekday - rule.week_start) % 7 for _, weekday in rule.days})
    # In the week of the start only the days from it on.
    gone = sum(offset < begins for offset in offsets)
    week, day = divmod(number + gone, len(offsets))
    return week * 7 * rule.interval + offsets[day] - begins


def walls(
    rule: Rule,
    start: datetime,
    after: datetime,
    before: datetime = LAST_WALL,
    budget: Budget | None = None,
) -> Iterator[datetime]:
    """The wall times of `rule` from `start` on with `after` <= t < `before`, in order.

    COUNT and UNTIL are not looked at: `last_wall` tells where they end. Raises ValueError when more
    days than the `budget` has are looked at.
    """
    after = max(start, after)
    before = min(before, LAST_WALL)
    if after >= before:
        return
    time = start.time()
    periods = _PERIODS[rule.freq](rule, start.date(), after.date())
    wanted = _day_filter(rule)
    for first, length in periods:
        if first > before.date():
            return
        days = list(_candidates(rule, first, length))
        if budget is not None:
            budget.spend(len(days))
        days = [day for day in days if wanted(day)]
        if rule.positions:
            days = _at_positions(days, rule.positions)
        for day in days:
            wall = datetime.combine(day, time)
            if wall >= before:
                return
            if wall >= after:
                yield wall


def _candidates(rule: Rule, first: date, length: int) -> Iterator[date]:
    """The days of a period; of a year those of the rule's months, which saves most of the work."""
    if rule.freq != "YEARLY" or not rule.months:
        yield from (first + n * DAY for n in range(length))
        return
    for month in sorted(rule.months):
        begins = date(first.year, month, 1)
        yield from (begins + n * DAY for n in range(_length_of_month(begins)))


def _at_positions(days: list[date], positions: tuple[int, ...]) -> list[date]:
    size = len(days)
    indices = {p - 1 if p > 0 else size + p for p in positions}
    return [days[n] for n in sorted(indices) if 0 <= n < size]


# --- periods: (first day, number of days), from the one that holds `after` on ---------------------

Period = tuple[date, int]


def _daily(rule: Rule, start: date, after: date) -> Iterator[Period]:
    skipped = (after - start).days // rule.interval
    for n in counting(skipped):
        yield start + n * rule.interval * DAY, 1


def _weekly(rule: Rule, start: date, after: date) -> Iterator[Period]:
    monday = start - (start.weekday() - rule.week_start) % 7 * DAY
    skipped = (after - monday).days // (7 * rule.interval)
    for n in counting(skipped):
        yield monday + 7 * n * rule.interval * DAY, 7


def _monthly(rule: Rule, start: date, after: date) -> Iterator[Period]:
    base = start.year * 12 + start.month - 1
    skipped = (after.year * 12 + after.month - 1 - base) // rule.interval
    for n in counting(skipped):
        year, month = divmod(base + n * rule.interval, 12)
        yield date(year, month + 1, 1), monthrange(year, month + 1)[1]


def _yearly(rule: Rule, start: date, after: date) -> Iterator[Period]:
    skipped = (after.year - start.year) // rule.interval
    for n in counting(skipped):
        year = start.year + n * rule.interval
        if year >= LAST_WALL.year:
            return
        yield date(year, 1, 1), _days_in(year)


_PERIODS: dict[str, Callable[[Rule, date, date], Iterator[Period]]] = {
    "DAILY": _daily,
    "WEEKLY": _weekly,
    "MONTHLY": _monthly,
    "YEARLY": _yearly,
}


# --- which days of a period -----------------------------------------------------------------------


def _days_in(year: int) -> int:
    return 366 if monthrange(year, 2)[1] == 29 else 365


def _day_filter(rule: Rule) -> Callable[[date], bool]:
    """Every part of a rule must be satisfied by a day: at the grain of days all of them filter."""
    tests: list[Callable[[date], bool]] = []
    if rule.months:
        tests.append(lambda day: day.month in rule.months)
    if rule.month_days:
        tests.append(lambda day: _either_end(day.day, _length_of_month(day), rule.month_days))
    if rule.year_days:
        tests.append(lambda day: _either_end(_year_day(day), _days_in(day.year), rule.year_days))
    if rule.weeks:
        tests.append(lambda day: _either_end(*_week(day, rule.week_start), rule.weeks))
    if rule.days:
        tests.append(_weekday_test(rule))
    return lambda day: all(test(day) for test in tests)


def _either_end(number: int, size: int, wanted: frozenset[int]) -> bool:
    return number in wanted or number - size - 1 in wanted


def _length_of_month(day: date) -> int:
    return monthrange(day.year, day.month)[1]


def _year_day(day: date) -> int:
    return day.timetuple().tm_yday


def _week(day: date, week_start: int) -> tuple[int, int]:
    """The number of a day's week and how many its year has: a week is of its fourth day's year."""
    fourth = day - ((day.weekday() - week_start) % 7 - 3) * DAY
    # The week that holds 28 December is always the last of its year.
    end = date(fourth.year, 12, 28)
    last = end - ((end.weekday() - week_start) % 7 - 3) * DAY
    return (_year_day(fourth) + 6) // 7, (_year_day(last) + 6) // 7


def _weekday_test(rule: Rule) -> Callable[[date], bool]:
    plain = frozenset(weekday for ordinal, weekday in rule.days if not ordinal)
    numbered = frozenset(entry for entry in rule.days if entry[0])
    of_year = rule.freq == "YEARLY" and not rule.months

    def test(day: date) -> bool:
        weekday = day.weekday()
        if weekday in plain:
            return True
        if not numbered:
            return False
        number = _year_day(day) if of_year else day.day
        size = _days_in(day.year) if of_year else _length_of_month(day)
        from_start, from_end = (number + 6) // 7, -((size - number) // 7 + 1)
        return (from_start, weekday) in numbered or (from_end, weekday) in numbered

    return test
