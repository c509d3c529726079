"""Rows of texts → an XLSX file (ECMA-376) of one sheet, every cell a text.

As texts, so that no spreadsheet makes numbers of ids, days or addresses, nor formulas of anything.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from xml.sax.saxutils import escape

from enforcer.registries.workbook import LAST_ROW

_SPACE = "http://schemas.openxmlformats.org/"
_MAIN = f"{_SPACE}spreadsheetml/2006/main"
_RELATED = f"{_SPACE}officeDocument/2006/relationships"
_PACKAGE = f"{_SPACE}package/2006"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SHEET = "xl/worksheets/sheet1.xml"
_PIECES = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships'
    '+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/{_SHEET}" ContentType="{_KIND}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
    f'Type="{_RELATED}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATED}"><sheets>'
    '<sheet name="Registrations" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_RELATED}/worksheet" Target="worksheets/sheet1.xml"/>'
    "</Relationships>",
}
# 1 January 1980, the first day of a zip archive: the same rows make the same file.
_DAY = 1 << 5 | 1


def sheet_pieces(
    header: Sequence[str], rows: Iterable[Sequence[str]], count: int
) -> Iterator[bytes]:
    """The file, in pieces. Raises ValueError when a sheet has too few rows for `count`."""
    if count >= LAST_ROW:
        raise ValueError(f"a sheet has {LAST_ROW:,} rows at most; write CSV")
    return _archive(header, rows)


def _archive(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[bytes]:
    entries = []
    at = 0
    for name in (*_PIECES, _SHEET):
        text = _sheet(header, rows) if name == _SHEET else iter([_HEAD + _PIECES[name]])
        packed, crc, size = _packed(text)
        numbers = (20, 0x800, 8, 0, _DAY, crc, len(packed), size, len(name), 0)
        raw = name.encode()
        local = struct.pack("<4s5H3L2H", b"PK\x03\x04", *numbers) + raw
        entries.append(
            struct.pack("<4sH5H3L5H2L", b"PK\x01\x02", 20, *numbers, 0, 0, 0, 0, at) + raw
        )
        at += len(local) + len(packed)
        yield local
        yield packed
    size = sum(map(len, entries))
    yield from entries
    yield struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), size, at, 0)


def _packed(texts: Iterator[str]) -> tuple[bytes, int, int]:
    """Packed, with the checksum and the size of what was packed."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    crc, size = 0, 0
    packed = bytearray()
    for text in texts:
        raw = text.encode()
        crc, size = zlib.crc32(raw, crc), size + len(raw)
        packed += packer.compress(raw)
    return bytes(packed + packer.flush()), crc, size


def _sheet(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'
    yield _row(header)
    for row in rows:
        yield _row(row)
    yield "</sheetData></worksheet>"


def _row(texts: Sequence[str]) -> str:
    cells = (
        f'<c t="inlineStr"><is><t xml:space="preserve">{_text(text)}</t></is></c>'
        if text
        else "<c/>"
        for text in texts
    )
    return f"<row>{''.join(cells)}</row>"


def _text(text: str) -> str:
    # `_x0041_` would be read as a letter; two code points may not stand in XML at all.
    safe = escape(text.replace("_x", "_x005F_x"))
    return safe.replace("\ufffe", "_xFFFE_").replace("\uffff", "_xFFFF_")
