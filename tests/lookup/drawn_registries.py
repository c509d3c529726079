"""Registries drawn by hypothesis, crowded into a few addresses so that prefixes nest and touch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from hypothesis import strategies as st

from enforcer.lookup.tables import Term
from enforcer.policy.prefix import BITS, FAMILIES, Family, Prefix, parse_service
from enforcer.policy.registry import Registration, Registry, parse_registry

CATEGORIES = ("house", "centre", "mission")
DAY = date(2026, 7, 1)
SERVICES = ("", "", "", "udp/51820", "tcp/443", "esp", "udp/500-600 esp")
HOME = {4: 0x14000000, 6: 0x2A01_0500 << 96}
LENGTHS: dict[Family, tuple[int, ...]] = {
    4: (20, 23, 24, 25, 26, 27, 28, 30, 31, 32),
    6: (40, 47, 48, 49, 56, 62, 63, 64, 65, 66, 127, 128),
}


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    family = draw(st.sampled_from(FAMILIES))
    bits = BITS[family]
    length = draw(st.sampled_from(LENGTHS[family]))
    address = HOME[family]
    # A few bits that vary, above and below the usual boundaries.
    for place in (bits - 1, bits - 2, bits - 5, bits - 8, bits - 9, 24, 47, 63, 64):
        if place < bits and draw(st.integers(0, 3)) == 0:
            address |= 1 << (bits - 1 - place)
    mask = ((1 << bits) - 1) ^ ((1 << (bits - length)) - 1)
    return Prefix(family, address & mask, length)


@dataclass(frozen=True)
class Drawn:
    registry: Registry
    rows: list[Registration]

    def valid(self) -> list[Registration]:
        return [
            row
            for row in self.rows
            if (row.valid_from is None or row.valid_from <= DAY)
            and (row.valid_until is None or row.valid_until >= DAY)
        ]

    def covering(self, family: Family, address: int) -> list[Registration]:
        """By scan: the valid registrations of an address, longest first, rows in file order."""
        found = [
            row for row in self.valid() if row.prefix.family == family and address in row.prefix
        ]
        return sorted(found, key=lambda row: -row.prefix.length)

    def terms(self, family: Family, address: int) -> tuple[Term, ...]:
        """By scan: the terms of the class of an address."""
        terms: list[Term] = []
        rows = self.covering(family, address)
        for length in sorted({row.prefix.length for row in rows}, reverse=True):
            here = {Term(r.category, r.services) for r in rows if r.prefix.length == length}
            free = sorted(term.category for term in here if not term.services)
            if free:
                return (*terms, Term(free[0]))
            ordered = sorted(here, key=lambda term: (term.category, str(term.services)))
            terms += [term for term in ordered if term not in terms]
        return tuple(terms)

    def edges(self) -> Iterator[tuple[Family, int]]:
        """First and last address of each prefix, and the ones beside them."""
        for row in self.rows:
            prefix = row.prefix
            for address in (prefix.network - 1, prefix.network, prefix.last, prefix.last + 1):
                yield prefix.family, address
        yield from ((4, 0), (4, 2**32 - 1), (6, 0), (6, 2**128 - 1))


@st.composite
def registries(draw: st.DrawFn, *, max_size: int = 24) -> Drawn:
    day = st.sampled_from([None, None, None, -1, 0, 1])
    lines = ["id,prefix,category,valid_from,valid_until,services"]
    rows = []
    for number in range(draw(st.integers(1, max_size))):
        since, until = draw(day), draw(day)
        if since is not None and until is not None and since > until:
            since, until = until, since
        first = None if since is None else DAY + timedelta(days=since)
        last = None if until is None else DAY + timedelta(days=until)
        services = draw(st.sampled_from(SERVICES))
        parsed = sorted(
            (parse_service(token) for token in services.split()),
            key=lambda s: (s.protocol, s.first_port or 0),
        )
        row = Registration(
            f"R-{number}",
            draw(prefixes()),
            draw(st.sampled_from(CATEGORIES)),
            first,
            last,
            tuple(parsed),
        )
        rows.append(row)
        lines.append(f"{row.id},{row.prefix},{row.category},{first or ''},{last or ''},{services}")
    text = "\n".join(lines).encode()
    return Drawn(parse_registry("drawn.csv", text, CATEGORIES), rows)


@st.composite
def updates(draw: st.DrawFn, *, max_size: int = 24) -> list[Registry]:
    """A registry and what becomes of it: rows that come, go, change (their services alone, too), or
    move in the file.
    """
    rows = list(draw(registries(max_size=max_size)).rows)
    found = [registry_of(rows)]
    for _ in range(draw(st.integers(1, 3))):
        kinds = st.sampled_from(("come", "go", "change", "serve", "move"))
        for kind in draw(st.lists(kinds, max_size=4)):
            at = draw(st.integers(0, len(rows) - 1))
            if kind in ("come", "change"):
                (new,) = draw(registries(max_size=1)).rows
                rows[at : at + (kind == "change")] = [new]
            elif kind == "serve":
                (new,) = draw(registries(max_size=1)).rows
                rows[at] = replace(rows[at], services=new.services)
            elif len(rows) > 1:
                taken = rows.pop(at)
                if kind == "move":
                    rows.insert(draw(st.integers(0, len(rows))), taken)
        found.append(registry_of(rows))
    return found


def registry_of(rows: list[Registration]) -> Registry:
    lines = ["id,prefix,category,valid_from,valid_until,services"]
    lines += [
        f"{r.id},{r.prefix},{r.category},{r.valid_from or ''},{r.valid_until or ''},"
        + " ".join(map(str, r.services))
        for r in rows
    ]
    return parse_registry("drawn.csv", "\n".join(lines).encode(), CATEGORIES)
