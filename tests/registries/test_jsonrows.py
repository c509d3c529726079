"""Entries come one at a time, with their lines; what is broken is told with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.registries.jsonrows import JsonError, JsonRows

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def entries(text: str) -> list[tuple[int, Any]]:
    return list(JsonRows(text, ("rows",)))


@settings(deadline=None)
@given(st.lists(ANY), st.sampled_from([None, 0, 2]))
def test_a_list_is_read_as_json_reads_it(values: list[Any], indent: int | None) -> None:
    text = json.dumps(values, indent=indent)
    assert [value for _, value in entries(text)] == values
    held = JsonRows(json.dumps({"version": values, "rows": values}, indent=indent), ("rows",))
    assert [value for _, value in held] == values
    assert (held.found, held.others) == ("rows", {"version": values})


def test_lines_are_where_entries_begin() -> None:
    assert entries('\n[1,\n\n "a",2,\n{"x":\n1}]\n') == [(2, 1), (4, "a"), (4, 2), (5, {"x": 1})]
    assert entries('{"prefix": 1}\n\n{"prefix": 2}') == [(1, {"prefix": 1}), (3, {"prefix": 2})]
    assert entries("[]") == []
    assert entries('{"rows": []}') == []


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "is no list of registrations; write [ … ]"),
        ('"a"', 1, 1, "is no list of registrations; write [ … ]"),
        ("[1,\n 2", 2, 3, "is cut short or broken here: needs , or ]; fetch or write it anew"),
        ("[1 2]", 1, 4, "is cut short or broken here: needs , or ]; fetch or write it anew"),
        ("[1,]", 1, 4, "is not JSON here (Expecting value); correct it, or fetch it anew"),
        ("[1]\n x", 2, 2, "something stands after the end; remove it"),
        ("[NaN]", 1, 2, "NaN is no number of JSON; write a number, or null"),
        ('[\n{"a": 1, "a": 2}]', 2, 1, "has one key twice; keep one of them"),
        ("[" + "9" * 5000 + "]", 1, 2, "has a number too long to read; correct it"),
        (
            "[" * 200_000,
            1,
            2,
            "is nested too deep; write one object for each registration",
        ),
        ("{}", 1, 1, 'has no list "rows" in it; write one, or a list alone'),
        ('{"rows": 1}', 1, 1, 'has no list "rows" in it; write one, or a list alone'),
        ('{"rows": [], "rows": []}', 1, 22, "has the list of entries twice; keep one of them"),
        ('{"a" 1}', 1, 6, "needs a : after the name; correct it, or fetch it anew"),
        ("{1: 2}", 1, 2, 'needs a name in ""; correct it, or fetch it anew'),
        ('{"a": 1', 1, 8, "is cut short or broken here: needs , or }; fetch or write it anew"),
    ],
)
def test_what_is_wrong_and_where(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(JsonError) as refused:
        entries(text)
    error = refused.value
    assert (error.line, error.column, error.message) == (line, column, message)
