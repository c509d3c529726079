"""Content lines: folded, quoted, and refused with the number of their line."""

from __future__ import annotations

import pytest

from enforcer.policy.icallines import (
    CalendarError,
    Component,
    Property,
    plain_text,
    read_components,
)


def in_calendar(text: str) -> list[Property]:
    (calendar,) = read_components(f"BEGIN:VCALENDAR\r\n{text}\r\nEND:VCALENDAR\r\n".encode())
    return calendar.properties


def test_a_line_has_a_name_parameters_and_a_value() -> None:
    assert in_calendar('dtstart;tzid="A;B:C";x=1,"2":20261201T080000') == [
        Property("DTSTART", {"TZID": "A;B:C", "X": "1,2"}, "20261201T080000", 2)
    ]


def test_folded_lines_are_one_line_and_the_next_keeps_its_number() -> None:
    assert in_calendar("A:one\r\n  and\r\n\ttwo\r\nB:x") == [
        Property("A", {}, "one andtwo", 2),
        Property("B", {}, "x", 5),
    ]


def test_a_character_may_be_folded_in_its_midst() -> None:
    data = "BEGIN:VCALENDAR\r\nA:é\r\nEND:VCALENDAR".encode().replace(
        "é".encode(), b"\xc3\r\n \xa9"
    )
    assert read_components(data)[0].properties == [Property("A", {}, "é", 2)]


def test_components_nest_and_know_their_line() -> None:
    (calendar,) = read_components(
        b"\xef\xbb\xbfBEGIN:VCALENDAR\nBEGIN:vevent\nA:1\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    event = Component("VEVENT", 2, [Property("A", {}, "1", 3)])
    assert calendar == Component("VCALENDAR", 1, [], [event])


def test_text_loses_its_escapes() -> None:
    assert plain_text("a\\, b\\; c\\\\n\\nd\\Ne\\x") == "a, b; c\\n\nd\ne\\x"


@pytest.mark.parametrize(
    ("data", "line", "fact"),
    [
        (b"", 1, "is no iCalendar file"),
        (b"<html></html>", 1, "is HTML or XML, perhaps a login page"),
        (b"\x1f\x8b\x08\x00", 1, "is compressed by gzip"),
        (b"BEGIN:VCALENDAR\nA:1\n", 1, '"VCALENDAR" has no END: the file is cut off'),
        (b"BEGIN:VCALENDAR\nEND:VEVENT\n", 2, 'END:"VEVENT" ends nothing that began'),
        (b"END:VCALENDAR\n", 1, 'END:"VCALENDAR" ends nothing that began'),
        (b"A:1\n", 1, '"A" stands outside of a calendar'),
        (b"BEGIN:VTODO\nEND:VTODO\n", 1, "is no iCalendar file"),
        (b"BEGIN:VCALENDAR\nA:\xff\nEND:VCALENDAR", 2, "is not UTF-8"),
        (b"BEGIN:VCALENDAR\nA:\0\nEND:VCALENDAR", 2, "has a NUL in it"),
        (b"BEGIN:VCALENDAR\nA;B:1\nEND:VCALENDAR", 2, '"A;B:1" is no line of a calendar'),
        (b"BEGIN:A\n" * 12, 9, "components lie more than 8 deep"),
    ],
)
def test_what_is_no_calendar_is_refused_with_its_line(data: bytes, line: int, fact: str) -> None:
    with pytest.raises(CalendarError, match="; ") as refused:
        read_components(data)
    assert (refused.value.line, str(refused.value)[: len(fact)]) == (line, fact)


def test_a_property_given_twice_is_refused_where_one_is_meant() -> None:
    (calendar,) = read_components(b"BEGIN:VCALENDAR\nA:1\nA:2\nEND:VCALENDAR")
    assert [p.value for p in calendar.all("A")] == ["1", "2"]
    with pytest.raises(CalendarError, match="A is given twice in one VCALENDAR; keep one"):
        calendar.one("A")
