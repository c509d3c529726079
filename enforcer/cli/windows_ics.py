"""Occurrences → an iCalendar file (RFC 5545) that calendar programs subscribe to.

Values in, text out, in UTC. What is provisional is tentative there, what was closed is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from enforcer import __version__
from enforcer.observe.snapshot import Occurrence

_STATUS = {"provisional": "TENTATIVE", "closed": "CANCELLED"}


def calendar(occurrences: Iterable[Occurrence], gateway: str, now: datetime) -> str:
    """`now` is DTSTAMP: when this text was made. Lines end with CRLF."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        f"PRODID:-//enforcer//{__version__}//EN",
        f"X-WR-CALNAME:{_text(f'windows of {gateway}')}",
        *(line for o in occurrences for line in _event(o, gateway, now)),
        "END:VCALENDAR",
    ]
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _event(occurrence: Occurrence, gateway: str, now: datetime) -> Iterator[str]:
    activation, window = occurrence.activation, occurrence.activation.window
    measures = window.measure_names
    record = f"{window.reason}\n{window.reference}, declared by {window.declared_by}"
    yield "BEGIN:VEVENT"
    # The same occurrence has the same UID in every export, so that programs update and not add.
    yield f"UID:{_text(f'{window.id}-{_utc(activation.starts_at)}@{gateway}')}"
    yield f"DTSTAMP:{_utc(now)}"
    yield f"DTSTART:{_utc(activation.starts_at)}"
    yield f"DTEND:{_utc(activation.ends_at)}"
    yield f"SUMMARY:{_text(f'{window.id}: ' + ', '.join(measures))}"
    yield f"DESCRIPTION:{_text(record)}"
    yield f"CATEGORIES:{','.join(measures).upper()}"
    yield f"STATUS:{_STATUS.get(occurrence.state, 'CONFIRMED')}"
    yield "TRANSP:TRANSPARENT"
    yield "END:VEVENT"


def _utc(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(value: str) -> str:
    for character, escaped in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        value = value.replace(character, escaped)
    return value


def _folded(line: str) -> str:
    """At most 75 bytes a line, never cut within a character."""
    folded, room = "", 75
    for character in line:
        size = len(character.encode())
        if size > room:
            folded, room = folded + "\r\n ", 74
        folded, room = folded + character, room - size
    return folded
