"""One line of a registry, read with care: the only place that says what is wrong with a row.

In: the bytes of one line. Out: its values, or ValueError-like `RowError` with the column. The fast
path of `registry_chunks.py` hands every line here that it does not know to be right.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from enforcer.policy.disguise import foreign_row
from enforcer.policy.limits import REGISTERED_SHORTEST
from enforcer.policy.prefix import (
    Prefix,
    Service,
    parse_prefix,
    parse_service,
)
from enforcer.policy.registry_columns import ALWAYS, FOREVER, day_number
from enforcer.policy.words import shown

FIELDS = ("id", "prefix", "category", "valid_from", "valid_until", "services")
HEADER = ",".join(FIELDS)
# Where a message is read by whom rows are not meant for.
SEE_CHECK = "see: enforcer check"
# More than any service list in use, and far below what would blow up the classes of the lookup.
SERVICES_PER_ROW = 32

# Far more than a row of 32 services needs; the careful path is slow, and a message quotes its row.
LONGEST_LINE = 4096
_LONGEST_PREFIX = 64

# Addresses that no packet from the Internet may carry as its source (RFC 6890), so a row that
# names them is a mistake. Private and documentation ranges are accepted: labs use them.
BOGONS = tuple(
    (parse_prefix(text), what)
    for text, what in (
        ("0.0.0.0/8", "“this network” addresses"),
        ("127.0.0.0/8", "loopback addresses"),
        ("169.254.0.0/16", "link-local addresses"),
        ("224.0.0.0/4", "multicast addresses"),
        ("240.0.0.0/4", "reserved addresses"),
        ("::/96", "unspecified, loopback and obsolete addresses"),
        ("fe80::/10", "link-local addresses"),
        ("ff00::/8", "multicast addresses"),
    )
)
_MAPPED = parse_prefix("::ffff:0:0/96")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class RowError(Exception):
    """What is wrong with a line; `column` counts characters from 1. `told` is of which kind it is,
    with no word of what the line says (promise 6).
    """

    def __init__(self, column: int, message: str) -> None:
        self.column = column
        self.message = message
        super().__init__(message)

    @property
    def told(self) -> str:
        field = self.message.partition(" ")[0]
        return f"{field if field in FIELDS else 'the line'} is not right; {SEE_CHECK}"


class FormError(RowError):
    """What is wrong with a line, in a message that is the same whatever the line says."""

    @property
    def told(self) -> str:
        return self.message


TOO_LONG = FormError(
    1, f"a line of more than {LONGEST_LINE:,} bytes; write one registration a line, each ended"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A line's values. `category` indexes the declared ones; dates are days since 1970-01-01."""

    id: bytes
    prefix: Prefix
    category: int
    valid_from: int
    valid_until: int
    services: tuple[Service, ...]


def decode_line(line: bytes) -> str:
    """The line as text. Raises RowError on bytes that are not UTF-8 and on control characters."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        column = len(line[: error.start].decode()) + 1
        byte = line[error.start]
        raise FormError(
            column, f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8 and load it again"
        ) from None
    found = _CONTROL.search(text)
    if found:
        raise FormError(
            found.start() + 1, f"control character U+{ord(found[0]):04X} in the line; remove it"
        )
    return text


def split_fields(text: str) -> list[tuple[int, str]]:
    """`(column, value)` of each field of a CSV line (RFC 4180, but a row is one line)."""
    fields: list[tuple[int, str]] = []
    at = 0
    if '"' not in text:
        # Nearly every line, and a million of them when a feed is broken throughout.
        for value in text.split(","):
            fields.append((at + 1, value))
            at += len(value) + 1
        return fields
    while True:
        if text.startswith('"', at):
            end = at + 1
            while True:
                end = text.find('"', end)
                if end < 0:
                    raise FormError(at + 1, 'no closing " before the end of the line; add it')
                if not text.startswith('""', end):
                    break
                end += 2
            value = text[at + 1 : end].replace('""', '"')
            if end + 1 < len(text) and text[end + 1] != ",":
                raise FormError(end + 2, 'text after a closing "; put the whole field in quotes')
            fields.append((at + 1, value))
            at = end + 1
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            value = text[at:end]
            if '"' in value:
                raise FormError(
                    at + value.index('"') + 1,
                    'a " inside an unquoted field; put the whole field in quotes and double it',
                )
            fields.append((at + 1, value))
            at = end
        if at >= len(text):
            return fields
        at += 1


def parse_row(line: bytes, categories: Sequence[str]) -> Row:
    """A line of the CSV form. Raises RowError with the first thing wrong, from left to right."""
    fields = split_fields(decode_line(line))
    if len(fields) != len(FIELDS):
        if (other := foreign_row(line)) is not None:
            raise FormError(1, other)
        noun = "field" if len(fields) == 1 else "fields"
        raise FormError(
            1, f"{len(fields)} {noun} where 6 are needed; write {HEADER} (an empty field counts)"
        )
    for name, (column, value) in zip(FIELDS, fields, strict=True):
        if value != value.strip():
            raise RowError(column, f"{name} {value!r} has spaces around it; remove them")
    (c_id, name), (c_prefix, prefix), (c_category, category) = fields[:3]
    (c_from, since), (c_until, until), (c_services, services) = fields[3:]
    if not name:
        raise FormError(c_id, "id is empty; give the registration's id")
    row = Row(
        id=name.encode(),
        prefix=registered_prefix(c_prefix, prefix),
        category=_category(c_category, category, categories),
        valid_from=_day(c_from, "valid_from", since, ALWAYS),
        valid_until=_day(c_until, "valid_until", until, FOREVER),
        services=_services(c_services, services),
    )
    if row.valid_until < row.valid_from:
        raise RowError(
            c_until, f"valid_until {until} is before valid_from {since}; correct one of them"
        )
    return row


def parse_plain_row(line: bytes) -> Prefix | None:
    """A line of the plain form: a prefix or a bare address; None for a comment or a blank line."""
    text = decode_line(line.replace(b"\t", b" "))
    content = text.partition("#")[0]
    value = content.strip(" ")
    if not value:
        return None
    if (other := foreign_row(line)) is not None:
        raise FormError(1, other)
    column = content.index(value[0]) + 1
    return registered_prefix(column, value, bare_address=True)


def registered_prefix(column: int, text: str, *, bare_address: bool = False) -> Prefix:
    """A prefix that may be registered. Raises RowError."""
    if not text:
        raise FormError(column, "prefix is empty; write it like 192.0.2.0/24 or 2001:db8::/56")
    if len(text) > _LONGEST_PREFIX:
        fact = f"prefix {shown(text)} has {len(text):,} characters"
        raise RowError(column, f"{fact}; write it like 192.0.2.0/24 or 2001:db8::/56")
    try:
        prefix = parse_prefix(text, bare_address=bare_address)
    except ValueError as error:
        raise RowError(column, f"prefix {error}") from None
    shortest = REGISTERED_SHORTEST[prefix.family]
    if prefix.family == 6 and _MAPPED.covers(prefix):
        inner = Prefix(4, prefix.network & 0xFFFFFFFF, prefix.length - 96)
        raise RowError(column, f"prefix {text!r} is IPv4 inside IPv6; write {inner}")
    if prefix.length == 0:
        raise RowError(column, f"prefix {text!r} is the whole Internet; register what is in use")
    if prefix.length < shortest:
        raise RowError(
            column, f"prefix {text!r} is wider than /{shortest}; register the part that is in use"
        )
    for bogon, what in BOGONS:
        if bogon.overlaps(prefix):
            fact = f"prefix {text!r} overlaps {bogon} ({what}), never a source on the Internet"
            raise RowError(column, f"{fact}; correct it")
    return prefix


def _category(column: int, text: str, categories: Sequence[str]) -> int:
    if text in categories:
        return list(categories).index(text)
    if not text:
        raise FormError(column, f"category is empty; write one of {', '.join(categories)}")
    raise RowError(column, _undeclared(text, tuple(categories)))


@lru_cache(maxsize=64)
def _undeclared(text: str, categories: tuple[str, ...]) -> str:
    """Kept, for a category that one row has wrong a million rows have wrong."""
    near = difflib.get_close_matches(text[:_LONGEST_PREFIX], categories, n=1)
    hint = f"write {near[0]}" if near else f"write one of {', '.join(categories)}"
    quoted = repr(text) if len(text) <= _LONGEST_PREFIX else shown(text)
    return f"category {quoted} is not declared; {hint}, or declare it"


def parse_day(text: str) -> int | None:
    """Days since 1970-01-01 of an ISO date, None when it is none."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return day_number(date.fromisoformat(text))
    except ValueError:
        return None


def _day(column: int, name: str, text: str, empty: int) -> int:
    if not text:
        return empty
    day = parse_day(text)
    if day is None:
        fact = "is not a day of the calendar" if _DATE.fullmatch(text) else "is not a date"
        raise RowError(column, f"{name} {text!r} {fact}; write it like 2026-12-31, or leave it out")
    return day


def parse_services(text: str) -> tuple[Service, ...]:
    """The services of a row, sorted and each once. Raises ValueError."""
    if not text:
        return ()
    tokens = text.split(" ")
    if "" in tokens:
        raise ValueError(f"{text!r} has more than one space between services; leave one")
    if len(tokens) > SERVICES_PER_ROW:
        raise ValueError(
            f"has {len(tokens)} services, more than {SERVICES_PER_ROW}; use ranges, or leave it "
            "empty for any service"
        )
    return tuple(sorted({parse_service(token) for token in tokens}, key=_service_key))


def _service_key(service: Service) -> tuple[int, int, int]:
    return service.protocol, service.first_port or 0, service.last_port or 0


def _services(column: int, text: str) -> tuple[Service, ...]:
    try:
        return parse_services(text)
    except ValueError as error:
        raise RowError(column, f"services {error}") from None
