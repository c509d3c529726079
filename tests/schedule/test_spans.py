"""Every form as instants: against oracles that ask the clock of a zone, and edge by edge."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hijridate import Gregorian
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.policy.model import Calendar as CalendarForm
from enforcer.policy.model import Event, Hijri, Once, Recurring
from enforcer.schedule.spans import Span, Unclear, spans
from tests.schedule.windows_by_hand import ZONES, instants, shown_at, told, utc, wall, window

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BERLIN, KARACHI = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Karachi")

# --- recurring, against dateutil's walk and the clock itself --------------------------------------

RULES = (
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=WEEKLY;BYDAY=MO,SU",
    "FREQ=WEEKLY;INTERVAL=2",
    "FREQ=MONTHLY;BYDAY=-1SU",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=YEARLY;BYMONTH=3,10;BYDAY=-1SU",
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29",
    "FREQ=YEARLY",
)
STARTS = st.tuples(st.dates(date(2001, 1, 1), date(2045, 12, 31)), st.integers(0, 95)).map(
    lambda pair: datetime.combine(pair[0], datetime.min.time()) + pair[1] * timedelta(minutes=15)
)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(RULES), STARTS, st.sampled_from(ZONES), st.integers(1, 40))
def test_occurrences_keep_their_wall_time_and_no_unclear_one_is_guessed(
    rule: str, start: datetime, name: str, quarters: int
) -> None:
    zone, duration = ZoneInfo(name), quarters * timedelta(minutes=15)
    until = start + timedelta(days=450)
    # The end is given by walls, far enough from both edges of what is asked for.
    expected: list[tuple[datetime, ...]] = []
    for found in takewhile(lambda w: w < until, rrulestr(rule, dtstart=start)):
        at = shown_at(found, zone)
        expected.append((at[0], at[0] + duration) if len(at) == 1 else (found,))
    form = Recurring(rule, start, duration, last=until - timedelta(seconds=1))
    got = [(t.starts_at, t.ends_at) if isinstance(t, Span) else (t.wall,) for t in told(form, zone)]
    assert got == expected


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(RULES), STARTS, st.sampled_from(ZONES), st.sampled_from([0, 1]))
def test_fold_says_which_clock_reads_an_unclear_time(
    rule: str, start: datetime, name: str, fold: int
) -> None:
    zone = ZoneInfo(name)
    until = start + timedelta(days=450)
    form = Recurring(rule, start, HOUR, fold=fold, last=until - timedelta(seconds=1))
    found = told(form, zone)
    walls = list(takewhile(lambda w: w < until, rrulestr(rule, dtstart=start)))
    assert len(found) == len(walls)
    for span, moment in zip(found, walls, strict=True):
        at = shown_at(moment, zone)
        if at:
            assert span.starts_at == at[-1 if fold else 0]
        else:
            # A time that clocks skip is read by the clock before the change (0) or after it (1).
            shift = span.starts_at.astimezone(zone).replace(tzinfo=None) - moment
            assert (shift < timedelta()) == bool(fold)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(RULES), STARTS, st.sampled_from(ZONES), st.integers(0, 900), st.integers(1, 90)
)
def test_what_is_asked_for_is_what_shares_an_instant_with_it(
    rule: str, start: datetime, name: str, skip: int, length: int
) -> None:
    zone = ZoneInfo(name)
    only = window(Recurring(rule, start, 5 * HOUR, fold=0), zone)
    after = start.replace(tzinfo=ZoneInfo("UTC")) + skip * timedelta(hours=13)
    before = after + length * timedelta(hours=7)
    wide = spans(only, after - 40 * DAY, before + 40 * DAY)
    assert list(spans(only, after, before)) == [
        s for s in wide if isinstance(s, Span) and s.starts_at < before and s.ends_at > after
    ]


# --- recurring, edge by edge ----------------------------------------------------------------------


def test_a_recurring_window_keeps_its_wall_time_when_clocks_change() -> None:
    form = Recurring("FREQ=DAILY", wall(2026, 3, 28, 6), HOUR, last=wall(2026, 3, 30, 6))
    assert [start for start, _ in instants(form, BERLIN)] == [
        utc(2026, 3, 28, 5),
        utc(2026, 3, 29, 4),
        utc(2026, 3, 30, 4),
    ]


def test_a_duration_is_elapsed_time_also_over_a_change_of_clocks() -> None:
    form = Recurring("FREQ=DAILY", wall(2026, 10, 24, 22), 8 * HOUR, last=wall(2026, 10, 24, 22))
    assert instants(form, BERLIN) == [(utc(2026, 10, 24, 20), utc(2026, 10, 25, 4))]


def test_a_time_that_clocks_skip_is_unclear() -> None:
    form = Recurring("FREQ=DAILY", wall(2026, 3, 28, 2, 30), HOUR, last=wall(2026, 3, 30, 2, 30))
    found = told(form, BERLIN)
    assert [type(entry) for entry in found] == [Span, Unclear, Span]
    assert found[1] == Unclear(utc(2026, 3, 29, 1, 30), wall(2026, 3, 29, 2, 30), BERLIN, False)


def test_a_time_that_comes_twice_is_unclear() -> None:
    form = Recurring("FREQ=WEEKLY", wall(2026, 10, 25, 2, 30), HOUR, last=wall(2026, 10, 25, 2, 30))
    assert told(form, BERLIN) == [
        Unclear(utc(2026, 10, 25, 0, 30), wall(2026, 10, 25, 2, 30), BERLIN, True)
    ]


def test_a_window_crosses_midnight_month_and_year() -> None:
    form = Recurring("FREQ=MONTHLY;BYMONTHDAY=-1", wall(2026, 12, 31, 23), 2 * HOUR)
    first, second = instants(form, KARACHI)[:2]
    assert first == (utc(2026, 12, 31, 18), utc(2026, 12, 31, 20))
    assert second == (utc(2027, 1, 31, 18), utc(2027, 1, 31, 20))


def test_rules_of_a_zone_that_changed_are_followed() -> None:
    # Tehran gave summer time up in September 2022; Cairo took it up again in April 2023.
    noon = "FREQ=YEARLY;BYMONTH=7;BYMONTHDAY=1"
    tehran = Recurring(noon, wall(2022, 7, 1, 12), HOUR, last=wall(2023, 7, 1, 12))
    assert [s for s, _ in instants(tehran, ZoneInfo("Asia/Tehran"))] == [
        utc(2022, 7, 1, 7, 30),
        utc(2023, 7, 1, 8, 30),
    ]
    cairo = Recurring(noon, wall(2022, 7, 1, 12), HOUR, last=wall(2023, 7, 1, 12))
    assert [s for s, _ in instants(cairo, ZoneInfo("Africa/Cairo"))] == [
        utc(2022, 7, 1, 10),
        utc(2023, 7, 1, 9),
    ]


def test_a_zone_with_half_hours_and_one_with_half_an_hour_of_summer_time() -> None:
    once = Recurring("FREQ=DAILY", wall(2026, 1, 1, 0), HOUR, last=wall(2026, 1, 1, 0))
    assert instants(once, ZoneInfo("Asia/Kolkata"))[0][0] == utc(2025, 12, 31, 18, 30)
    assert instants(once, ZoneInfo("Asia/Kathmandu"))[0][0] == utc(2025, 12, 31, 18, 15)
    assert instants(once, ZoneInfo("Australia/Lord_Howe"))[0][0] == utc(2025, 12, 31, 13)


def test_excepted_occurrences_are_left_out() -> None:
    start = wall(2026, 12, 1, 2)
    form = Recurring("FREQ=DAILY", start, HOUR, (start + DAY,), last=start + 2 * DAY)
    assert [s.day for s, _ in instants(form)] == [1, 3]


def test_a_window_declared_once_is_one_span() -> None:
    form = Once(utc(2026, 12, 1, 8), utc(2026, 12, 1, 9))
    assert instants(form) == [(utc(2026, 12, 1, 8), utc(2026, 12, 1, 9))]


# --- Hijri, against hijridate's table read the other way round ------------------------------------


def umm_al_qura() -> dict[date, tuple[int, int, int]]:
    """Every day of 1440 to 1460 AH and a little around, by its Hijri date."""
    day, every = date(2018, 8, 1), {}
    while day < date(2039, 3, 1):
        every[day] = Gregorian(day.year, day.month, day.day).to_hijri().datetuple()
        day += DAY
    return every


TABLE = umm_al_qura()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12),
    st.integers(1, 30),
    st.integers(1, 5),
    st.dictionaries(st.integers(1440, 1460), st.integers(-2, 2), max_size=8),
)
def test_hijri_days_are_those_of_the_published_table(
    month: int, day: int, days: int, sighting: dict[int, int]
) -> None:
    expected = [
        first + (sighting.get(year, 0) + n) * DAY
        for first, (year, m, d) in TABLE.items()
        if (m, d) == (month, day) and 1440 <= year <= 1460
        for n in range(days)
    ]
    form = Hijri(month, day, days, 6 * 60, 22 * 60, tuple(sorted(sighting.items())))
    begin, end = min(expected), max(expected)
    found = [
        (s.starts_at.astimezone(KARACHI), s.ends_at.astimezone(KARACHI))
        for s in told(form, KARACHI, utc(begin.year, begin.month, begin.day), utc(2039, 3, 1))
        if isinstance(s, Span)
    ]
    inside = [pair for pair in found if begin <= pair[0].date() <= end]
    assert [start.date() for start, _ in inside] == expected
    assert {(s.hour, e.hour, e.date() == s.date()) for s, e in inside} == {(6, 22, True)}


def test_a_hijri_day_may_end_after_midnight() -> None:
    found = told(Hijri(9, 1, 2, 18 * 60, 3 * 60), KARACHI, utc(2026, 1, 1), utc(2026, 12, 31))
    assert [(s.starts_at, s.ends_at) for s in found if isinstance(s, Span)] == [
        (utc(2026, 2, 18, 13), utc(2026, 2, 18, 22)),
        (utc(2026, 2, 19, 13), utc(2026, 2, 19, 22)),
    ]


def test_a_sighting_moves_the_days_of_its_year_and_no_other() -> None:
    def days(*sighting: tuple[int, int]) -> list[date]:
        form = Hijri(1, 9, 2, 360, 1320, sighting)
        return [s.starts_at.date() for s in told(form, KARACHI, utc(2025, 1, 1), utc(2028, 1, 1))]

    plain, moved = days(), days((1448, 1))
    assert plain[:2] == moved[:2] == [date(2025, 7, 4), date(2025, 7, 5)]
    assert moved[2:4] == [day + DAY for day in plain[2:4]] == [date(2026, 6, 25), date(2026, 6, 26)]
    assert plain[4:] == moved[4:]


def test_the_30th_is_left_out_in_years_whose_month_has_29_days() -> None:
    long = [y for y in range(1440, 1461) if (y, 9, 30) in TABLE.values()]
    form = Hijri(9, 30, 1, 60, 120)
    found = told(form, ZoneInfo("UTC"), utc(2018, 9, 15), utc(2039, 2, 1))
    assert [TABLE[s.starts_at.date()][0] for s in found] == long
    assert 0 < len(long) < 21


def test_the_hijri_table_ends_with_1500_and_so_do_windows() -> None:
    found = told(Hijri(12, 29, 1, 60, 120), ZoneInfo("UTC"), utc(2075, 1, 1), utc(2290, 1, 1))
    assert [s.starts_at.year for s in found] == [2075, 2076, 2077]


def test_an_unclear_end_of_a_hijri_day_is_told_as_one() -> None:
    # 9 Shawwal 1447 is 28 March 2026: at 02:30 that night clocks in Berlin are set forward.
    found = told(Hijri(10, 9, 1, 22 * 60, 150), BERLIN, utc(2026, 3, 1), utc(2026, 4, 15))
    assert [(type(t), t.wall) for t in found if isinstance(t, Unclear)] == [
        (Unclear, wall(2026, 3, 29, 2, 30))
    ]


# --- calendar events ------------------------------------------------------------------------------


def calendar(*events: Event) -> CalendarForm:
    return CalendarForm("c.ics", None, events)


def test_a_whole_day_is_as_long_as_its_zone_makes_it() -> None:
    form = calendar(Event("", wall(2026, 3, 29), BERLIN, 1, timedelta(), True))
    assert instants(form) == [(utc(2026, 3, 28, 23), utc(2026, 3, 29, 22))]


def test_a_whole_day_begins_when_it_begins_though_clocks_skip_its_midnight() -> None:
    beirut = ZoneInfo("Asia/Beirut")
    form = calendar(Event("", wall(2026, 3, 29), beirut, 1, timedelta(), True))
    assert instants(form) == [(utc(2026, 3, 28, 22), utc(2026, 3, 29, 21))]


def test_a_day_that_never_was_holds_no_event() -> None:
    apia = ZoneInfo("Pacific/Apia")
    form = calendar(
        Event("", wall(2011, 12, 29), apia, 1, timedelta(), True, "FREQ=DAILY", wall(2011, 12, 31))
    )
    assert instants(form) == [
        (utc(2011, 12, 29, 10), utc(2011, 12, 30, 10)),
        (utc(2011, 12, 30, 10), utc(2011, 12, 31, 10)),
    ]


def test_days_of_a_duration_are_wall_days_and_its_hours_elapsed() -> None:
    form = calendar(Event("", wall(2026, 3, 28, 12), BERLIN, 1, HOUR))
    assert instants(form) == [(utc(2026, 3, 28, 11), utc(2026, 3, 29, 11))]


def test_rdates_come_in_order_and_once() -> None:
    start = wall(2026, 12, 1, 8)
    event = Event(
        "", start, KARACHI, 0, HOUR, False, "FREQ=DAILY", start + 3 * DAY,
        (start + 5 * HOUR, start + DAY, start - DAY), frozenset({start + 2 * DAY}),
    )  # fmt: skip
    assert [s.astimezone(KARACHI).replace(tzinfo=None) for s, _ in instants(calendar(event))] == [
        start - DAY, start, start + 5 * HOUR, start + DAY, start + 3 * DAY,
    ]  # fmt: skip


@pytest.mark.parametrize("fold", [0, 1])
def test_fold_is_for_events_too(fold: int) -> None:
    event = Event("", wall(2026, 10, 25, 2, 30), BERLIN, 0, HOUR)
    assert instants(CalendarForm("c.ics", None, (event,), fold))[0][0] == utc(
        2026, 10, 25, fold, 30
    )
    assert told(calendar(event), BERLIN) == [
        Unclear(utc(2026, 10, 25, 0, 30), wall(2026, 10, 25, 2, 30), BERLIN, True)
    ]
