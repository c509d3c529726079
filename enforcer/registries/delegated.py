"""RIR statistics ("delegated-extended") → rows: who was given which addresses in a country.

In: the text of a file of AFRINIC, APNIC, ARIN, LACNIC, RIPE NCC or the NRO
(`registry|cc|type|start|value|date|status|opaque-id|…`, version 2). Out: rows in a `Gathering`, a
row's id being the registry and its opaque id. IPv4 values are counts of addresses and need not be
powers of two: such a range becomes the fewest prefixes that hold just it. Raises `PolicyError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from enforcer.policy.prefix import Prefix, parse_address
from enforcer.policy.registry_rows import LONGEST_LINE
from enforcer.policy.words import shown
from enforcer.registries.gathering import EVERY, BadRowError, Gathering, Progress
from enforcer.registries.ranges import cover

STATUSES = ("allocated", "assigned", "available", "reserved")
_FORMS = "write registry|cc|type|start|value|date|status|opaque-id"
_VERSION = re.compile(r"2(\.[0-9]+)*\|[a-z]+\|", re.ASCII)
_RECORD = re.compile(r"[a-z]+\|[A-Z*]{0,2}\|(asn|ipv4|ipv6)\|", re.ASCII)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records are taken: of these statuses; of these countries and opaque ids, when any."""

    statuses: frozenset[str] = frozenset({"allocated", "assigned"})
    countries: frozenset[str] = frozenset()
    opaque_ids: frozenset[str] = frozenset()


def is_delegated(line: str) -> bool:
    """True for a first line of such a file."""
    return _VERSION.match(line) is not None or _RECORD.match(line) is not None


def read_delegated(
    text: str, out: Gathering, chosen: Chosen, *, category: str, id_prefix: str, progress: Progress
) -> None:
    claimed: dict[str, tuple[int, int]] = {}
    seen = {"asn": 0, "ipv4": 0, "ipv6": 0}
    for number, line in enumerate(text.split("\n"), 1):
        if number % EVERY == 0:
            progress(number)
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        fields = line.split("|")
        if len(line) > LONGEST_LINE:
            raise out.refused(f"a line of more than {LONGEST_LINE:,} bytes; {_FORMS}", number)
        if _VERSION.match(line):
            continue
        if fields[-1] == "summary" and len(fields) >= 6:
            claimed[fields[2]] = number, int(fields[4]) if _is_count(fields[4]) else -1
            continue
        if len(fields) < 7 or fields[2] not in seen:
            raise out.refused(f"{shown(line)} is no record of a delegated file; {_FORMS}", number)
        seen[fields[2]] += 1
        if _wanted(fields, number, out, chosen):
            name = fields[7] if len(fields) > 7 and fields[7] else f"{fields[3]}"
            try:
                found = _prefixes(fields, number, out)
            except BadRowError as fault:
                out.fault(number, fault)
                continue
            for prefix in found:
                row = (f"{id_prefix}{fields[0]}-{name}", str(prefix), category, "", "", "")
                out.add(number, row)
    for kind, (number, count) in claimed.items():
        if kind in seen and count != seen[kind]:
            fact = f"the summary counts {count:,} records of {kind}, the file has {seen[kind]:,}"
            raise out.refused(f"{fact}; it is cut short or was edited, fetch it anew", number)
    if not claimed:
        out.notes.add("no summary lines, so that nothing shows whether the file is whole")
    if len(out):
        out.notes.add("days of delegation, dropped: they are not days of a registration")


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 40


def _wanted(fields: list[str], number: int, out: Gathering, chosen: Chosen) -> bool:
    if fields[2] == "asn":
        out.notes.add("records of AS numbers, left out", number)
    elif fields[6] not in chosen.statuses:
        out.notes.add(f"records with the status {shown(fields[6])}, left out", number)
    elif chosen.countries and fields[1] not in chosen.countries:
        out.notes.add("records of other countries, left out", number)
    elif chosen.opaque_ids and (len(fields) < 8 or fields[7] not in chosen.opaque_ids):
        out.notes.add("records of other opaque ids, left out", number)
    else:
        return True
    return False


def _prefixes(fields: list[str], number: int, out: Gathering) -> list[Prefix]:
    kind, start, value = fields[2:5]
    try:
        family, first = parse_address(start)
    except ValueError as error:
        raise BadRowError(str(error)) from None
    if f"ipv{family}" != kind or not _is_count(value):
        raise _wrong(f"{shown(start)} with the value {shown(value)} is no range of {kind}")
    if family == 6:
        # The value is a length; a start with host bits is no prefix of that length.
        if int(value) > 128 or first & ((1 << (128 - int(value))) - 1):
            raise _wrong(f"{start} with the length {value} is no prefix")
        return [Prefix(6, first, int(value))]
    last = first + int(value) - 1
    if not first <= last < 1 << 32:
        raise _wrong(f"{start} and {int(value):,} addresses is no range")
    found = cover(4, first, last)
    if len(found) > 1:
        out.notes.add("counts of addresses that are no power of two, made several prefixes", number)
    return found


def _wrong(fact: str) -> BadRowError:
    return BadRowError(f"{fact}; fetch the file anew")
