"""`Registry` → bytes of a registry file: the contract's CSV, JSON, a plain list, a spreadsheet.

In: a registry. Out: pieces of the file, rows in the order of their files, and notes of what the
form cannot hold. What is written as CSV, JSON or XLSX is read back as the same registrations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Literal, NamedTuple, get_args

import numpy as np

from enforcer.policy.prefix import FAMILIES, format_address
from enforcer.policy.registry import ALWAYS, FOREVER, Columns, Registry
from enforcer.policy.registry_columns import join_words
from enforcer.policy.registry_rows import HEADER
from enforcer.registries.gathering import EVERY, Note, Notes, Progress
from enforcer.registries.sheetwriting import sheet_pieces

WrittenForm = Literal["csv", "json", "plain", "xlsx"]
WRITTEN: tuple[WrittenForm, ...] = get_args(WrittenForm)
_EPOCH = date(1970, 1, 1)


class Fields(NamedTuple):
    """A row as texts, in the order of the contract. `services` has a space between two."""

    id: str
    prefix: str
    category: str
    valid_from: str
    valid_until: str
    services: str


def fields(registry: Registry, progress: Progress = lambda _: None) -> Iterator[Fields]:
    """Every row, in the order of files and lines. A row without an id has its prefix for one."""
    places = np.concatenate([c.file.astype(np.uint64) << 32 | c.line for c in _parts(registry)])
    order = np.argsort(places, kind="stable")
    rows = [_texts(registry, columns) for columns in _parts(registry)]
    first = len(registry.v4)
    for count, row in enumerate(order.tolist()):
        if count % EVERY == 0:
            progress(count)
        yield rows[0](row) if row < first else rows[1](row - first)


def _parts(registry: Registry) -> list[Columns]:
    return [registry.of_family(family) for family in FAMILIES]


def _texts(registry: Registry, columns: Columns) -> Callable[[int], Fields]:
    """The row at an index of one family, as texts."""
    days: dict[int, str] = {ALWAYS: "", FOREVER: ""}
    services = [" ".join(map(str, each)) for each in registry.services]

    def day(number: int) -> str:
        if number not in days:
            days[number] = (_EPOCH + timedelta(days=number)).isoformat()
        return days[number]

    def texts(i: int) -> Fields:
        address = format_address(columns.family, join_words(columns.words, i))
        prefix = f"{address}/{columns.length[i]}"
        first = int(columns.id_ends[i - 1]) if i else 0
        return Fields(
            columns.ids[first : int(columns.id_ends[i])].decode() or prefix,
            prefix,
            registry.categories[columns.category[i]],
            day(int(columns.valid_from[i])),
            day(int(columns.valid_until[i])),
            services[columns.services[i]],
        )

    return texts


def pieces(
    registry: Registry, form: WrittenForm, progress: Progress = lambda _: None
) -> Iterator[bytes]:
    """The file, in pieces. Raises ValueError for what the form cannot hold at all."""
    rows = fields(registry, progress)
    if form == "xlsx":
        return sheet_pieces(HEADER.split(","), rows, len(registry))
    return {"csv": _csv, "json": _json, "plain": _plain}[form](rows)


def losses(registry: Registry, form: WrittenForm) -> tuple[Note, ...]:
    """What `form` drops of this registry."""
    notes = Notes()
    if form == "plain":
        ends = sum(int(np.count_nonzero(np.diff(c.id_ends, prepend=0))) for c in _parts(registry))
        services = sum(int(np.count_nonzero(c.services)) for c in _parts(registry))
        dated = sum(
            int(np.count_nonzero((c.valid_from != ALWAYS) | (c.valid_until != FOREVER)))
            for c in _parts(registry)
        )
        for count, what in (
            (ends, "ids, dropped"),
            (len(registry) if len(registry.categories) > 1 else 0, "categories, dropped"),
            (dated, "days of validity, dropped: what is read back is valid always"),
            (services, "services, dropped: what is read back is registered for any service"),
        ):
            if count:
                notes.add(f"{what} ({count:,} rows)")
    return notes.all()


def _csv(rows: Iterator[Fields]) -> Iterator[bytes]:
    yield f"{HEADER}\n".encode()
    for row in rows:
        line = ",".join(row)
        if '"' in row.id or "," in row.id or "#" in row.id:
            doubled = row.id.replace('"', '""')
            line = ",".join((f'"{doubled}"', *row[1:]))
        yield f"{line}\n".encode()


def _json(rows: Iterator[Fields]) -> Iterator[bytes]:
    before = "[\n"
    for row in rows:
        entry = {
            "id": row.id,
            "prefix": row.prefix,
            "category": row.category,
            "valid_from": row.valid_from or None,
            "valid_until": row.valid_until or None,
            "services": row.services.split(),
        }
        yield f"{before}{json.dumps(entry, ensure_ascii=False)}".encode()
        before = ",\n"
    yield b"[]\n" if before == "[\n" else b"\n]\n"


def _plain(rows: Iterator[Fields]) -> Iterator[bytes]:
    written = set()
    for row in rows:
        if row.prefix not in written:
            written.add(row.prefix)
            yield f"{row.prefix}\n".encode()
