"""The cells of a sheet → registrations: where the header stands, and what its words mean.

In: a `Sheet`. Out: rows in a `Gathering`. The header may stand in any of the first 50 rows that
have cells, in any columns, in one row or in two; a merged cell counts for every row that it spans.
Columns that nobody knows are dropped, and that is said.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import date, timedelta

from enforcer.policy.registry_rows import FIELDS
from enforcer.policy.words import shown
from enforcer.registries import loose
from enforcer.registries.gathering import BadRowError, Gathering
from enforcer.registries.workbook import Cell, Fault, Number, Row, Sheet
from enforcer.registries.zipped import SheetError

_HEADER_WITHIN = 50
# A hostile file may merge everything with everything.
_MOST_FILLED = 4_000_000
# What spreadsheets count days from: 1900 as if it had a 29th of February, or 1904.
_DAY_ZERO, _DAY_ZERO_1904 = date(1899, 12, 30), date(1904, 1, 1)
_FIRST_SURE_DAY, _LAST_DAY = 61, 2_958_465

# What people call the fields, in small letters with single spaces. `last` and `mask` belong to a
# prefix that is written in two columns.
_NAMES = {
    "id": "id|registration|registration id|registration no|registration number|reg id|reg no"
    "|reference|registrant id|licence|licence no|license|license no",
    "prefix": "prefix|prefixes|cidr|network|subnet|ip|ips|ip prefix|ip prefixes|ip range"
    "|ip ranges|ip address|ip addresses|ip block|address|addresses|address range|range"
    "|first address|first ip|start ip|start address|ip from|from ip",
    "last": "last address|last ip|end ip|end address|ip to|to ip",
    "mask": "mask|netmask|subnet mask|prefix length|length",
    "category": "category|type|class|sector|kind",
    "valid_from": "valid from|from|start|start date|from date|since|effective from",
    "valid_until": "valid until|until|valid to|to|valid till|end|end date|to date|expires|expiry"
    "|expiry date|expires on|expiration|expiration date",
    "services": "services|service|port|ports|protocol|protocols|services ports",
}
_FIELD_OF = {name: key for key, names in _NAMES.items() for name in names.split("|")}


def read_table(
    sheet: Sheet,
    out: Gathering,
    known: tuple[str, ...] | None,
    *,
    category: str | None,
    id_prefix: str,
    from_1904: bool,
) -> None:
    """Puts the registrations of a sheet into `out`. `known` are the declared categories, if known;
    `category` is for rows without one, `id_prefix` begins the ids of a sheet without ids.

    Raises SheetError without a header, PolicyError when there are too many rows.
    """
    at, columns = _header(sheet.rows)
    out.columns = columns
    _fill_merged(sheet, at, columns)
    _say_what_is_dropped(sheet.rows, at, columns, out)
    if "category" not in columns and category is None:
        raise SheetError("has no column for the category; give one with --category")
    rows = sheet.rows[at:]
    needed = {columns["prefix"], columns.get("category", columns["prefix"])}
    while rows and not needed & rows[-1][1].keys():
        number, _ = rows.pop()
        out.notes.add("rows below the last prefix (a total, a signature), left out", number)
    for number, cells in rows:
        try:
            values = {
                name: _value(name, cells.get(column), number, out, from_1904)
                for name, column in columns.items()
            }
            prefixes = _prefixes(values, number, out)
        except BadRowError as fault:
            out.fault(number, fault)
            continue
        if not any(values.values()):
            continue
        named = loose.category(values.get("category", ""), known) or category or ""
        rest = (
            named,
            loose.day(values.get("valid_from", "")),
            loose.day(values.get("valid_until", "")),
            loose.services(values.get("services", "")),
        )
        for prefix in prefixes:
            name = loose.name(values.get("id", ""))
            if "id" not in columns:
                name = id_prefix + prefix
            out.add(number, (name, prefix, *rest))


def _prefixes(values: dict[str, str], number: int, out: Gathering) -> list[str]:
    text = values["prefix"]
    if text and values.get("last"):
        text = f"{text}-{values['last']}"
    elif text and values.get("mask"):
        text = f"{text}/{values['mask'].removeprefix('/')}"
    return loose.prefixes(text, out.notes, number)


def has_header(sheet: Sheet) -> bool:
    try:
        _header(sheet.rows)
    except SheetError:
        return False
    return True


def _header(rows: Sequence[Row]) -> tuple[int, dict[str, int]]:
    """The place behind the header in `rows`, and the column of each field."""
    for at, (_, cells) in enumerate(rows[:_HEADER_WITHIN]):
        columns, twice = _fields(cells)
        if "prefix" not in columns or (len(columns) < 2 and len(cells) > 1):
            continue
        at += 1
        if at < len(rows) and all(_field(cell) for cell in rows[at][1].values()):
            # A second row of names, below a title that spans several columns.
            below, more = _fields(rows[at][1])
            columns, twice, at = {**columns, **below}, twice or more, at + 1
        if twice:
            raise SheetError(f"has two columns for {twice}; name one of them otherwise")
        return at, columns
    fact = f"no row of its first {_HEADER_WITHIN} is a header with a column for the prefix"
    raise SheetError(f"{fact}; name the columns {', '.join(FIELDS)}, or choose another --sheet")


def _field(cell: Cell) -> str | None:
    if not isinstance(cell, str):
        return None
    return _FIELD_OF.get(" ".join(re.split(r"[\W_]+", cell.casefold())).strip())


def _fields(cells: dict[int, Cell]) -> tuple[dict[str, int], str | None]:
    """The column of each field that a row names, and the first field that it names twice."""
    columns: dict[str, int] = {}
    twice = None
    for column, cell in sorted(cells.items()):
        name = _field(cell)
        if name in columns:
            twice = twice or name
        elif name is not None:
            columns[name] = column
    return columns, twice


def _fill_merged(sheet: Sheet, at: int, columns: dict[str, int]) -> None:
    """Gives every row that a merged cell spans its value, in the columns that matter."""
    numbers = [number for number, _ in sheet.rows]
    wanted = set(columns.values())
    filled = 0
    for first, last, left, _ in sheet.merges:
        start = bisect_left(numbers, first)
        stop = bisect_right(numbers, last)
        if left not in wanted or first == last or start == stop or numbers[start] != first:
            continue
        value = sheet.rows[start][1].get(left)
        filled += stop - start
        if filled > _MOST_FILLED:
            raise SheetError("has merged cells over millions of rows; export it as CSV")
        if value is None:
            continue
        for _, cells in sheet.rows[max(start + 1, at) : stop]:
            if any(column in wanted for column in cells):
                cells.setdefault(left, value)


def _say_what_is_dropped(
    rows: Sequence[Row], at: int, columns: dict[str, int], out: Gathering
) -> None:
    known = set(columns.values())
    counts: dict[int, int] = {}
    first: dict[int, int] = {}
    for number, cells in rows[at:]:
        for column in cells.keys() - known:
            counts[column] = counts.get(column, 0) + 1
            first.setdefault(column, number)
    for column in sorted(counts):
        name = next((c[column] for _, c in reversed(rows[:at]) if column in c), None)
        title = shown(name) if isinstance(name, str) else f"number {column}"
        out.notes.add(f"values of the column {title}, dropped", first[column], counts[column])


def _value(name: str, cell: Cell | None, row: int, out: Gathering, from_1904: bool) -> str:
    """The text of a cell, by what its field is. What a spreadsheet ate is not guessed."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Fault):
        raise BadRowError(f"{name} is {cell.text}, a formula that failed; correct it", name)
    if name in ("valid_from", "valid_until"):
        return _day(name, cell, row, out, from_1904)
    if name in ("prefix", "last"):
        fact = f"{name} is the number {cell.text}: the spreadsheet took an address for a number"
        raise BadRowError(f"{fact}; format the column as text and write the address again", name)
    return _whole(name, cell, row, out)


def _whole(name: str, cell: Number, row: int, out: Gathering) -> str:
    """`123` for 123.0 or 1.23E2; with the zeros that the format of the cell shows."""
    number = float(cell.text) if _is_number(cell.text) else 0.5
    if not number.is_integer() or abs(number) >= 1e15:
        fact = f"{name} is the number {cell.text}, which a spreadsheet does not keep exactly"
        raise BadRowError(f"{fact}; format the column as text and write it again", name)
    digits = str(int(number)).zfill(cell.style.width)
    if name == "id" and not cell.style.width:
        out.notes.add("ids that are numbers; zeros before them, if there were any, are lost", row)
    return cell.style.before + digits


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?([Ee][+-]?[0-9]{1,2})?", text) is not None


def _day(name: str, cell: Number, row: int, out: Gathering, from_1904: bool) -> str:
    """A serial number as a day. The 60 days before the leap day that never was are refused."""
    serial = float(cell.text) if _is_number(cell.text) else -1.0
    zero = _DAY_ZERO_1904 if from_1904 else _DAY_ZERO
    if not _FIRST_SURE_DAY <= serial < _LAST_DAY - 2000:
        fact = f"{name} is the number {cell.text}, which is no day of a spreadsheet"
        raise BadRowError(f"{fact}; write it like 2026-12-31", name)
    if not serial.is_integer():
        out.notes.add("times of day, dropped: registrations count whole days", row)
    return (zero + timedelta(days=int(serial))).isoformat()
