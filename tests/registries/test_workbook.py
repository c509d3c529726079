"""What openpyxl writes is read as it was meant; what nobody's program writes is refused."""

from __future__ import annotations

from datetime import date

import openpyxl
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from openpyxl.worksheet.worksheet import Worksheet

from enforcer.registries import workbook as workbook_module
from enforcer.registries.workbook import Cell, Fault, Number, Style, Workbook, column_number
from enforcer.registries.zipped import SheetError
from tests.registries.sheets import SHEET, archive, cells, inline, saved, workbook


def rows_of(data: bytes) -> list[tuple[int, dict[int, Cell]]]:
    book = Workbook(data)
    return book.sheet(next(iter(book.sheets)), lambda _: None).rows


def test_cells_of_every_kind() -> None:
    def change(sheet: Worksheet) -> None:
        sheet["A1"].number_format = '"R-"000000'
        sheet["H2"] = "#REF!"
        sheet["H2"].data_type = "e"

    read = rows_of(
        workbook(
            [[7, 1.5, "text & <more>", date(2026, 12, 31), True, None, "", " kept "], ["شرکت"]],
            change,
        )
    )
    assert read == [
        (
            1,
            {
                1: Number("7", Style(before="R-", width=6)),
                2: Number("1.5", Style()),
                3: "text & <more>",
                4: Number("46387", Style(is_day=True)),
                5: "TRUE",
                8: " kept ",
            },
        ),
        (2, {1: "شرکت", 8: Fault("#REF!")}),
    ]


@pytest.mark.parametrize(
    ("code", "is_day"),
    [
        ("yyyy-mm-dd", True),
        ("[$-409]d mmm;@", True),
        ("DD/MM/YYYY", True),
        ("General", False),
        ('0.00" days"', False),
        (r"0\d", False),
        ("[Red]0", False),
        ("#,##0.00", False),
    ],
)
def test_a_format_is_a_days_when_it_shows_one(code: str, is_day: bool) -> None:
    def change(sheet: Worksheet) -> None:
        sheet["A1"].number_format = code

    cell = rows_of(workbook([[46387]], change))[0][1][1]
    assert isinstance(cell, Number)
    assert cell.style.is_day == is_day


def test_rows_and_cells_without_references_follow_each_other() -> None:
    read = rows_of(archive(cells(inline("a", "b"), '<row r="5"><c/><c r="D5"><v>1</v></c></row>')))
    assert read == [(1, {1: "a", 2: "b"}), (5, {4: Number("1", Style())})]


def test_rich_text_is_joined_and_hints_of_pronunciation_are_not_text() -> None:
    read = rows_of(
        archive(
            cells(
                '<row><c t="inlineStr"><is><r><t>20.0.</t></r><r><t>0.0/24</t></r>'
                "<rPh><t>hint</t></rPh></is></c>"
                '<c t="str"><f>A1</f><v>a_x0041_b</v></c></row>'
            )
        )
    )
    assert read == [(1, {1: "20.0.0.0/24", 2: "aAb"})]


def test_both_editions_of_the_standard_are_read() -> None:
    space = "http://purl.oclc.org/ooxml/spreadsheetml/main"
    sheet = f'<x:worksheet xmlns:x="{space}"><x:sheetData><x:row><x:c><x:v>1</x:v></x:c></x:row>'
    assert rows_of(archive({SHEET: f"{sheet}</x:sheetData></x:worksheet>"})) == [
        (1, {1: Number("1", Style())})
    ]


def test_sheets_that_are_hidden_and_the_epoch() -> None:
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904
    book.create_sheet("Old").sheet_state = "hidden"
    book.create_sheet("More")
    read = Workbook(saved(book))
    assert (list(read.sheets), read.hidden, read.from_1904) == (["Sheet", "More"], ["Old"], True)


def test_hidden_rows_formulas_and_merges_are_told() -> None:
    def change(sheet: Worksheet) -> None:
        sheet.row_dimensions[2].hidden = True
        sheet["B1"] = "=A1"
        sheet.merge_cells("A2:B4")

    book = Workbook(workbook([["a"], ["b"]], change))
    sheet = book.sheet("Registrations", lambda _: None)
    assert (sheet.hidden, sheet.formulas, sheet.merges) == (1, 1, [(2, 4, 1, 2)])


def test_columns() -> None:
    assert [column_number(name) for name in ("A", "Z", "AA", "XFD")] == [1, 26, 27, 16384]


ENTITIES = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
SIZE = 3 << 20


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ({SHEET: f"{ENTITIES}<worksheet>&b;</worksheet>"}, "has an XML document type in it"),
        (
            {SHEET: '<!DOCTYPE x SYSTEM "file:///etc/passwd"><worksheet/>'},
            "has an XML document type in it",
        ),
        ({SHEET: "<a>" * 100}, "has XML nested too deep"),
        ({SHEET: f'<worksheet a="{"x" * SIZE}"/>'}, "has an XML tag of more than 1 MB"),
        ({SHEET: "<worksheet>"}, "has broken XML in it (no element found)"),
        ({SHEET: b"<w>\xff</w>"}, "has broken XML in it (not well-formed"),
        ({SHEET: None}, f"has no '{SHEET}' in it"),
        ({"_rels/.rels": None}, "is a zip archive, but no workbook"),
        ({"mimetype": "x", "content.xml": "x"}, "is an OpenDocument spreadsheet"),
        (cells('<row r="3"/>', '<row r="2"/>'), "has rows out of order"),
        (cells('<row r="1048577"/>'), "has rows out of order"),
        (cells('<row><c t="s"><v>0</v></c></row>'), "names a text that it does not have"),
        (cells('<row><c t="s"><v>-1</v></c></row>'), "names a text that it does not have"),
    ],
    ids=[
        "entities",
        "external document type",
        "deep",
        "one large tag",
        "cut",
        "other encoding",
        "no sheet",
        "no workbook",
        "open document",
        "backward",
        "too many rows",
        "no such text",
        "negative text",
    ],
)
def test_hostile_workbooks(pieces: dict[str, str | bytes | None], message: str) -> None:
    with pytest.raises(SheetError) as refused:
        rows_of(archive(pieces))
    assert str(refused.value).startswith(message)


def test_cells_and_merges_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_module, "_MOST_CELLS", 5)
    with pytest.raises(SheetError, match="has more than 5 cells"):
        rows_of(archive(cells(inline(*"abc"), inline(*"abc"))))
    monkeypatch.setattr(workbook_module, "_MOST_MERGES", 1)
    with pytest.raises(SheetError, match="has more than 1 merged ranges"):
        rows_of(archive({SHEET: '<a><mergeCell ref="A1:A2"/><mergeCell ref="A3:A4"/></a>'}))


def test_a_text_of_a_megabyte_is_cut() -> None:
    cell = rows_of(archive(cells(inline("x" * 1_000_000))))[0][1][1]
    assert isinstance(cell, str)
    assert len(cell) == 4097
