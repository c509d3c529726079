"""An XLSX workbook (ECMA-376) → the cells of a sheet: what registrars send by mail.

In: the bytes of the file. Out: rows of cells, a cell being text, a `Number`, or a `Fault`. Only
what a table needs is read: sheets, shared strings, number formats, cells, merged cells. Formulas
are not computed, their saved results are taken. Raises `SheetError`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from enforcer.registries.sheetxml import parse
from enforcer.registries.zipped import Archive, SheetError

# A sheet of a million rows and six columns unpacks to some 200 MB.
MOST_UNPACKED = 512 * 1024**2
_MOST_CELLS = 8_000_000
_MOST_STRINGS = 4_000_000
_MOST_MERGES = 100_000
LAST_ROW, _LAST_COLUMN = 1_048_576, 16_384
# What is longer is no field of a registration; the message quotes its beginning.
_LONGEST_TEXT = 4096

# Built-in number formats that show a day (ECMA-376 part 1, 18.8.30), with those of East Asia.
_DAY_FORMATS = {*range(14, 18), 22, *range(27, 37), *range(50, 59)}
_NOT_SHOWN = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]|_.')
_PADDED = re.compile(r'(?:"([^"]*)")?(0{2,})')
_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?([1-9][0-9]{0,6})", re.ASCII)
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")


class Number(NamedTuple):
    """A cell that the spreadsheet holds as a number: its digits, and how it shows it."""

    text: str
    style: Style


class Fault(NamedTuple):
    """A cell whose formula failed, like `#REF!`."""

    text: str


@dataclass(frozen=True, slots=True)
class Style:
    """A number format: a day, or whole numbers filled with zeros to `width` behind `before`."""

    is_day: bool = False
    before: str = ""
    width: int = 0


Cell = str | Number | Fault
Row = tuple[int, dict[int, Cell]]
# First and last row, first and last column, from 1.
Merge = tuple[int, int, int, int]


@dataclass(slots=True)
class Sheet:
    """`rows` in order: the number of each and its cells by column, from 1. `hidden` of them are."""

    rows: list[Row] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    hidden: int = 0
    formulas: int = 0


class Workbook:
    """`sheets`: the name of each visible sheet and its member; `hidden`: names of the others."""

    def __init__(self, data: bytes) -> None:
        self._archive = Archive(data, MOST_UNPACKED)
        if "mimetype" in self._archive and "content.xml" in self._archive:
            raise SheetError("is an OpenDocument spreadsheet; save it as XLSX or CSV")
        main = self._main()
        if main.endswith(".bin"):
            raise SheetError("is a binary workbook (XLSB); save it as XLSX or CSV")
        self.sheets: dict[str, str] = {}
        self.hidden: list[str] = []
        self.from_1904 = False
        self._read_main(main)
        self._strings: list[str] = []
        self._styles: list[Style] = []
        related = self._relations(main)
        for member, kind in related.values():
            if kind == "sharedStrings":
                self._read_strings(member)
            elif kind == "styles":
                self._read_styles(member)

    def _main(self) -> str:
        for member, kind in self._relations("").values():
            if kind == "officeDocument":
                return member
        raise SheetError("is a zip archive, but no workbook; unpack it, or export it as CSV")

    def _relations(self, member: str) -> dict[str, tuple[str, str]]:
        """By id: the member that is related to `member`, and the last word of its type."""
        folder, name = posixpath.split(member)
        place = posixpath.join(folder, "_rels", f"{name}.rels")
        found: dict[str, tuple[str, str]] = {}
        if place not in self._archive:
            return found

        def begin(tag: str, attributes: dict[str, str]) -> None:
            if tag == "Relationship" and attributes.get("TargetMode") != "External":
                target = posixpath.join("/", folder, attributes.get("Target", ""))
                kind = attributes.get("Type", "").rpartition("/")[2]
                found[attributes.get("Id", "")] = posixpath.normpath(target).lstrip("/"), kind

        parse(self._archive.pieces(place), begin, _nothing, _nothing)
        return found

    def _read_main(self, main: str) -> None:
        related = self._relations(main)

        def begin(tag: str, attributes: dict[str, str]) -> None:
            if tag == "workbookPr":
                self.from_1904 = attributes.get("date1904") in ("1", "true", "on")
            elif tag == "sheet":
                keys = (k for k in attributes if k.rpartition("|")[2] == "id")
                member, kind = related.get(attributes.get(next(keys, ""), ""), ("", ""))
                name = attributes.get("name", "")
                if attributes.get("state", "visible") != "visible":
                    self.hidden.append(name)
                elif kind == "worksheet":
                    self.sheets[name] = member

        parse(self._archive.pieces(main), begin, _nothing, _nothing)

    def _read_strings(self, member: str) -> None:
        text = _Text()

        def end(tag: str) -> None:
            text.end(tag)
            if tag == "si":
                self._strings.append(text.take())
                if len(self._strings) > _MOST_STRINGS:
                    raise _too_large(f"{_MOST_STRINGS:,} texts")

        parse(self._archive.pieces(member), lambda tag, _: text.begin(tag), end, text.add)

    def _read_styles(self, member: str) -> None:
        own: dict[str, str] = {}
        # The list of formats that cells name by its place; there are others of the same elements.
        inside: list[str] = []

        def begin(tag: str, attributes: dict[str, str]) -> None:
            if tag == "numFmt":
                own[attributes.get("numFmtId", "")] = attributes.get("formatCode", "")[:256]
            elif tag == "cellXfs":
                inside.append(tag)
            elif tag == "xf" and inside:
                self._styles.append(_style(attributes.get("numFmtId", "0"), own))

        def end(tag: str) -> None:
            if tag == "cellXfs":
                inside.clear()

        parse(self._archive.pieces(member), begin, end, _nothing)

    def sheet(self, name: str, progress: Callable[[int], None]) -> Sheet:
        """The cells of the sheet `name`. `progress` is called now and then with a row's number."""
        reader = _SheetReader(self._strings, self._styles, progress)
        parse(self._archive.pieces(self.sheets[name]), reader.begin, reader.end, reader.text.add)
        return reader.sheet


def _nothing(*_: object) -> None:
    return


def _too_large(what: str) -> SheetError:
    return SheetError(f"has more than {what}, the most that is read; export it as CSV")


def _whole(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else otherwise


def _style(number: str, own: dict[str, str]) -> Style:
    code = own.get(number)
    if code is None:
        return Style(is_day=_whole(number, 0) in _DAY_FORMATS)
    if found := _PADDED.fullmatch(code):
        return Style(before=found[1] or "", width=len(found[2]))
    return Style(is_day=re.search("[ymdYMD]", _NOT_SHOWN.sub("", code)) is not None)


def column_number(letters: str) -> int:
    """`A` is 1, `AA` 27."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _reference(text: str) -> tuple[int, int] | None:
    """Row and column of `C17`, None for what is none."""
    found = _REFERENCE.fullmatch(text)
    if found is None:
        return None
    row, column = int(found[2]), column_number(found[1])
    return (row, column) if row <= LAST_ROW and column <= _LAST_COLUMN else None


class _Text:
    """Gathers what stands in `t` elements, those of phonetic hints left out."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self.on = False
        self._phonetic = False

    def begin(self, tag: str) -> None:
        if tag == "rPh":
            self._phonetic = True
        elif tag == "t":
            self.on = not self._phonetic

    def end(self, tag: str) -> None:
        if tag == "rPh":
            self._phonetic = False
        elif tag == "t":
            self.on = False

    def add(self, text: str) -> None:
        if self.on and self._size <= _LONGEST_TEXT:
            self._parts.append(text)
            self._size += len(text)

    def take(self) -> str:
        text = "".join(self._parts)[: _LONGEST_TEXT + 1]
        self._parts.clear()
        self._size = 0
        return _ESCAPED.sub(lambda m: chr(int(m[1], 16)), text) if "_x" in text else text


class _SheetReader:
    """Takes the events of a worksheet."""

    def __init__(
        self, strings: list[str], styles: list[Style], progress: Callable[[int], None]
    ) -> None:
        self.sheet = Sheet()
        self.text = _Text()
        self._strings, self._styles, self._progress = strings, styles, progress
        self._row, self._column = 0, 0
        self._cells: dict[int, Cell] = {}
        self._kind, self._style = "", Style()
        self._count = 0

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "c":
            self._begin_cell(attributes)
        elif tag == "v":
            self.text.on = True
        elif tag == "row":
            self._begin_row(attributes)
        elif tag == "f":
            self.sheet.formulas += 1
        elif tag == "mergeCell":
            self._merge(attributes.get("ref", ""))
        else:
            self.text.begin(tag)

    def end(self, tag: str) -> None:
        if tag == "v":
            self.text.on = False
        elif tag == "c":
            self._end_cell()
        elif tag == "row":
            if self._cells:
                self.sheet.rows.append((self._row, self._cells))
        else:
            self.text.end(tag)

    def _begin_row(self, attributes: dict[str, str]) -> None:
        before = self._row
        self._row = _whole(attributes.get("r", ""), before + 1)
        if not before < self._row <= LAST_ROW:
            raise SheetError("has rows out of order; save it anew with a spreadsheet program")
        if attributes.get("hidden") in ("1", "true"):
            self.sheet.hidden += 1
        self._cells, self._column = {}, 0
        if self._row % 8192 == 0:
            self._progress(self._row)

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        place = _reference(attributes.get("r", ""))
        self._column = place[1] if place else self._column + 1
        self._kind = attributes.get("t", "n")
        number = _whole(attributes.get("s", ""), 0)
        self._style = self._styles[number] if number < len(self._styles) else Style()
        self._count += 1
        if self._count > _MOST_CELLS or self._column > _LAST_COLUMN:
            raise _too_large(f"{_MOST_CELLS:,} cells")

    def _end_cell(self) -> None:
        text = self.text.take()
        if not text:
            return
        cell: Cell = text
        if self._kind == "s":
            number = _whole(text, len(self._strings))
            if number >= len(self._strings):
                raise SheetError("names a text that it does not have; save it anew")
            cell = self._strings[number]
        elif self._kind == "n":
            cell = Number(text, self._style)
        elif self._kind == "e":
            cell = Fault(text)
        elif self._kind == "b":
            cell = "TRUE" if text == "1" else "FALSE"
        if cell:
            self._cells[self._column] = cell

    def _merge(self, text: str) -> None:
        first, _, last = text.partition(":")
        begin, end = _reference(first), _reference(last)
        if begin and end:
            self.sheet.merges.append((begin[0], end[0], begin[1], end[1]))
        if len(self.sheet.merges) > _MOST_MERGES:
            raise _too_large(f"{_MOST_MERGES:,} merged ranges")
