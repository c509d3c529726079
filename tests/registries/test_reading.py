"""Each form is told from the others and read; what is refused is refused with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from enforcer.errors import PolicyError
from enforcer.policy.registry_rows import HEADER
from enforcer.registries.delegated import Chosen
from enforcer.registries.reading import Asked, Reading, form_of, read_registry
from tests.registries.sheets import workbook

CATEGORIES = ("software-house", "call-centre", "freelancer", "mission")
CSV = f"{HEADER}\nR-1,20.0.0.0/24,mission,,,\n".encode()
DELEGATED = b"""\
2.3|apnic|20261125|5|19830705|20261124|+1000
apnic|*|asn|*|1|summary
apnic|*|ipv4|*|4|summary
apnic|*|ipv6|*|1|summary
apnic|PK|asn|17557|1|20010101|allocated|A91
# a range of 768 addresses
apnic|PK|ipv4|20.0.0.0|768|20010101|allocated|A91|e-stats
apnic|PK|ipv4|20.0.8.0|256|20010101|reserved|
apnic|IR|ipv4|20.0.9.0|256|20010101|assigned|A92
apnic|PK|ipv4|20.0.10.0|256|20010101|assigned
apnic|PK|ipv6|2a01::|32|20010101|allocated|A91
"""


def rows(reading: Reading) -> list[tuple[int, str, str, str]]:
    registry = reading.registry
    numbers = range(len(registry))
    found = [(registry.place(n)[1], registry.row(n)) for n in numbers]
    return [(line, row.id, str(row.prefix), row.category) for line, row in found]


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (CSV, "csv"),
        (b"\xef\xbb\xbf# comment\n\n" + CSV, "csv"),
        (CSV.replace(b",", b";"), "csv"),
        (b"# ours\n20.0.0.0/24\n", "plain"),
        (b"2a01::/48\n", "plain"),
        (b' \n[{"id": "a"}]', "json"),
        (b'\xef\xbb\xbf{"registrations": []}', "json"),
        (DELEGATED, "delegated"),
        (b"".join(DELEGATED.splitlines(keepends=True)[4:]), "delegated"),
        (workbook([["prefix"]]), "xlsx"),
        (b"20.0.0.0/24 # ours, for now\n", "csv"),
        (b"vpn.example\n", "csv"),
        (b"", "csv"),
    ],
)
def test_the_form_is_guessed(data: bytes, form: str) -> None:
    assert form_of(data) == form


def test_csv_and_its_categories() -> None:
    reading = read_registry("r.csv", CSV)
    assert rows(reading) == [(2, "R-1", "20.0.0.0/24", "mission")]
    assert (reading.form, reading.notes, reading.registry.categories) == ("csv", (), ("mission",))
    several = CSV + b'"a,b",20.0.1.0/24,"call-centre",,,\n# c,d,e,f\nR,20.0.2.0/24,x,,,\n'
    assert read_registry("r.csv", several).registry.categories == ("call-centre", "mission", "x")


def test_a_plain_list_gets_a_category_and_ids() -> None:
    data = b"# ours\n20.0.0.0/24 # office\n2a01::/48\n"
    reading = read_registry("l.txt", data, CATEGORIES, Asked(category="mission", id_prefix="PK-"))
    assert rows(reading) == [
        (2, "PK-20.0.0.0/24", "20.0.0.0/24", "mission"),
        (3, "PK-2a01::/48", "2a01::/48", "mission"),
    ]
    assert [str(note) for note in reading.notes] == ["comments, dropped"]
    assert reading.registry.categories == CATEGORIES
    without = read_registry("l.txt", data, ("mission",))
    assert rows(without)[0] == (2, "20.0.0.0/24", "20.0.0.0/24", "mission")


JSON = b"""\
{"serial": 7, "registrations": [
  {"id": "R-1", "prefix": "20.0.0.0/24", "category": "mission", "phone": "555",
   "services": ["udp/51820", "ESP"], "valid_until": null},
  "20.0.1.0 - 20.0.1.2",
  {"id": 7, "prefixes": ["20.0.2.0/24", "2a01::/48"], "category": "Call Centre"}
]}
"""


def test_json() -> None:
    reading = read_registry("r.json", JSON, CATEGORIES, Asked(category="mission"))
    assert rows(reading) == [
        (2, "R-1", "20.0.0.0/24", "mission"),
        (4, "20.0.1.0/31", "20.0.1.0/31", "mission"),
        (4, "20.0.1.2/32", "20.0.1.2/32", "mission"),
        (5, "7", "20.0.2.0/24", "call-centre"),
        (5, "7", "2a01::/48", "call-centre"),
    ]
    assert " ".join(map(str, reading.registry.row(0).services)) == "udp/51820 esp"
    assert [str(note) for note in reading.notes] == [
        'values of "phone", dropped: line 2',
        "ranges of addresses, each made the fewest prefixes that hold it: line 4",
        'the member "serial" beside the list, dropped',
    ]


def test_delegated_counts_become_prefixes() -> None:
    reading = read_registry("d.txt", DELEGATED, CATEGORIES, Asked(category="mission"))
    assert rows(reading) == [
        (7, "apnic-A91", "20.0.0.0/23", "mission"),
        (7, "apnic-A91", "20.0.2.0/24", "mission"),
        (9, "apnic-A92", "20.0.9.0/24", "mission"),
        (10, "apnic-20.0.10.0", "20.0.10.0/24", "mission"),
        (11, "apnic-A91", "2a01::/32", "mission"),
    ]
    assert [str(note) for note in reading.notes] == [
        "records of AS numbers, left out: line 5",
        "counts of addresses that are no power of two, made several prefixes: line 7",
        'records with the status "reserved", left out: line 8',
        "days of delegation, dropped: they are not days of a registration",
    ]


@pytest.mark.parametrize(
    ("chosen", "lines"),
    [
        (Chosen(countries=frozenset({"IR"})), [9]),
        (Chosen(opaque_ids=frozenset({"A91"})), [7, 7, 11]),
        (Chosen(statuses=frozenset({"reserved"})), [8]),
    ],
)
def test_delegated_records_are_chosen(chosen: Chosen, lines: list[int]) -> None:
    asked = Asked(category="mission", chosen=chosen)
    assert [row[0] for row in rows(read_registry("d", DELEGATED, CATEGORIES, asked))] == lines


BAD = Path(__file__).parent.parent / "bad_import"
ASKED = Asked(category="mission")
FILES = sorted(path for path in BAD.iterdir() if path.suffix != ".expected")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_bad_file_is_refused_with_exactly_its_message(path: Path) -> None:
    with pytest.raises(PolicyError) as refused:
        read_registry(path.name, path.read_bytes(), CATEGORIES, ASKED)
    expected = path.with_name(f"{path.name}.expected")
    assert f"{refused.value}\n" == expected.read_text()
    for problem in refused.value.problems:
        said = problem.for_all.removeprefix(f"{path.name}:{problem.line}:{problem.column}: ")
        address = re.search(r"[0-9]+\.[0-9]+\.[0-9]+|[0-9a-f]::", said)
        assert address is None or said.endswith("like 192.0.2.0/24 or 2001:db8::/56"), said


def test_every_bad_file_has_its_message() -> None:
    assert {p.name for p in BAD.glob("*.expected")} == {f"{p.name}.expected" for p in FILES}


@pytest.mark.parametrize(
    ("data", "asked", "message"),
    [
        (
            b"20.0.0.0/24\n",
            Asked(),
            "r: a plain list names no categories; give one with --category",
        ),
        (DELEGATED, Asked(), "r: a delegated file names no categories; give one with --category"),
        (
            DELEGATED,
            Asked(category="mision"),
            'r: category "mision" is not declared; write mission, or declare it',
        ),
        (
            DELEGATED,
            Asked(category="mission", chosen=Chosen(countries=frozenset({"XX"}))),
            "r: no registration in it; choose other records",
        ),
    ],
)
def test_what_the_caller_has_to_say(data: bytes, asked: Asked, message: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_registry("r", data, CATEGORIES, asked)
    assert str(refused.value) == message


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from enforcer.registries import gathering

    monkeypatch.setattr(gathering, "MOST_ROWS", 3)
    with pytest.raises(PolicyError) as refused:
        read_registry("r", b'["20.0.0.1",\n"20.0.0.2",\n"20.0.0.3",\n"20.0.0.4"]', ("mission",))
    assert str(refused.value) == (
        "r:4:1: more than 3 registrations come out of it, the most that is read; split it"
    )


def test_many_wrong_rows_are_counted_and_the_first_told() -> None:
    entries = ",\n".join(['{"id": [], "prefix": "20.0.0.1"}', '"20.0.0.1/24"'] * 30)
    with pytest.raises(PolicyError) as refused:
        read_registry("r", f"[{entries}]".encode(), ("mission",))
    assert refused.value.count == 60
    assert [p.line for p in refused.value.problems] == list(range(1, 21))
    assert str(refused.value).endswith("… and 40 more errors, 60 in all")


def test_so_many_categories_are_none() -> None:
    rows = "".join(f"R,20.0.0.0/24,c{n},,,\n" for n in range(257))
    with pytest.raises(PolicyError) as refused:
        read_registry("r", f"{HEADER}\n{rows}".encode())
    assert str(refused.value) == "r: names 257 categories, more than 256; check that column"
