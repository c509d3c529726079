"""Recurrence rules against two oracles: dateutil's plain walk, and a naive one over every day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from itertools import islice, takewhile

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.policy.recurrence import (
    LAST_WALL,
    Budget,
    Until,
    check_rrule,
    last_wall,
    parse_rule,
    until_of,
    walls,
)
from tests.examples import examples

YEARS = timedelta(days=366 * 8)


def wall(*fields: int) -> datetime:
    return datetime(*fields)  # type: ignore[arg-type]  # noqa: DTZ001


def numbers(most: int, *, negative: bool = True) -> st.SearchStrategy[str]:
    one = st.integers(1, most)
    if negative:
        one = one | st.integers(-most, -1)
    return st.lists(one, min_size=1, max_size=4).map(lambda ns: ",".join(map(str, ns)))


DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
PLAIN_DAYS = st.lists(st.sampled_from(DAYS), min_size=1, max_size=4, unique=True).map(",".join)
NUMBERED = st.tuples(st.sampled_from([1, 2, 3, 4, 5, -1, -2, -5]), st.sampled_from(DAYS)).map(
    lambda pair: f"{pair[0]}{pair[1]}"
)
NUMBERED_DAYS = st.lists(NUMBERED, min_size=1, max_size=3).map(",".join)


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Rules of every frequency and of every part that has a meaning with it."""
    freq = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = {"FREQ": freq}
    if draw(st.booleans()):
        parts["INTERVAL"] = str(draw(st.integers(1, 5)))
    if draw(st.booleans()):
        parts["BYMONTH"] = draw(numbers(12, negative=False))
    if freq != "WEEKLY" and draw(st.integers(0, 2)) == 0:
        parts["BYMONTHDAY"] = draw(numbers(31))
    if freq == "YEARLY" and draw(st.integers(0, 3)) == 0:
        parts["BYYEARDAY"] = draw(numbers(366))
    if freq == "YEARLY" and draw(st.integers(0, 3)) == 0:
        parts["BYWEEKNO"] = draw(numbers(53))
        parts["BYDAY"] = draw(PLAIN_DAYS)
    elif freq in {"MONTHLY", "YEARLY"} and draw(st.integers(0, 2)) == 0:
        parts["BYDAY"] = draw(NUMBERED_DAYS)
    elif draw(st.booleans()):
        parts["BYDAY"] = draw(PLAIN_DAYS)
    chooses = parts.keys() & {"BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYDAY"}
    if freq in {"MONTHLY", "YEARLY"} and chooses and draw(st.integers(0, 2)) == 0:
        parts["BYSETPOS"] = draw(numbers(6))
    if draw(st.integers(0, 2)) == 0:
        parts["WKST"] = draw(st.sampled_from(DAYS))
    return ";".join(f"{key}={value}" for key, value in parts.items())


STARTS = st.datetimes(wall(2000, 1, 1), wall(2040, 12, 31)).map(
    lambda start: start.replace(second=0, microsecond=0)
)


def by_dateutil(rule: str, start: datetime, until: datetime) -> list[datetime]:
    """The plain walk from the start. It ends only at a day found, or in the year 9999."""
    return list(takewhile(lambda w: w < until, rrulestr(rule, dtstart=start)))


@examples(60)
@given(rules(), STARTS)
def test_a_rule_gives_what_dateutils_plain_walk_gives(rule: str, start: datetime) -> None:
    until = start + YEARS
    ours = list(walls(parse_rule(check_rrule(rule), start), start, start, until))
    # dateutil forgets the last week of a year that runs into the next where weeks do not begin on
    # Monday: 2006-01-02 is the Monday of week 52 of 2005 when weeks begin on Tuesday.
    # And the first week of the next one where it is counted from the end: week -52 of 2003 begins
    # on 2002-12-30, as week 1 does.
    slips = "BYWEEKNO" in rule and "WKST" in rule and "WKST=MO" not in rule
    slips |= any(f"{sign}{week}" in rule for sign in ("=-", ",-") for week in (52, 53))
    if ours and not slips:
        assert ours == by_dateutil(rule, start, until)
    else:
        assert ours == by_naive_walk(rule, start, until)


def by_naive_walk(rule: str, start: datetime, until: datetime) -> list[datetime]:
    """Every day is asked, and its whole period is gathered anew for positions."""
    parts = dict(part.split("=") for part in rule.split(";"))
    found: list[datetime] = []
    day = start.date()
    while datetime.combine(day, start.time()) < until:
        if wanted(parts, start.date(), day):
            found.append(datetime.combine(day, start.time()))
        day += timedelta(days=1)
    return found


@cache
def days_of(year: int) -> list[date]:
    every = (date(year, 1, 1) + timedelta(days=n) for n in range(366))
    return [day for day in every if day.year == year]


def wanted(parts: dict[str, str], start: date, day: date) -> bool:
    if not satisfies(parts, start, day):
        return False
    if "BYSETPOS" not in parts:
        return True
    key = (lambda d: (d.year, d.month)) if parts["FREQ"] == "MONTHLY" else (lambda d: (d.year, 0))
    first = day.replace(day=1) if parts["FREQ"] == "MONTHLY" else day.replace(month=1, day=1)
    period = [d for n in range(366) if key(d := first + timedelta(days=n)) == key(day)]
    days = [d for d in period if satisfies(parts, start, d)]
    place = days.index(day)
    positions = {int(p) for p in parts["BYSETPOS"].split(",")}
    return place + 1 in positions or place - len(days) in positions


def satisfies(parts: dict[str, str], start: date, day: date) -> bool:
    freq, interval = parts["FREQ"], int(parts.get("INTERVAL", 1))
    week_start = DAYS.index(parts.get("WKST", "MO"))

    def week_of(d: date) -> date:
        while d.weekday() != week_start:
            d -= timedelta(days=1)
        return d

    apart = {
        "DAILY": (day - start).days,
        "WEEKLY": (week_of(day) - week_of(start)).days // 7,
        "MONTHLY": (day.year - start.year) * 12 + day.month - start.month,
        "YEARLY": day.year - start.year,
    }[freq]
    if apart % interval:
        return False
    year = days_of(day.year)
    month = [d for d in year if d.month == day.month]

    def among(days: list[date], key: str) -> bool:
        place = days.index(day)
        return bool({place + 1, place - len(days)} & {int(n) for n in parts[key].split(",")})

    checks = []
    if "BYMONTH" in parts:
        checks.append(str(day.month) in parts["BYMONTH"].split(","))
    if "BYMONTHDAY" in parts:
        checks.append(among(month, "BYMONTHDAY"))
    if "BYYEARDAY" in parts:
        checks.append(among(year, "BYYEARDAY"))
    if "BYWEEKNO" in parts:
        checks.append(in_week(day, week_of, parts["BYWEEKNO"]))
    if "BYDAY" in parts:
        scope = year if freq == "YEARLY" and "BYMONTH" not in parts else month
        same = [d for d in scope if d.weekday() == day.weekday()]
        name, place = DAYS[day.weekday()], same.index(day)
        names = {name, f"{place + 1}{name}", f"{place - len(same)}{name}"}
        checks.append(bool(names & set(parts["BYDAY"].split(","))))
    if not parts.keys() & {"BYMONTHDAY", "BYYEARDAY", "BYDAY"} and freq != "DAILY":
        checks.append(
            day.weekday() == start.weekday() if freq == "WEEKLY" else day.day == start.day
        )
        checks.append(freq != "YEARLY" or "BYMONTH" in parts or day.month == start.month)
    return all(checks)


def in_week(day: date, week_of: object, wanted_weeks: str) -> bool:
    """Week 1 is the first with four days in the year (RFC 5545, BYWEEKNO)."""
    assert callable(week_of)

    def first_week(year: int) -> date:
        begins: date = week_of(date(year, 1, 4))
        return begins

    own: date = week_of(day)
    year = next(y for y in (day.year + 1, day.year, day.year - 1) if first_week(y) <= own)
    number = (own - first_week(year)).days // 7 + 1
    weeks = (first_week(year + 1) - first_week(year)).days // 7
    return bool({number, number - weeks - 1} & {int(n) for n in wanted_weeks.split(",")})


@settings(max_examples=25, deadline=None)
@given(rules(), STARTS)
def test_a_rule_gives_what_asking_every_day_gives(rule: str, start: datetime) -> None:
    until = start + timedelta(days=800)
    ours = list(walls(parse_rule(rule, start), start, start, until))
    assert ours == by_naive_walk(rule, start, until)


@examples(60)
@given(rules(), STARTS, st.integers(0, 16_000), st.integers(0, 16_000))
def test_a_walk_may_begin_and_end_anywhere(
    rule: str, start: datetime, skip: int, length: int
) -> None:
    after = start + skip * timedelta(hours=6)
    before = after + length * timedelta(hours=6)
    whole = walls(parse_rule(rule, start), start, start, before + timedelta(days=400))
    assert list(walls(parse_rule(rule, start), start, after, before)) == [
        w for w in whole if after <= w < before
    ]


def test_a_rule_without_occurrences_ends() -> None:
    start = wall(2026, 1, 1, 2)
    for rule in ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"):
        assert list(walls(parse_rule(rule, start), start, start)) == []


def test_a_leap_day_comes_in_leap_years_only() -> None:
    start = wall(2024, 2, 29, 2)
    found = walls(parse_rule("FREQ=YEARLY", start), start, start, wall(2041, 1, 1))
    assert [w.year for w in found] == [2024, 2028, 2032, 2036, 2040]


def test_the_31st_is_left_out_where_a_month_has_none() -> None:
    start = wall(2026, 1, 31, 23)
    found = walls(parse_rule("FREQ=MONTHLY", start), start, start, wall(2027, 1, 1))
    assert [w.month for w in found] == [1, 3, 5, 7, 8, 10, 12]


def test_every_part_of_the_last_minute_of_a_year_stays_in_its_year() -> None:
    start = wall(2026, 12, 31, 23, 59)
    rule = "FREQ=MONTHLY;BYMONTHDAY=-1"
    found = list(walls(parse_rule(rule, start), start, start, wall(2027, 4, 1)))
    assert [(w.month, w.day) for w in found] == [(12, 31), (1, 31), (2, 28), (3, 31)]


@pytest.mark.parametrize(("week_start", "days"), [("MO", [5, 10, 19, 24]), ("SU", [5, 17, 19, 31])])
def test_every_second_week_depends_on_the_day_that_weeks_begin_with(
    week_start: str, days: list[int]
) -> None:
    # The example of RFC 5545, section 3.8.5.3, moved to a year whose days fall alike.
    rule, start = f"FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST={week_start}", wall(2025, 8, 5, 9)
    found = walls(parse_rule(rule, start), start, start, wall(2025, 9, 1))
    assert [w.day for w in found] == days


@examples(100)
@given(
    st.sampled_from(
        [
            "FREQ=DAILY",
            "FREQ=WEEKLY",
            "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR",
            "FREQ=WEEKLY;BYDAY=SU,TU",
            "FREQ=WEEKLY;BYDAY=SA,SU,MO;WKST=SU",
            "FREQ=WEEKLY;BYDAY=FR;WKST=FR",
        ]
    ),
    st.integers(1, 3) | st.just(9999),
    st.integers(1, 60) | st.integers(8_000, 99_999),
    st.integers(0, 400),
)
def test_the_end_that_is_arithmetic_is_that_of_the_walk(
    rule: str, interval: int, count: int, days: int
) -> None:
    start = wall(2186, 12, 25, 20) - days * timedelta(days=1)
    text = f"{rule};INTERVAL={interval};COUNT={count}"
    walked = list(islice(walls(parse_rule(text, start), start, start), count))
    budget = Budget(0) if "DAILY;BYDAY" not in rule or interval == 1 else Budget()
    assert last_wall(text, start, budget=budget) == (walked[-1] if walked else None)


def test_a_count_of_a_plain_rule_looks_at_no_day_and_another_one_has_a_budget() -> None:
    start = wall(2028, 2, 29, 2)
    assert last_wall("FREQ=DAILY;COUNT=99", start, budget=Budget(0)) == wall(2028, 6, 6, 2)
    assert last_wall("FREQ=DAILY;COUNT=99999", start, budget=Budget(0)) == wall(2199, 12, 31, 2)
    rule = "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29;COUNT=3"
    assert last_wall(rule, start, budget=Budget(2923)) == wall(2036, 2, 29, 2)
    with pytest.raises(ValueError, match="take a look at over 1,000,000 days; write UNTIL in"):
        last_wall(rule, start, budget=Budget(2922))


def test_count_is_told_once_and_for_all() -> None:
    start = wall(2026, 1, 31, 2)
    assert last_wall("FREQ=MONTHLY;COUNT=3", start) == wall(2026, 5, 31, 2)
    assert last_wall("FREQ=MONTHLY", start) is None
    assert last_wall("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=3", start) is None


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("20271231", Until(wall(2027, 12, 31, 23, 59, 59), False)),
        ("20271231T020000", Until(wall(2027, 12, 31, 2), False)),
        ("20271231T020000Z", Until(wall(2027, 12, 31, 2), True)),
    ],
)
def test_until_is_a_day_to_its_end_a_wall_time_or_an_instant(text: str, until: Until) -> None:
    assert until_of(f"FREQ=DAILY;UNTIL={text}") == until


@pytest.mark.parametrize(
    ("rule", "fact"),
    [
        ("FREQ=DAILY;UNTIL=20270231", '"UNTIL=20270231" is not in the calendar'),
        ("FREQ=HOURLY", '"FREQ=HOURLY" is not valid in an rrule'),
        ("FREQ=DAILY;BYHOUR=2", '"BYHOUR=2" is no part of an rrule'),
        ("FREQ=DAILY;COUNT=0", '"COUNT=0" is not valid'),
        ("FREQ=DAILY;INTERVAL=0", '"INTERVAL=0" is not valid'),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "has both COUNT and UNTIL"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ is given twice"),
        ("BYDAY=MO", "has no FREQ"),
        ("FREQ=MONTHLY;BYMONTH=13", '"BYMONTH=13" is not valid in an rrule; write numbers of at'),
        ("FREQ=MONTHLY;BYMONTHDAY=32", '"BYMONTHDAY=32" is not valid'),
        ("FREQ=WEEKLY;BYDAY=1MO", '"BYDAY=1MO" numbers days of a month or year'),
        ("FREQ=YEARLY;BYWEEKNO=1", "BYWEEKNO says not which days"),
        ("FREQ=MONTHLY;BYWEEKNO=1;BYDAY=MO", "BYWEEKNO has no meaning with FREQ=MONTHLY"),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY has no meaning with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS has nothing to choose from"),
        ("FREQ=DAILY;", '"" is no part of an rrule'),
    ],
)
def test_a_rule_that_means_nothing_is_refused(rule: str, fact: str) -> None:
    with pytest.raises(ValueError, match="; ") as refused:
        check_rrule(rule)
    assert str(refused.value).startswith(fact)


@pytest.mark.parametrize("freq", ["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
def test_the_longest_interval_leads_out_of_time_and_not_into_an_error(freq: str) -> None:
    start = wall(2026, 12, 31, 2)
    found = list(walls(parse_rule(f"FREQ={freq};INTERVAL=9999", start), start, start))
    assert found[0] == start
    assert found[-1] < LAST_WALL


def test_the_end_of_time_is_where_policy_ends() -> None:
    start = wall(2199, 12, 30, 2)
    assert list(walls(parse_rule("FREQ=DAILY", start), start, start)) == [
        start,
        start + timedelta(days=1),
    ]
    assert wall(2200, 1, 1) == LAST_WALL
