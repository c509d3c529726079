"""A JSON file of any size as a stream of its entries, each with its line.

In: text. Out: `(line, value)` one after the other, so that a million entries never stand in memory
at once. Understood: a list, an object that holds the list under one of the names asked for, and
one object after another (JSON Lines). Raises `JsonError` with line, column, fact and remedy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

_SPACE = re.compile(r"[ \t\r\n]*")


class JsonError(Exception):
    def __init__(self, line: int, column: int, message: str) -> None:
        self.line, self.column, self.message = line, column, message
        super().__init__(message)


class _RefusedError(ValueError):
    """JSON that Python would take: as `fact; remedy`."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RefusedError("has one key twice; keep one of them")
    return made


def _no_number(text: str) -> NoReturn:
    raise _RefusedError(f"{text} is no number of JSON; write a number, or null")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)


class JsonRows:
    """Iterates over the entries. Afterwards `others` are the members beside the list that was
    asked for, by name.
    """

    def __init__(self, text: str, wanted: tuple[str, ...]) -> None:
        self._text = text
        self._wanted = wanted
        self._at = 0
        # The line that `_counted` stands in, so that lines are counted once.
        self._line, self._counted = 1, 0
        self.found = ""
        self.others: dict[str, Any] = {}

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        first = self._next()
        if first == "[":
            self._at += 1
            yield from self._elements()
        elif first == "{":
            if self._is_row():
                while self._next():
                    yield self._line_of(self._at), self._value()
                return
            yield from self._members()
        else:
            self._refuse("is no list of registrations; write [ … ]")
        if self._next():
            self._refuse("something stands after the end; remove it")

    def _is_row(self) -> bool:
        """True for an object that has none of the wanted names as its first names do."""
        head = self._text[self._at : self._at + 4096]
        return '"prefix"' in head and not any(f'"{name}"' in head for name in self._wanted)

    def _members(self) -> Iterator[tuple[int, Any]]:
        self._at += 1
        if self._next() == "}":
            self._at += 1
        else:
            while True:
                if self._next() != '"':
                    self._refuse('needs a name in ""; correct it, or fetch it anew')
                name = self._value()
                if self._next() != ":":
                    self._refuse("needs a : after the name; correct it, or fetch it anew")
                self._at += 1
                if self._next() == "[" and name in self._wanted:
                    if self.found:
                        self._refuse("has the list of entries twice; keep one of them")
                    self.found = name
                    self._at += 1
                    yield from self._elements()
                else:
                    self.others[name] = self._value()
                if self._more("}"):
                    break
        if not self.found:
            names = " or ".join(f'"{name}"' for name in self._wanted)
            raise JsonError(1, 1, f"has no list {names} in it; write one, or a list alone")

    def _elements(self) -> Iterator[tuple[int, Any]]:
        if self._next() == "]":
            self._at += 1
            return
        while True:
            self._next()
            line = self._line_of(self._at)
            yield line, self._value()
            if self._more("]"):
                return

    def _more(self, last: str) -> bool:
        """Steps over a comma, or over the closing sign; True when it was that."""
        sign = self._next()
        if sign not in (",", last) or not sign:
            self._refuse(f"is cut short or broken here: needs , or {last}; fetch or write it anew")
        self._at += 1
        return sign == last

    def _next(self) -> str:
        """The next sign that is no space, without stepping over it; empty at the end."""
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return self._text[self._at : self._at + 1]

    def _value(self) -> Any:
        try:
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = error.pos
            self._refuse(f"is not JSON here ({error.msg}); correct it, or fetch it anew")
        except RecursionError:
            self._refuse("is nested too deep; write one object for each registration")
        except _RefusedError as error:
            self._refuse(str(error))
        except ValueError:
            self._refuse("has a number too long to read; correct it")
        return value

    def _line_of(self, at: int) -> int:
        self._line += self._text.count("\n", self._counted, at)
        self._counted = at
        return self._line

    def _refuse(self, message: str) -> NoReturn:
        column = self._at - self._text.rfind("\n", 0, self._at)
        raise JsonError(self._text.count("\n", 0, self._at) + 1, column, message)
