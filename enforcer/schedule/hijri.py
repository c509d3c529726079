"""Days of the Umm al-Qura calendar (published for 1343 to 1500 AH) → civil days, and back.

A Hijri form and wall times come in; midnights and Hijri dates go out. The table is hijridate's; a
month that was sighted otherwise is the operator's to say (`sighting`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from enforcer.policy.model import Hijri

DAY = timedelta(days=1)

_FIRST_YEAR, _LAST_YEAR = 1343, 1500
# The first day of 1343 AH, and the mean length of a Hijri year in days.
_EPOCH, _YEAR = datetime(1924, 8, 1), 354.367  # noqa: DTZ001


@dataclass(frozen=True, slots=True)
class HijriDay:
    year: int
    month: int
    day: int


def midnights(form: Hijri, after: datetime, before: datetime) -> Iterator[datetime]:
    """The days of `form` in order, from a little before the wall time `after` up to `before`.

    `day` of `month` in every year whose month has such a day, and the days that follow it.
    """
    # Imported by those who have such a window only.
    from hijridate import Hijri as HijriDate

    shifts = dict(form.sighting)
    around = _FIRST_YEAR + int((after - _EPOCH).days / _YEAR)
    for year in range(max(around - 1, _FIRST_YEAR), _LAST_YEAR + 1):
        begins = HijriDate(year, form.month, 1)
        midnight = datetime.combine(begins.to_gregorian(), datetime.min.time())
        if midnight > before:
            return
        if begins.month_length() < form.day:
            continue
        first = midnight + (form.day - 1 + shifts.get(year, 0)) * DAY
        yield from (first + n * DAY for n in range(form.days))


def hijri_day(form: Hijri, day: date) -> HijriDay | None:
    """The Hijri date of a civil day as the window counts it, its sightings included."""
    from hijridate import Gregorian

    shifts = dict(form.sighting)
    around = (day.year - 622) * 33 // 32
    for year in range(around - 3, around + 4):
        civil = day - shifts.get(year, 0) * DAY
        try:
            found = Gregorian(civil.year, civil.month, civil.day).to_hijri()
        except (OverflowError, ValueError):
            return None
        if found.year == year:
            return HijriDay(found.year, found.month, found.day)
    return None
