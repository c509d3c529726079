"""A VTIMEZONE as a zone: the same clock as the IANA zone it was made from, folds and all."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.policy.icallines import CalendarError, read_components
from enforcer.policy.icalzones import RuleZone, read_zone
from enforcer.policy.recurrence import Budget
from enforcer.policy.zones import readings


def zone_of(text: str) -> RuleZone:
    (calendar,) = read_components(f"BEGIN:VCALENDAR\n{text}END:VCALENDAR\n".encode())
    return read_zone(calendar.parts[0], Budget())


def observance(kind: str, start: str, before: str, after: str, more: str = "") -> str:
    return (
        f"BEGIN:{kind}\nDTSTART:{start}\nTZOFFSETFROM:{before}\nTZOFFSETTO:{after}\n"
        f"{more}\nEND:{kind}\n"
    )


def yearly(month: int, day: str) -> str:
    return f"RRULE:FREQ=YEARLY;BYMONTH={month};BYDAY={day}"


# Of each zone what it has been since 2016, by the rules of RFC 5545: an onset is told on the clock
# before it. (icalendar 7.3 writes the clock after it, and is no oracle here.)
OBSERVANCES = {
    "Europe/Berlin": observance("STANDARD", "19961027T030000", "+0200", "+0100", yearly(10, "-1SU"))
    + observance("DAYLIGHT", "19810329T020000", "+0100", "+0200", yearly(3, "-1SU")),
    "America/New_York": observance(
        "DAYLIGHT", "20070311T020000", "-0500", "-0400", yearly(3, "2SU")
    )
    + observance("STANDARD", "20071104T020000", "-0400", "-0500", yearly(11, "1SU")),
    "Australia/Lord_Howe": observance(
        "STANDARD", "20080406T020000", "+1100", "+1030", yearly(4, "1SU")
    )
    + observance("DAYLIGHT", "20081005T020000", "+1030", "+1100", yearly(10, "1SU")),
    "Asia/Kolkata": observance("STANDARD", "19700101T000000", "+0530", "+0530"),
    "Asia/Tehran": observance(
        "DAYLIGHT",
        "20170322T000000",
        "+0330",
        "+0430",
        "RDATE:20180322T000000,20190322T000000,20200321T000000,20210322T000000,20220322T000000",
    )
    + observance(
        "STANDARD",
        "20160921T000000",
        "+0430",
        "+0330",
        "RDATE:20170922T000000,20180922T000000,20190922T000000,20200921T000000\n"
        "RDATE:20210922T000000,20220922T000000",
    ),
}
MADE = {
    name: zone_of(f"BEGIN:VTIMEZONE\nTZID:{name}\n{text}END:VTIMEZONE\n")
    for name, text in OBSERVANCES.items()
}
NAMES = tuple(OBSERVANCES)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.datetimes(datetime(2017, 1, 1), datetime(2034, 1, 1)),  # noqa: DTZ001
)
def test_a_zone_told_by_rules_shows_what_the_zone_itself_shows(name: str, at: datetime) -> None:
    ours, theirs = MADE[name], zoneinfo.ZoneInfo(name)
    instant = at.replace(tzinfo=UTC)
    here, there = instant.astimezone(ours), instant.astimezone(theirs)
    assert (here.replace(tzinfo=None), here.fold) == (there.replace(tzinfo=None), there.fold)
    assert here.astimezone(UTC) == instant
    assert readings(at, ours) == readings(at, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_around_every_change_both_read_the_clock_alike(name: str) -> None:
    ours, theirs = MADE[name], zoneinfo.ZoneInfo(name)
    for change in ours.changes:
        if not datetime(2017, 1, 1) < change < datetime(2034, 1, 1):  # noqa: DTZ001
            continue
        for minutes in range(-180, 181, 15):
            wall = change + ours.offsets[0] + timedelta(minutes=minutes)
            assert readings(wall, ours) == readings(wall, theirs), (change, wall)
            instant = (change + timedelta(minutes=minutes)).replace(tzinfo=UTC)
            here, there = instant.astimezone(ours), instant.astimezone(theirs)
            assert (here.replace(tzinfo=None), here.fold) == (
                there.replace(tzinfo=None),
                there.fold,
            )


OUTLOOK = """BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
"""


def test_a_zone_as_office_programs_write_it_is_read() -> None:
    zone, berlin = zone_of(OUTLOOK), zoneinfo.ZoneInfo("Europe/Berlin")
    assert str(zone) == "W. Europe Standard Time"
    for month in range(1, 13):
        moment = datetime(2027, month, 15, 12, tzinfo=UTC)
        assert moment.astimezone(zone).utcoffset() == moment.astimezone(berlin).utcoffset()


@pytest.mark.parametrize(
    ("old", "new", "fact"),
    [
        ("TZID:W. Europe Standard Time\n", "", "a VTIMEZONE needs TZID, and STANDARD or DAYLIGHT"),
        ("TZOFFSETFROM:+0200\n", "", "STANDARD needs TZOFFSETFROM"),
        ("+0200\nTZOFFSETTO:+0100", "+0200\nTZOFFSETTO:1h", '"1h" is not an offset from UTC'),
        ("DTSTART:16010101T030000\n", "", "STANDARD needs DTSTART"),
        ("16010101T030000", "1601", '"1601" is not a wall time'),
        ("16010101T030000", "00010101T030000", '"00010101T030000" is not a wall time'),
        ("16010101T030000", "20261301T030000", '"20261301T030000" is not a wall time'),
        ("FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10", "FREQ=HOURLY", '"FREQ=HOURLY" is not'),
        ("FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10", "FREQ=DAILY", '"W. Europe Standard Time"'),
    ],
)
def test_a_zone_that_cannot_be_understood_is_refused(old: str, new: str, fact: str) -> None:
    with pytest.raises(CalendarError, match="; ") as refused:
        zone_of(OUTLOOK.replace(old, new))
    assert str(refused.value).startswith(fact)
