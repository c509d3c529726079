"""Hijri dates of civil days, as a window with its sightings counts them."""

from __future__ import annotations

from datetime import date, timedelta

from hijridate import Hijri as HijriDate

from enforcer.policy.model import Hijri
from enforcer.schedule.hijri import HijriDay, hijri_day
from enforcer.schedule.spans import Span
from tests.schedule.windows_by_hand import UTC, told, utc

DAY = timedelta(days=1)


def test_every_day_of_a_window_is_called_by_its_declared_date() -> None:
    form = Hijri(1, 9, 2, 360, 1320, ((1448, 1), (1450, -2)))
    found = told(form, UTC, utc(2026, 1, 1), utc(2030, 1, 1))
    days = [hijri_day(form, s.starts_at.date()) for s in found if isinstance(s, Span)]
    assert days == [HijriDay(y, 1, d) for y in (1448, 1449, 1450, 1451) for d in (9, 10)]


def test_without_sightings_it_is_the_published_date() -> None:
    form = Hijri(1, 1, 1, 360, 1320)
    for year in range(1440, 1461):
        for month in range(1, 13):
            begins = HijriDate(year, month, 1).to_gregorian()
            assert hijri_day(form, begins) == HijriDay(year, month, 1)
            before = hijri_day(form, begins - DAY)
            assert before is not None
            assert before.day in {29, 30}


def test_the_first_day_of_a_year_sighted_later_is_not_one_of_the_year_before() -> None:
    form = Hijri(1, 1, 1, 360, 1320, ((1448, 2),))
    first = HijriDate(1448, 1, 1).to_gregorian()
    assert hijri_day(form, first + 2 * DAY) == HijriDay(1448, 1, 1)


def test_days_outside_of_the_table_have_no_hijri_date() -> None:
    assert hijri_day(Hijri(1, 1, 1, 360, 1320), date(2099, 1, 1)) is None
