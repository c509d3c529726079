"""The fast path knows only what the careful path knows: they are two readings of one language."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enforcer.errors import PolicyError
from enforcer.lab.registry import CATEGORIES, generate
from enforcer.policy import registry as room
from enforcer.policy import registry_builder
from enforcer.policy.registry import FOREVER, HEADER, day_number, parse_registry
from enforcer.policy.registry_rows import RowError, parse_day, parse_plain_row, parse_row
from enforcer.policy.registry_text import Text

HEAD = f"{HEADER}\n".encode()

prefix = st.one_of(
    st.sampled_from(
        [
            "20.0.0.0/24",
            "20.0.0.1/24",
            "20.0.0.0/7",
            "255.255.255.255/32",
            "0.0.0.0/0",
            "1.2.3/24",
            "256.0.0.0/8",
            "20.00.0.0/24",
            "020.0.0.0/24",
            "20.0.0.0/024",
            "20.0.0.0/33",
            "20.0.0.0",
            "20.0.0.0/24/1",
            "20.0.0.0.0/24",
            "20.0.0/0.24",
            "20/0.0.0.24",
            "1.2.3.4/0.0.0.255",
            "169.254.0.0/16",
            "169.0.0.0/8",
            "169.128.0.0/9",
            "169.254.3.0/24",
            "169.253.0.0/16",
            "127.0.0.1/32",
            "0.1.0.0/16",
            "224.0.0.0/8",
            "240.0.0.0/8",
            "223.0.0.0/8",
            "9.0.0.0/8",
            "2a01::/48",
            "2a01::1/48",
            "::/19",
            "::1/128",
            "fe80::/64",
            "ff02::/64",
            "2000::/18",
            "::ffff:1.2.3.4/128",
            "2a01::%1/128",
            "2a01::1.2.3.4/128",
            "64:ff9b::/96",
            "2a01::/129",
            "2a01:::/48",
            "2a01::/048",
            "feff::/32",
            "fdff::/32",
            "2000::/19",
            "+1.0.0.0/8",
            "",
            " 20.0.0.0/24",
            "20.0.0.0/24 ",
            "20.0.0.0/2４",
            "1234.1.1.1/32",
            "20..0.0/24",
            "20.0.0./24",
        ]
    ),
    st.text("0123456789./:a ", max_size=20),
    st.builds(
        "{}.{}.{}.{}/{}".format,
        *[st.sampled_from([0, 1, 9, 10, 20, 99, 100, 169, 192, 254, 255, 256, 999])] * 4,
        st.integers(6, 34),
    ),
)
day = st.sampled_from(
    [
        "",
        "2026-01-01",
        "2026-02-30",
        "2024-02-29",
        "2025-02-29",
        "1969-12-31",
        "20260101",
        "2026-1-1",
        "2026-01-01 ",
        "0000-01-01",
        "9999-12-31",
        "2026-13-01",
        "２026-01-01",
        "x",
    ]
)
services = st.sampled_from(
    [
        "",
        "esp",
        "udp/1",
        "udp/1 esp",
        "udp/1  esp",
        "udp/0",
        "tcp",
        "esp/1",
        " ",
        "udp/5-3",
        "udp/5-65535",
        "udp/65536",
        "UDP/1",
        "udp/1,esp",
        " ".join(f"udp/{n}" for n in range(1, 40)),
    ]
)
ident = st.sampled_from(
    ["a", "R-1", "", " a", "a ", "#a", '"a"', '"a', 'a"', "ü", "a\tb", "a.b/c", "\x7f"]
)
category = st.sampled_from([*CATEGORIES, "", "Mission", "missions", "mission ", "x" * 70])
FIELDS = (ident, prefix, category, day, day, services)


@st.composite
def rows(draw: st.DrawFn) -> bytes:
    """A good row with a few fields drawn from the odd ones, so that each is met alone as well."""
    fields = ["R-1", "20.0.0.0/24", "mission", "", "", ""]
    for place in draw(st.sets(st.integers(0, 5), max_size=3)):
        fields[place] = draw(FIELDS[place])
    return ",".join(fields).encode()


line = st.one_of(
    rows(),
    rows(),
    st.sampled_from([b"", b"#", b"# a,b", b"\r", b"a", b",,,,,", b"a,b,c,d,e,f,g", b"\xff", b"\0"]),
    st.builds(lambda before: before + b",1.1.1.1/32,mission,,,", st.binary(max_size=6)),
)


def careful(data: list[bytes]) -> list[object]:
    """The same file through the careful path alone: its rows, or its problems."""
    problems: list[object] = []
    rows: list[object] = []
    for number, raw in enumerate(data, 2):
        text = raw.removesuffix(b"\r")
        if not text or text.startswith(b"#"):
            continue
        try:
            row = parse_row(text, CATEGORIES)
        except RowError as error:
            problems.append((number, error.column, error.message))
        else:
            days = (row.valid_from, row.valid_until)
            rows.append((number, row.id, row.prefix, row.category, *days, row.services))
    return problems or rows


def whole(data: list[bytes]) -> list[object]:
    try:
        read = parse_registry("r", HEAD + b"\n".join(data) + b"\n", CATEGORIES)
    except PolicyError as error:
        return [(p.line, p.column, p.message) for p in error.problems if p.line]
    found = []
    for number in range(len(read)):
        row = read.row(number)
        since = room.ALWAYS if row.valid_from is None else day_number(row.valid_from)
        until = FOREVER if row.valid_until is None else day_number(row.valid_until)
        number_of = CATEGORIES.index(row.category)
        line = read.place(number)[1]
        found.append((line, row.id.encode(), row.prefix, number_of, since, until, row.services))
    return sorted(found)


@settings(deadline=None, max_examples=500)
@given(st.lists(line.filter(lambda raw: b"\n" not in raw), min_size=1, max_size=6))
@example([b"R-1,20.0.0.0/24,mission,2026-01-01,2024-02-29,"])
@example([b"a,20.0.0.0/24,mission,,,", b"#", b'"b",20.0.1.0/24,mission,,,'])
@example([b"R-1,20.0.0.0/24/1,mission,,,"])
@example([b"R-1,20.0.0.0/24x,mission,,,"])
@example([b"R-1,20.0.0.:/24,mission,,,"])
@example([b"R-1,20.0.0.0/2:,mission,,,"])
@example([b"R-1,20.0.0.0/24,mission,2026-01-0:,,"])
def test_both_paths_read_every_file_alike(data: list[bytes]) -> None:
    assert whole(data) == careful(data)


@settings(deadline=None, max_examples=300)
@given(st.lists(prefix, min_size=1, max_size=6))
def test_both_paths_read_every_plain_list_alike(lines: list[str]) -> None:
    first = "20.0.0.0/32"
    expected: list[object] = []
    problems: list[object] = []
    for number, text in enumerate([first, *lines], 1):
        try:
            found = parse_plain_row(text.encode())
        except RowError as error:
            problems.append((number, error.column, error.message))
        else:
            if found is not None:
                expected.append((number, found))
    data = "\n".join([first, *lines]).encode()
    try:
        read = parse_registry("r", data, ("mission",))
    except PolicyError as error:
        told = [(p.line, p.column, p.message) for p in error.problems]
    else:
        rows = [(read.place(n)[1], read.row(n).prefix) for n in range(len(read))]
        assert sorted(rows) == expected
        told = []
    assert told == problems


def test_where_the_chunks_are_cut_changes_nothing() -> None:
    data = generate(500, 3).replace(b"R-000007,", b'"R,7",')
    whole_size, read = room._PIECE_BYTES, parse_registry("r", data, CATEGORIES)
    try:
        for size in (1, 50, 1000):
            room._PIECE_BYTES = size
            again = parse_registry("r", data, CATEGORIES)
            assert again.digest == read.digest
            places = [again.place(number) for number in range(500)]
            assert places == [read.place(number) for number in range(500)]
    finally:
        room._PIECE_BYTES = whole_size
    assert int(read.v4.valid_until.max()) == FOREVER


def test_thousands_of_different_services_are_told_apart() -> None:
    rows = [f"a,20.0.0.0/24,mission,,,udp/{port}" for port in range(1, 5001)]
    read = parse_registry("r", HEAD + "\n".join(rows).encode(), CATEGORIES)
    assert [str(read.row(n).services[0]) for n in range(5000)] == [
        f"udp/{port}" for port in range(1, 5001)
    ]


def test_a_line_of_a_chunk_may_be_long() -> None:
    data = HEAD + b"a" * 100_000 + b",20.0.0.0/24,mission,,,\nb,2a01::/48,mission,,,"
    read = parse_registry("r", data, CATEGORIES)
    assert [len(read.row(0).id), read.row(1).id] == [100_000, "b"]


def test_nothing_of_a_plain_registry_is_left_to_the_careful_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def careless(raw: bytes, categories: object) -> None:
        raise AssertionError(raw)

    monkeypatch.setattr(registry_builder, "parse_row", careless)
    assert len(parse_registry("r", generate(3000, 5), CATEGORIES)) == 3000


def test_every_day_of_the_calendar_is_read_fast() -> None:
    days = [date.fromordinal(n).isoformat().encode() for n in range(1, date.max.toordinal(), 97)]
    days += [b"0001-01-01", b"9999-12-31", b"2000-02-29", b"2024-02-29"]
    text = Text(b"".join(days))
    first = np.arange(0, 10 * len(days), 10, dtype=np.int32)
    values, known = text.days(first, first + np.int32(10), 0)
    assert known.all()
    assert values.tolist() == [parse_day(day.decode()) for day in days]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.text("0123456789-:/\x00é", max_size=12) | day, min_size=1, max_size=8))
@example(["2026,01-01", "2026-01.01", "2026-0:-01", "2026-01-01-", "/026-01-01"])
@example(["1900-02-29", "2100-02-29", "2026-04-31", "2026-00-10", "2026-10-00", "202\xba-01-01"])
def test_what_is_no_day_is_not_read_fast(days: list[str]) -> None:
    raw = [text.encode("latin-1", "replace") for text in days]
    text = Text(b"".join(raw))
    last = np.cumsum([len(each) for each in raw]).astype(np.int32)
    values, known = text.days(last - np.array([len(each) for each in raw], np.int32), last, -1)
    expected = [parse_day(each.decode("latin-1")) if each else -1 for each in raw]
    assert [int(v) if k else None for v, k in zip(values, known, strict=True)] == expected
