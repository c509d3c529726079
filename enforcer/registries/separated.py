"""CSV whose fields stand between semicolons or tabs, as many countries' spreadsheets save it → the
cells of a `Sheet`.

In: bytes. It is taken for such a file only when its header has the fields of the contract, all six
in their order, and nothing else; the daemon's own file keeps its commas.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator

from enforcer.policy.registry_rows import FIELDS
from enforcer.registries.gathering import EVERY, BadRowError, Gathering, Progress
from enforcer.registries.workbook import Sheet

SEPARATORS = {";": "semicolons", "\t": "tabs"}
_HEAD = 1 << 16


def separator_of(data: bytes) -> str | None:
    """What stands between the fields of the header; None where it is no such file."""
    head = data[:_HEAD].decode("utf-8-sig", "replace")
    for line in head.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            return next((s for s in SEPARATORS if _cells(line, s) == [*FIELDS]), None)
    return None


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True), [])
    except csv.Error:
        return []


def read_separated(text: str, separator: str, out: Gathering, progress: Progress) -> Sheet:
    """The header and the rows below it; a row with fewer or more fields is a fault of `out`.
    Raises PolicyError where quotes are not those of CSV.
    """
    sheet = Sheet()
    out.notes.add(f"fields between {SEPARATORS[separator]}")
    for line, cells in _rows(text, separator, out):
        if len(cells) == len(FIELDS):
            sheet.rows.append((line, {n: cell for n, cell in enumerate(cells, 1) if cell.strip()}))
        elif cells[0].lstrip().startswith("#"):
            out.notes.add("comments, dropped", line)
        elif any(cells):
            fact = f"{len(cells)} fields where {len(FIELDS)} are needed"
            remedy = f"write {separator.join(FIELDS)} (an empty field counts)"
            out.fault(line, BadRowError(f"{fact}; {remedy}"))
        if len(sheet.rows) % EVERY == 0:
            progress(len(sheet.rows))
    return sheet


def _rows(text: str, separator: str, out: Gathering) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line that it begins in; quoted cells may hold line ends."""
    lines = (f"{line}\n" for line in text.split("\n"))
    rows = csv.reader(lines, delimiter=separator, strict=True)
    line = 1
    try:
        for cells in rows:
            if cells:
                yield line, cells
            line = rows.line_num + 1
    except csv.Error as error:
        raise out.refused(f"no CSV here: {error}; save it again as CSV", line) from None
