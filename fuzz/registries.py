"""Registries as others send them, one target for each form; and what RPKI and its readers say.

What is read is written as the daemon's CSV and read again: the same registry.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date

from enforcer.errors import PolicyError
from enforcer.policy.registry import Registry, parse_registry
from enforcer.registries.comparing import compare
from enforcer.registries.delegated import STATUSES, Chosen
from enforcer.registries.lint import lint
from enforcer.registries.reading import Asked, Form, read_registry
from enforcer.registries.rpki import read_origins, read_payloads
from enforcer.registries.writing import pieces
from fuzz.targets import CATEGORIES, CUT, ROWS, told

_DAY = date(2026, 7, 1)
_SOME = parse_registry("r.csv", ROWS.format(CATEGORIES[0]).encode(), CATEGORIES)


def _read(data: bytes, form: Form, chosen: Chosen | None = None) -> None:
    asked = Asked(form, CATEGORIES[0], "x-", chosen=chosen or Chosen())
    try:
        read = read_registry("r", data, CATEGORIES, asked).registry
    except PolicyError as error:
        told(error)
        return
    _same_when_written(read)
    lint(read, _DAY)


def _same_when_written(read: Registry) -> None:
    again = parse_registry("r.csv", b"".join(pieces(read, "csv")), read.categories)
    assert compare(read, again, _DAY).is_none


def delegated(data: bytes) -> None:
    """The first byte chooses among the records."""
    first, rest = data[:1], data[1:]
    few = Chosen(frozenset({"assigned"}), frozenset({"PK"}))
    _read(rest, "delegated", few if first == b"1" else Chosen(frozenset(STATUSES)))


def plain(data: bytes) -> None:
    _read(data, "plain")


def json_rows(data: bytes) -> None:
    _read(data, "json")


def archive(data: bytes) -> None:
    """The bytes of a spreadsheet."""
    _read(data, "xlsx")


MEMBERS = {
    "xl/worksheets/sheet1.xml": "<worksheet><sheetData>{}</sheetData></worksheet>",
    "xl/sharedStrings.xml": "<sst>{}</sst>",
    "xl/styles.xml": "<styleSheet>{}</styleSheet>",
    "xl/workbook.xml": '<workbook xmlns:r="r"><workbookPr/><sheets>'
    '<sheet name="S" sheetId="1" r:id="b"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": '<Relationships><Relationship Id="b" Type="x/worksheet" '
    'Target="worksheets/sheet1.xml"/><Relationship Id="c" Type="x/sharedStrings" '
    'Target="sharedStrings.xml"/><Relationship Id="d" Type="x/styles" Target="styles.xml"/>'
    "</Relationships>",
    "_rels/.rels": '<Relationships><Relationship Id="a" Type="x/officeDocument" '
    'Target="xl/workbook.xml"/></Relationships>',
    "[Content_Types].xml": "<Types/>",
}


def sheet(data: bytes) -> None:
    """The members of a spreadsheet, packed here: nobody guesses a checksum. What is not given is as
    it mostly is.
    """
    given = data.split(CUT)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as made:
        for number, (name, usual) in enumerate(MEMBERS.items()):
            text = given[number] if number < len(given) else usual.encode()
            made.writestr(zipfile.ZipInfo(name), text)
    _read(file.getvalue(), "xlsx")


def payloads(data: bytes) -> None:
    """ROA payloads, and the file of origins."""
    roas, _, origins = data.partition(CUT)
    try:
        announced, said = read_payloads("vrp.json", roas), read_origins("o.csv", origins)
    except PolicyError as error:
        told(error)
        return
    lint(_SOME, _DAY, payloads=announced, origins=said)
