"""Spreadsheets for tests: written by openpyxl, or piece by piece where openpyxl would not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import openpyxl
from openpyxl.worksheet.worksheet import Worksheet

HEADER = ("id", "prefix", "category", "valid_from", "valid_until", "services")
PIECES = {
    "[Content_Types].xml": "<Types/>",
    "_rels/.rels": '<Relationships><Relationship Id="a" Type="x/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": '<workbook xmlns:r="r"><sheets><sheet name="S" sheetId="1" r:id="b"/>'
    "</sheets></workbook>",
    "xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="b" Type="x/worksheet" '
    'Target="worksheets/sheet1.xml"/></Relationships>',
    "xl/worksheets/sheet1.xml": "<worksheet><sheetData/></worksheet>",
}
SHEET = "xl/worksheets/sheet1.xml"


def workbook(
    rows: Sequence[Sequence[Any]],
    change: Callable[[Worksheet], None] = lambda _: None,
    title: str = "Registrations",
) -> bytes:
    """A workbook of one sheet that has these rows; `change` does the rest."""
    book = openpyxl.Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    change(sheet)
    return saved(book)


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def archive(changed: Mapping[str, str | bytes | None] = {}, **options: Any) -> bytes:
    """The smallest workbook, with other pieces in the place of its own; None leaves one out."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as made:
        for name, piece in {**PIECES, **changed}.items():
            if piece is not None:
                made.writestr(name, piece)
    return file.getvalue()


def cells(*rows: str) -> dict[str, str]:
    """The sheet's piece with these rows, in XML."""
    return {SHEET: f"<worksheet><sheetData>{''.join(rows)}</sheetData></worksheet>"}


def inline(*texts: str) -> str:
    """A row of texts, in XML."""
    row = "".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in texts)
    return f"<row>{row}</row>"
