"""Calendar files: what icalendar writes and reads is what we read; and edge by edge."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Any

import icalendar
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.errors import PolicyError, Problem
from enforcer.policy.icalevents import CalendarFiles, read_events
from enforcer.policy.icallines import CalendarError
from enforcer.policy.model import Calendar, Event
from enforcer.policy.recurrence import Budget
from enforcer.policy.zones import Zones
from tests.policy.documents_by_hand import ZONES, policy_of, window

BERLIN, KARACHI = zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("Asia/Karachi")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def wall(*fields: int) -> datetime:
    return datetime(*fields)  # type: ignore[arg-type]  # noqa: DTZ001


def file_of(*events: str, zones: str = "") -> str:
    body = "".join(f"BEGIN:VEVENT\n{event.strip()}\nEND:VEVENT\n" for event in events)
    head = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//isp.example//noc//EN\n"
    return f"{head}{zones}{body}END:VCALENDAR\n"


def read(
    text: str | bytes, match: str | None = None, zone: Any = KARACHI
) -> tuple[list[Event], list[str]]:
    data = text if isinstance(text, bytes) else text.encode()
    files = CalendarFiles(lambda name: data, Zones(ZONES.get))
    problems: list[Problem] = []
    try:
        components = files.components("c.ics")
    except CalendarError as error:
        return [], [f"c.ics:{error.line}:1: {error}"]
    events = read_events("c.ics", components, match, zone, files, problems)
    return events, [str(problem) for problem in problems]


def one(text: str) -> Event:
    events, problems = read(file_of(text))
    assert (len(events), problems) == (1, [])
    return events[0]


TIMES = "UID:a\nSUMMARY:VPN\nDTSTART;TZID=Europe/Berlin:20261201T080000\n"


# --- against icalendar ----------------------------------------------------------------------------

SUMMARIES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=120
).map(lambda text: text.strip() or "x")
STARTS = st.datetimes(wall(2001, 1, 1), wall(2060, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)
ZONE_NAMES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe")


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            SUMMARIES,
            STARTS,
            st.sampled_from(ZONE_NAMES),
            st.integers(1, 100_000),
            st.booleans(),
            st.lists(st.integers(1, 20), max_size=3),
            st.lists(st.integers(1, 20), max_size=3),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_what_icalendar_writes_and_reads_is_what_we_read(rows: list[Any]) -> None:
    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//isp.example//noc//EN")
    calendar.add("version", "2.0")
    for n, (summary, start, name, seconds, all_day, out, also) in enumerate(rows):
        zone = UTC if name == "UTC" else zoneinfo.ZoneInfo(name)
        begin = start.date() if all_day else start.replace(tzinfo=zone)
        event = icalendar.Event()
        event.add("uid", f"{n}@isp.example")
        event.add("summary", summary)
        event.add("dtstart", begin)
        if not all_day:
            event.add("duration", timedelta(seconds=seconds))
        event.add("rrule", {"freq": "daily", "count": 20})
        for days in out:
            event.add("exdate", begin + days * DAY)
        for days in also:
            event.add("rdate", begin + days * DAY)
        calendar.add_component(event)
    data = calendar.to_ical()
    events, problems = read(data)
    assert problems == []
    parsed = icalendar.Calendar.from_ical(data).walk("VEVENT")
    assert len(events) == len(parsed)
    for ours, theirs, row in zip(events, parsed, rows, strict=True):
        assert ours.summary == str(theirs["SUMMARY"]).strip()
        assert ours.all_day == row[4]
        begin = theirs["DTSTART"].dt
        if row[4]:
            assert (ours.start.date(), ours.zone, ours.days) == (begin, KARACHI, 1)
        else:
            assert ours.start.replace(tzinfo=ours.zone) == begin
            assert ours.days * DAY + ours.length == theirs["DURATION"].dt
        assert ours.not_on == {ours.start + n * DAY for n in row[5]}
        assert sorted(ours.also) == sorted(ours.start + n * DAY for n in row[6])
        assert ours.last == ours.start + 19 * DAY


# --- times ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "expected", "zone"),
    [
        ("DTSTART:20261201T080000Z", wall(2026, 12, 1, 8), UTC),
        ("DTSTART;TZID=Europe/Berlin:20261201T080000", wall(2026, 12, 1, 8), BERLIN),
        ('DTSTART;TZID="Europe/Berlin":20261201T080000', wall(2026, 12, 1, 8), BERLIN),
        # A floating time, and a day, are of the window's zone.
        ("DTSTART:20261201T080000", wall(2026, 12, 1, 8), KARACHI),
        ("DTSTART;VALUE=DATE-TIME:20261201T080000", wall(2026, 12, 1, 8), KARACHI),
    ],
)
def test_a_time_is_of_utc_of_its_zone_or_of_the_windows(
    start: str, expected: datetime, zone: Any
) -> None:
    event = one(f"{start}\nDURATION:PT1H")
    assert (event.start, event.zone, event.length) == (expected, zone, HOUR)


@pytest.mark.parametrize(
    ("lines", "days", "length"),
    [
        ("DTSTART:20261201T080000Z\nDTEND:20261201T093000Z", 0, timedelta(minutes=90)),
        ("DTSTART:20261201T080000Z\nDURATION:P1DT2H", 1, 2 * HOUR),
        ("DTSTART:20261201T080000Z\nDURATION:P2W", 14, 0 * HOUR),
        ("DTSTART;VALUE=DATE:20261201", 1, 0 * HOUR),
        ("DTSTART;VALUE=DATE:20261201\nDTEND;VALUE=DATE:20261204", 3, 0 * HOUR),
        ("DTSTART;VALUE=DATE:20261201\nDURATION:P2D", 2, 0 * HOUR),
        # DTEND is elapsed time, over a change of clocks too, and in a zone of its own.
        (
            "DTSTART;TZID=Europe/Berlin:20260328T120000\nDTEND;TZID=Europe/Berlin:20260329T120000",
            0,
            23 * HOUR,
        ),
        ("DTSTART;TZID=Europe/Berlin:20261201T080000\nDTEND:20261201T080000Z", 0, HOUR),
    ],
)
def test_how_long_an_event_lasts(lines: str, days: int, length: timedelta) -> None:
    event = one(lines)
    assert (event.days, event.length) == (days, length)


def test_a_rule_ends_with_until_or_count() -> None:
    utc_end = one(f"{TIMES}DURATION:PT1H\nRRULE:FREQ=DAILY;UNTIL=20261203T070000Z")
    assert utc_end.last == wall(2026, 12, 3, 8)
    assert one(f"{TIMES}DURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=2").last == wall(2026, 12, 2, 8)


def test_an_exception_in_another_zone_is_the_same_moment() -> None:
    event = one(f"{TIMES}DURATION:PT1H\nRRULE:FREQ=DAILY\nEXDATE:20261202T070000Z")
    assert event.not_on == {wall(2026, 12, 2, 8)}
    day = one(f"{TIMES}DURATION:PT1H\nRRULE:FREQ=DAILY\nEXDATE;VALUE=DATE:20261202")
    assert day.not_on == {wall(2026, 12, 2, 8)}


# --- series and what became of them ---------------------------------------------------------------

SERIES = f"{TIMES}DURATION:PT1H\nRRULE:FREQ=DAILY;COUNT=5"


def changed(lines: str) -> str:
    return f"UID:a\nRECURRENCE-ID;TZID=Europe/Berlin:20261202T080000\n{lines}"


def test_a_changed_occurrence_takes_the_place_of_the_one_it_changes() -> None:
    moved = changed("SUMMARY:VPN\nDTSTART;TZID=Europe/Berlin:20261202T100000\nDURATION:PT2H")
    (series, other), problems = read(file_of(SERIES, moved))
    assert problems == []
    assert series.not_on == {wall(2026, 12, 2, 8)}
    assert (other.start, other.length, other.rrule) == (wall(2026, 12, 2, 10), 2 * HOUR, "")


def test_a_cancelled_occurrence_does_not_take_place() -> None:
    gone = changed("SUMMARY:VPN\nSTATUS:CANCELLED\nDTSTART:20261202T070000Z\nDURATION:PT1H")
    (series,), problems = read(file_of(SERIES, gone))
    assert (series.not_on, problems) == ({wall(2026, 12, 2, 8)}, [])


@pytest.mark.parametrize("status", ["CANCELLED", "TENTATIVE", "cancelled"])
def test_a_cancelled_or_tentative_event_does_not_take_place(status: str) -> None:
    assert read(file_of(f"{SERIES}\nSTATUS:{status}")) == ([], [])
    moved = changed("SUMMARY:VPN\nDTSTART:20261202T090000Z\nDURATION:PT2H")
    assert read(file_of(f"{SERIES}\nSTATUS:{status}", moved)) == ([], [])


def test_match_takes_the_events_whose_own_summary_holds_it() -> None:
    renamed = changed("SUMMARY:lunch\nDTSTART:20261202T090000Z\nDURATION:PT2H")
    text = file_of(SERIES, renamed, "UID:b\nSUMMARY:party\nDTSTART:broken")
    (series,), problems = read(text, "VPN")
    # The renamed occurrence is no VPN outage any more, and the broken event is nobody's business.
    assert (series.not_on, problems) == ({wall(2026, 12, 2, 8)}, [])


def test_a_summary_is_read_without_its_escapes_and_folds() -> None:
    event = one(
        "SUMMARY:VPN\\, core\\; a\\\\b\\nc and a f\n olded line\n"
        "DTSTART:20261201T080000Z\nDURATION:PT1H"
    )
    assert event.summary == "VPN, core; a\\b\nc and a folded line"


def test_a_file_is_read_once_however_many_windows_take_it() -> None:
    asked: list[str] = []

    def give(name: str) -> bytes:
        asked.append(name)
        return file_of(SERIES).encode()

    files = CalendarFiles(give, Zones(ZONES.get))
    assert files.components("c.ics") is files.components("c.ics")
    assert asked == ["c.ics"]


# --- refused --------------------------------------------------------------------------------------

REFUSED = [
    ("DTSTART:20261201T080000Z", "an event without end; give it DTEND or DURATION"),
    ("SUMMARY:x", "an event without DTSTART; give it a start"),
    (
        "DTSTART:20261201T080000Z\nDTEND:20261201T080000Z",
        "an event that ends before it has begun; correct its end",
    ),
    (
        "DTSTART:20261201T080000Z\nDTEND:20261201T090000Z\nDURATION:PT1H",
        "both DTEND and DURATION are given; keep one of them",
    ),
    (
        "DTSTART;VALUE=DATE:20261201\nDTEND:20261201T090000Z",
        "one of DTSTART and DTEND is a day and the other a time; make both the same",
    ),
    (
        "DTSTART;VALUE=DATE:20261201\nDURATION:PT1H",
        "an event of whole days that lasts hours; give DTSTART a time, or the event whole days",
    ),
    ("DTSTART:20261201T080000Z\nDURATION:PT", '"PT" is no length of time; write it like PT4H'),
    ("DTSTART:20261201T080000Z\nDURATION:-PT1H", '"-PT1H" is no length of time; write it like'),
    ("DTSTART:20261201T080000Z\nDURATION:P367D", "an event of over 366 days; shorten it"),
    ("DTSTART:2026-12-01\nDURATION:PT1H", '"2026-12-01" is not a time of a calendar'),
    ("DTSTART:20260230T080000Z\nDURATION:PT1H", '"20260230T080000Z" is not in the calendar'),
    ("DTSTART:25261201T080000Z\nDURATION:PT1H", "the year 2526 is out of bounds"),
    (
        "DTSTART;TZID=Mars/Base:20261201T080000\nDURATION:PT1H",
        '"Mars/Base" is no zone of the IANA database, and the file has no VTIMEZONE of it',
    ),
    (f"{TIMES}DURATION:PT1H\nRRULE:FREQ=HOURLY", '"FREQ=HOURLY" is not valid in an rrule'),
    (f"{TIMES}DURATION:PT1H\nRRULE:FREQ=DAILY\nRRULE:FREQ=DAILY", "RRULE is given twice in one"),
    (f"{TIMES}DURATION:PT1H\nRRULE:FREQ=WEEKLY;BYDAY=SU", "DTSTART is no occurrence of its RRULE"),
    (f"{TIMES}DURATION:PT1H\nRDATE;VALUE=PERIOD:20261202T080000Z/PT1H", "RDATE gives periods"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "fact"), REFUSED)
def test_an_event_that_says_nothing_certain_is_refused_with_its_line(lines: str, fact: str) -> None:
    events, problems = read(file_of(lines))
    assert (events, len(problems)) == ([], 1)
    place, _, message = problems[0].partition(": ")
    assert message.startswith(fact)
    assert "; " in message
    assert place.startswith("c.ics:")
    assert int(place.split(":")[1]) >= 4


def test_a_series_changed_from_one_occurrence_on_is_refused() -> None:
    which = "RECURRENCE-ID;RANGE=THISANDFUTURE:20261202T070000Z"
    later = f"UID:a\n{which}\nDTSTART:20261202T090000Z\nDURATION:PT1H"
    _, problems = read(file_of(SERIES, later))
    (problem,) = problems
    fact = "changes this occurrence and all later ones at once (RANGE), which is not read"
    assert problem == f"c.ics:13:1: {fact}; end the series and begin another"


def test_two_events_of_one_uid_are_refused() -> None:
    _, problems = read(file_of(SERIES, SERIES))
    assert problems == [
        'c.ics:11:1: the UID "a" is already that of another event; remove one of the two'
    ]


def test_a_file_whose_rules_take_too_long_is_refused_at_the_line_of_the_rule() -> None:
    plain = "RRULE:FREQ=DAILY;COUNT=99999"
    slow = "RRULE:FREQ=DAILY;BYMONTH=12;BYMONTHDAY=1;COUNT=99999"
    times = "DTSTART:20261201T080000Z\nDURATION:PT1H"
    text = file_of(*(f"UID:{n}\n{times}\n{plain if n < 50 else slow}" for n in range(52)))
    files = CalendarFiles(lambda name: text.encode(), Zones(ZONES.get))
    # Enough for one of the slow ones, and for any number of plain ones.
    files.budget = Budget(70_000)
    problems: list[Problem] = []
    events = read_events("c.ics", files.components("c.ics"), None, None, files, problems)
    assert len(events) == 51
    (problem,) = problems
    assert text.splitlines()[problem.line - 1] == slow
    assert problem.line == 4 + 51 * 6 + 4
    assert "write UNTIL in place of COUNT, or take rules out" in problem.message


def test_a_time_of_no_zone_needs_a_window_with_one() -> None:
    for lines in ("DTSTART:20261201T080000\nDURATION:PT1H", "DTSTART;VALUE=DATE:20261201"):
        _, problems = read(file_of(lines), zone=None)
        assert "is a time of no zone; add timezone: Area/City to the window" in problems[0]


# --- through the configuration --------------------------------------------------------------------


def test_a_window_takes_its_events_and_the_digest_their_bytes() -> None:
    times = "calendar: c.ics, match: VPN, timezone: Asia/Karachi"

    def policy(text: str) -> Any:
        return policy_of(window(times=times), calendars={"windows.d/c.ics": text})

    first, second = policy(file_of(SERIES)), policy(file_of(SERIES, "UID:z\nSUMMARY:x"))
    form = first.windows[0].form
    assert isinstance(form, Calendar)
    assert [event.rrule for event in form.events] == ["FREQ=DAILY;COUNT=5"]
    assert first.windows == second.windows
    assert first.digest != second.digest


def test_a_calendar_without_an_event_for_the_window_is_refused() -> None:
    times = "calendar: c.ics, match: VPN, timezone: Asia/Karachi"
    with pytest.raises(PolicyError) as refused:
        policy_of(window(times=times), calendars={"windows.d/c.ics": file_of("SUMMARY:party")})
    assert str(refused.value) == (
        'windows.d/w.yaml:1:104: windows[0].match: "windows.d/c.ics" has no event whose summary '
        'holds "VPN" that takes place; correct it, or remove the window'
    )


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.text(max_size=200), st.integers(0, 400))
def test_no_bytes_raise_anything_but_a_problem(junk: bytes, text: str, cut: int) -> None:
    for data in (
        junk,
        text.encode(),
        file_of(SERIES).encode()[:cut] + junk,
        file_of(text).encode(),
    ):
        _, problems = read(data)
        assert all("; " in problem for problem in problems)
