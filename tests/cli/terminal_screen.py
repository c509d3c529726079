"""A terminal in memory: what stands on its screen after the bytes that a program wrote to it.

It knows the sequences that ours may use (ECMA-48, and xterm's for the alternate screen and the
cursor) and fails on any other, so that nothing is drawn that only some terminals understand.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

_SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")
_COLOURS = {"1": "bold", "2": "dim", "31": "red", "32": "green", "33": "yellow"}


@dataclass
class Cell:
    text: str = " "
    style: str | None = None


@dataclass
class Terminal:
    columns: int
    rows: int
    style: str | None = None
    row: int = 0
    column: int = 0
    cursor_shown: bool = True
    # How often the alternate screen was entered and left.
    entered: int = 0
    left: int = 0
    # The widest that any line was.
    overflowed: bool = False
    scrolled: bool = False
    cells: list[list[Cell]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._wipe()

    def _wipe(self) -> None:
        self.cells = [[Cell() for _ in range(self.columns)] for _ in range(self.rows)]

    def feed(self, data: str) -> None:
        at = 0
        while at < len(data):
            if data[at] == "\x1b":
                match = _SEQUENCE.match(data, at)
                assert match is not None, f"not understood: {data[at : at + 12]!r}"
                self._do(match[1], match[2], match[3])
                at = match.end()
                continue
            self._put(data[at])
            at += 1

    def _do(self, private: str, numbers: str, letter: str) -> None:
        match private, numbers, letter:
            case "?", "1049", "h":
                self.entered += 1
                self._wipe()
            case "?", "1049", "l":
                self.left += 1
                self._wipe()
            case "?", "25", _:
                self.cursor_shown = letter == "h"
            case "", "", "H":
                self.row = self.column = 0
            case "", "", "K":
                for column in range(min(self.column, self.columns), self.columns):
                    self.cells[self.row][column] = Cell()
            case "", "", "J":
                for column in range(min(self.column, self.columns), self.columns):
                    self.cells[self.row][column] = Cell()
                for row in self.cells[self.row + 1 :]:
                    row[:] = [Cell() for _ in row]
            case "", "0", "m":
                self.style = None
            case "", _, "m":
                self.style = _COLOURS[numbers]
            case _:
                raise AssertionError(f"no terminal of ours knows {private}{numbers}{letter}")

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            if self.row == self.rows - 1:
                self.scrolled = True
                self.cells = [*self.cells[1:], [Cell() for _ in range(self.columns)]]
            else:
                self.row += 1
        else:
            assert letter.isprintable(), repr(letter)
            if self.column >= self.columns:
                self.overflowed = True
                return
            self.cells[self.row][self.column] = Cell(letter, self.style)
            self.column += 1

    @property
    def lines(self) -> list[str]:
        return ["".join(cell.text for cell in row).rstrip() for row in self.cells]

    @property
    def text(self) -> str:
        return "\n".join(self.lines).rstrip("\n")

    def styles(self, line: int) -> set[str | None]:
        return {cell.style for cell in self.cells[line] if cell.text != " "}

    def as_html(self) -> str:
        """The screen as a page, for a picture."""
        rows = []
        for row in self.cells:
            spans = "".join(
                f'<span class="{cell.style}">{html.escape(cell.text)}</span>'
                if cell.style
                else html.escape(cell.text)
                for cell in row
            )
            rows.append(spans.rstrip())
        while rows and not rows[-1]:
            rows.pop()
        return f"<!doctype html><meta charset=utf-8><style>{_LOOK}</style><pre>{chr(10).join(rows)}"


_LOOK = """
body { margin: 0; background: #16181d; }
pre { margin: 0; padding: 18px 22px; color: #d7dae0;
  font: 14px/1.45 "DejaVu Sans Mono", "Liberation Mono", monospace; }
.bold { font-weight: bold; color: #fff; } .dim { color: #8b919c; }
.red { color: #ff7b72; } .green { color: #7ee787; } .yellow { color: #e3b341; }
"""
