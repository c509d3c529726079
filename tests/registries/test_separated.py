"""CSV of spreadsheets that keep the comma for numbers: taken when its header fits to the letter."""

from __future__ import annotations

import pytest

from enforcer.errors import PolicyError
from enforcer.registries.reading import Reading, read_registry
from enforcer.registries.separated import separator_of

HEADER = b"id;prefix;category;valid_from;valid_until;services\r\n"
CATEGORIES = ("mission", "software-house")
# As Excel saves it under German settings: a mark at the front, days with points, quotes where a
# field has a separator or a line end in it.
EXCEL = (
    b"\xef\xbb\xbf"
    + HEADER
    + b"R-1;20.0.0.0/24;mission;01.02.2026;31.12.2026;\r\n"
    + b'"R;2";20.0.1.0/24;Software House;;;"udp/51820,\ntcp/443"\r\n'
    + b";;;;;\r\n"
    + b"R-3;2a01:db8::/48;mission;;;esp\r\n"
)


def lines(reading: Reading) -> list[tuple[int, str, str, str]]:
    found = []
    for number in range(len(reading.registry)):
        row, (_, line) = reading.registry.row(number), reading.registry.place(number)
        rest = (row.category, row.valid_from, row.valid_until, *row.services)
        found.append((line, row.id, str(row.prefix), " ".join(map(str, rest))))
    return found


def test_what_excel_saves_is_read_with_the_lines_of_the_source() -> None:
    reading = read_registry("mail.csv", EXCEL, CATEGORIES)
    assert lines(reading) == [
        (2, "R-1", "20.0.0.0/24", "mission 2026-02-01 2026-12-31"),
        (3, "R;2", "20.0.1.0/24", "software-house None None tcp/443 udp/51820"),
        (6, "R-3", "2a01:db8::/48", "mission None None esp"),
    ]
    assert reading.form == "csv"
    assert [note.text for note in reading.notes] == ["fields between semicolons"]


def test_tabs_and_quoted_headers_likewise_and_without_declared_categories() -> None:
    quoted = b";".join(b'"' + name + b'"' for name in HEADER.strip().split(b";"))
    text = b"# ours\n\n" + quoted + b"\n# R-0;20.0.0.0/24\nR-1;20.0.0.0/24;mission;;;\n"
    reading = read_registry("m", text)
    assert [(line, name) for line, name, _, _ in lines(reading)] == [(5, "R-1")]
    assert [str(note) for note in reading.notes][1:] == [
        "comments, dropped: 2 times, first in line 1"
    ]
    tabs = read_registry("m", text.replace(b";", b"\t"), CATEGORIES)
    assert tabs.registry.digest == read_registry("m", text, CATEGORIES).registry.digest
    assert tabs.notes[0].text == "fields between tabs"


@pytest.mark.parametrize(
    "header",
    [
        b"id;prefix;category;valid_from;valid_until",
        b"id;prefix;category;valid_from;valid_until;services;phone",
        b"id;network;category;valid_from;valid_until;services",
        b"prefix;id;category;valid_from;valid_until;services",
        b"ID;Prefix;Category;Valid_From;Valid_Until;Services",
        b" id;prefix;category;valid_from;valid_until;services",
        b"id|prefix|category|valid_from|valid_until|services",
        b"id,prefix,category,valid_from,valid_until,services",
        b'"id;prefix;category;valid_from;valid_until;services',
        b"R-1;20.0.0.0/24;mission;;;",
        b"",
    ],
)
def test_a_header_that_does_not_fit_to_the_letter_is_none(header: bytes) -> None:
    assert separator_of(header + b"\nR-1;20.0.0.0/24;mission;;;\n") is None
    assert separator_of(b"id;prefix;category;valid_from;valid_until;services") == ";"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            b"R-1;20.0.0.0/24;mission\n",
            "m:2:1: 3 fields where 6 are needed; write id;prefix;category;valid_from;valid_",
        ),
        (
            b"R-1;20.0.0.0/24;mission;;;\n\nR-2;20.0.0.1/24;mission;;;\n",
            "m:4:2: prefix '20.0.0.1/24' has host bits set",
        ),
        (b"R-1;20.0.0.0/24;mission;12/31/2026;;\n", "m:2:4: valid_from "),
        (b"R-1;20.0.0.0/24;misssion;;;\n", "m:2:3: category "),
        (b'R-1;20.0.0.0/24;"mission;;;\n', "m:2:1: no CSV here: unexpected end of data"),
        (b"R-\xe9;20.0.0.0/24;mission;;;\n", "m:2:1: byte 0xe9 is not UTF-8"),
        (b"", "m: no registration in it"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_nothing_is_taken(
    rows: bytes, message: str
) -> None:
    with pytest.raises(PolicyError) as refused:
        read_registry("m", HEADER.replace(b"\r", b"") + rows, CATEGORIES)
    assert str(refused.value).startswith(message)


def test_many_rows_are_read_and_told_of_meanwhile() -> None:
    told: list[int] = []
    rows = b"".join(b"R-%d;20.%d.%d.0/24;mission;;;\n" % (n, *divmod(n, 256)) for n in range(9000))
    reading = read_registry("m", HEADER + rows, CATEGORIES, progress=told.append)
    assert told
    assert len(reading.registry) == 9000
