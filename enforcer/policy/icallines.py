"""An iCalendar file (RFC 5545, section 3.1) → components with their content lines, each with the
number of the line it begins on.

Bytes come in. Values stay text: what a property means is `icalevents`' and `icalzones`'. Raises
CalendarError with place, fact and remedy at the first line that is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from enforcer.policy.disguise import MARKUP, disguised, is_markup
from enforcer.policy.words import shown

DEEPEST = 8


class CalendarError(ValueError):
    """What is wrong with a calendar file, as `fact; remedy`, and the line it stands on."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Property:
    """`NAME;PARAMETER=text:value`, names in capitals, quotes around parameters taken off."""

    name: str
    parameters: dict[str, str]
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Component:
    """What stands between BEGIN and END. `properties` and `parts` are in the order of the file."""

    name: str
    line: int
    properties: list[Property] = field(default_factory=list)
    parts: list[Component] = field(default_factory=list)

    def all(self, name: str) -> list[Property]:
        return [p for p in self.properties if p.name == name]

    def one(self, name: str) -> Property | None:
        """The property `name`, or None. Raises CalendarError when it is given twice."""
        found = self.all(name)
        if len(found) > 1:
            fact = f"{name} is given twice in one {self.name}"
            raise CalendarError(found[1].line, f"{fact}; keep one of the two")
        return found[0] if found else None


def read_components(data: bytes) -> list[Component]:
    """The VCALENDARs of a file. Raises CalendarError."""
    other = MARKUP if is_markup(data[:200]) else disguised(data)
    if other is not None:
        raise CalendarError(1, other)
    root = Component("", 1)
    open_: list[Component] = [root]
    for line in _content_lines(data):
        if line.name == "BEGIN":
            if len(open_) > DEEPEST:
                fact = f"components lie more than {DEEPEST} deep"
                raise CalendarError(line.line, f"{fact}; correct the file")
            part = Component(line.value.strip().upper(), line.line)
            open_[-1].parts.append(part)
            open_.append(part)
        elif line.name == "END":
            inner = open_.pop() if len(open_) > 1 else None
            if inner is None or inner.name != line.value.strip().upper():
                fact = f"END:{shown(line.value.strip())} ends nothing that began"
                raise CalendarError(line.line, f"{fact}; correct the file")
        elif len(open_) == 1:
            fact = f"{shown(line.name)} stands outside of a calendar"
            raise CalendarError(line.line, f"{fact}; begin the file with BEGIN:VCALENDAR")
        else:
            open_[-1].properties.append(line)
    if len(open_) > 1:
        unfinished = open_[-1]
        fact = f"{shown(unfinished.name)} has no END: the file is cut off"
        raise CalendarError(unfinished.line, f"{fact}; fetch it again, whole")
    calendars = [part for part in root.parts if part.name == "VCALENDAR"]
    if not calendars:
        raise CalendarError(1, "is no iCalendar file; one begins with BEGIN:VCALENDAR")
    return calendars


def _content_lines(data: bytes) -> Iterator[Property]:
    # Lines are folded by bytes, in the midst of a character too: unfold first, then decode.
    folded: list[tuple[int, bytearray]] = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        if raw[:1] in (b" ", b"\t") and folded:
            folded[-1][1].extend(raw[1:])
        elif raw.strip():
            folded.append((number, bytearray(raw)))
    for number, line in folded:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            raise CalendarError(number, "is not UTF-8; save the file as UTF-8") from None
        if "\0" in text:
            raise CalendarError(number, "has a NUL in it; export the file anew")
        yield _property(text, number)


_NAME = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=((?:"[^"]*"|[^";:,]*)(?:,(?:"[^"]*"|[^";:,]*))*)')


def _property(text: str, line: int) -> Property:
    name = _NAME.match(text)
    end = name.end() if name else 0
    parameters: dict[str, str] = {}
    while (parameter := _PARAMETER.match(text, end)) is not None:
        parameters[parameter[1].upper()] = parameter[2].replace('"', "")
        end = parameter.end()
    if name is None or text[end : end + 1] != ":":
        raise CalendarError(line, f"{shown(text)} is no line of a calendar; write NAME:value")
    return Property(name[0].upper(), parameters, text[end + 1 :], line)


_ESCAPED = re.compile(r"\\([\\;,nN])")


def plain_text(value: str) -> str:
    """A TEXT value without its escapes (RFC 5545, section 3.3.11)."""
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value)
