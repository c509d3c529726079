"""A registry file becomes columns, whole or not at all."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from enforcer.errors import PolicyError
from enforcer.policy import registry as registry_module
from enforcer.policy.prefix import parse_prefix, parse_service
from enforcer.policy.registry import (
    HEADER,
    Registration,
    Registry,
    empty_registry,
    merge,
    parse_registry,
    shrink,
)

CATEGORIES = ("software-house", "call-centre", "freelancer", "mission")
DAY = date(2026, 7, 1)
CONTRACT = b"""id,prefix,category,valid_from,valid_until,services
R-000001,198.51.100.0/28,software-house,2026-01-01,2027-12-31,
R-000001,2001:db8:100::/56,software-house,2026-01-01,2027-12-31,
R-000002,198.51.100.77/32,freelancer,,,udp/51820
R-000003,203.0.113.128/25,call-centre,2026-06-01,,udp/500 udp/4500 esp
R-000004,192.0.2.200/32,mission,,2026-12-31,
"""


def registry(rows: str, categories: tuple[str, ...] = CATEGORIES) -> Registry:
    return parse_registry("r.csv", f"{HEADER}\n{rows}".encode(), categories)


def rows_of(read: Registry) -> list[Registration]:
    return [read.row(number) for number in range(len(read))]


def test_the_registry_of_the_contract_loads_row_for_row() -> None:
    read = parse_registry("registry.csv", CONTRACT, CATEGORIES)
    assert rows_of(read) == [
        Registration(
            "R-000001",
            parse_prefix("198.51.100.0/28"),
            "software-house",
            date(2026, 1, 1),
            date(2027, 12, 31),
            (),
        ),
        Registration(
            "R-000002",
            parse_prefix("198.51.100.77/32"),
            "freelancer",
            None,
            None,
            (parse_service("udp/51820"),),
        ),
        Registration(
            "R-000003",
            parse_prefix("203.0.113.128/25"),
            "call-centre",
            date(2026, 6, 1),
            None,
            (parse_service("udp/500"), parse_service("udp/4500"), parse_service("esp")),
        ),
        Registration(
            "R-000004", parse_prefix("192.0.2.200/32"), "mission", None, date(2026, 12, 31), ()
        ),
        Registration(
            "R-000001",
            parse_prefix("2001:db8:100::/56"),
            "software-house",
            date(2026, 1, 1),
            date(2027, 12, 31),
            (),
        ),
    ]
    assert [read.place(number)[1] for number in range(5)] == [2, 4, 5, 6, 3]
    assert read.place(4) == ("registry.csv", 3)


@pytest.mark.parametrize(
    "data",
    [
        CONTRACT.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + CONTRACT,
        CONTRACT.removesuffix(b"\n"),
        CONTRACT.replace(b"\n", b"\n\n"),
        b"# from the regulator\n\n" + CONTRACT + b"# end",
        CONTRACT.replace(b"R-000003", b'"R-000003"').replace(b",mission,", b',"mission",'),
        CONTRACT.replace(b"id,prefix", b'"id","prefix"'),
        CONTRACT.replace(b"udp/500 udp/4500 esp", b"esp udp/4500 udp/500 esp"),
        CONTRACT.replace(b"2001:db8:100::/56", b"2001:0DB8:0100:0::/56"),
    ],
    ids=[
        "crlf",
        "bom",
        "no last newline",
        "blank lines",
        "comments",
        "quotes",
        "quoted header",
        "services in another order",
        "another spelling of IPv6",
    ],
)
def test_what_other_programs_do_to_a_file_changes_nothing(data: bytes) -> None:
    read = parse_registry("registry.csv", data, CATEGORIES)
    assert rows_of(read) == rows_of(parse_registry("registry.csv", CONTRACT, CATEGORIES))
    assert read.digest == parse_registry("other name", CONTRACT, CATEGORIES).digest


def test_ids_are_opaque() -> None:
    read = registry(
        'شرکت-1,20.0.0.1/32,mission,,,\n"a, ""b""",20.0.0.2/32,mission,,,\n'
        "R/1.2,20.0.0.3/32,mission,,,\n"
    )
    assert [row.id for row in rows_of(read)] == ["شرکت-1", 'a, "b"', "R/1.2"]


def test_rows_that_say_the_same_and_one_prefix_under_two_ids_are_kept() -> None:
    read = registry(
        "a,20.0.0.1/32,mission,,,\na,20.0.0.1/32,mission,,,\nb,20.0.0.1/32,freelancer,,,\n"
    )
    assert [(row.id, row.category) for row in rows_of(read)] == [
        ("a", "mission"),
        ("a", "mission"),
        ("b", "freelancer"),
    ]
    assert read.count(DAY) == {(4, "freelancer"): 1, (4, "mission"): 1}


def test_a_plain_list_is_of_the_one_category_and_takes_bare_addresses_and_comments() -> None:
    data = b"# ours\n20.0.0.0/24\n\n20.0.1.7\t# the office\r\n  2a01::/48\n2a01:0:1::1"
    read = parse_registry("list.txt", data, ("mission",))
    prefixes = ["20.0.0.0/24", "20.0.1.7/32", "2a01::/48", "2a01:0:1::1/128"]
    assert rows_of(read) == [
        Registration(text, parse_prefix(text), "mission", None, None, ()) for text in prefixes
    ]
    assert [read.place(number)[1] for number in range(4)] == [2, 4, 5, 6]


def test_counts_are_distinct_prefixes_valid_on_the_day() -> None:
    read = registry(
        "a,20.0.0.0/24,mission,2026-07-01,2026-07-01,\n"
        "b,20.0.0.0/25,mission,2026-07-02,,\n"
        "c,20.0.0.0/26,mission,,2026-06-30,\n"
        "d,20.0.0.0/24,mission,,,esp\n"
        "e,2a01::/48,call-centre,,,\n"
    )
    assert read.count(DAY) == {(4, "mission"): 1, (6, "call-centre"): 1}
    assert read.count(date(2026, 7, 2)) == {(4, "mission"): 2, (6, "call-centre"): 1}


def test_shrink_tells_what_each_category_loses() -> None:
    old = registry(
        "a,20.0.0.0/24,mission,,,\nb,20.0.1.0/24,mission,,,\nc,20.0.2.0/24,freelancer,,,\n"
        "d,2a01::/48,mission,,,\ne,2a02::/48,mission,,,\nf,2a02:0:0:1::/64,freelancer,,,\n"
    )
    new = registry(
        "a,20.0.0.0/24,freelancer,,,\nb,20.0.1.0/24,mission,,,\nx,20.0.9.0/24,mission,,,\n"
        "d,2a01::/47,mission,,,\ne,2a02::/48,mission,,,\nc,20.0.2.0/24,freelancer,,,\n"
        "f,2a02:0:0:1::/64,freelancer,,,\n"
    )
    assert shrink(old, new, DAY) == [("mission", 4, 4, 2, 0)]
    assert shrink(old, old, DAY) == []
    assert shrink(empty_registry(CATEGORIES), old, DAY) == []
    assert shrink(old, empty_registry(CATEGORIES), DAY) == [
        ("freelancer", 2, 0, 2, 0),
        ("mission", 4, 0, 4, 0),
    ]
    later = registry("a,20.0.0.0/24,mission,2026-07-02,,\n")
    assert shrink(registry("a,20.0.0.0/24,mission,,,\n"), later, DAY) == [("mission", 1, 0, 1, 0)]


def test_merged_sources_keep_every_row_and_its_place() -> None:
    first = registry("a,20.0.0.0/24,mission,,,esp\nb,2a01::/48,mission,,,\n")
    second = parse_registry(
        "s.csv",
        f"{HEADER}\nc,20.0.1.0/24,freelancer,,,udp/1\nd,20.0.2.0/24,mission,,,esp\n".encode(),
        CATEGORIES,
    )
    both = merge([first, second])
    assert rows_of(both) == [first.row(0), second.row(0), second.row(1), first.row(1)]
    assert [both.place(number) for number in range(4)] == [
        ("r.csv", 2),
        ("s.csv", 2),
        ("s.csv", 3),
        ("r.csv", 3),
    ]
    assert merge([first]) is first
    with pytest.raises(ValueError, match="different declared categories"):
        merge([first, empty_registry(("mission",))])


def test_the_digest_names_the_content() -> None:
    text = "a,20.0.0.0/24,mission,,,\n"
    assert registry(text).digest == registry(text).digest
    assert len(registry(text).digest) == 16
    changed = [
        "b,20.0.0.0/24,mission,,,\n",
        "a,20.0.0.0/25,mission,,,\n",
        "a,20.0.0.0/24,freelancer,,,\n",
        "a,20.0.0.0/24,mission,2026-01-01,,\n",
        "a,20.0.0.0/24,mission,,2026-01-01,\n",
        "a,20.0.0.0/24,mission,,,esp\n",
        text + "b,2a01::/48,mission,,,\n",
    ]
    assert len({registry(rows).digest for rows in [text, *changed]}) == 1 + len(changed)


def test_an_empty_registry_has_no_rows() -> None:
    nothing = empty_registry(CATEGORIES)
    assert (len(nothing), nothing.count(DAY)) == (0, {})
    with pytest.raises(IndexError):
        nothing.row(0)


def test_every_error_is_counted_and_the_first_twenty_are_told() -> None:
    with pytest.raises(PolicyError) as refused:
        registry("a,20.0.0.1/24,mission,,,\n" * 70_000 + "b,20.0.0.0/24,mission,,,\n")
    assert refused.value.count == 70_000
    assert [problem.line for problem in refused.value.problems] == list(range(2, 22))
    assert str(refused.value).endswith("… and 69,980 more errors, 70,000 in all")


def test_errors_past_a_million_are_not_counted_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry_module, "MOST_COUNTED", 5000)
    monkeypatch.setattr(registry_module, "_PIECE_BYTES", 1 << 16)
    with pytest.raises(PolicyError) as refused:
        registry("x\n" * 1_000_000)
    assert refused.value.more
    # Counted to the end of a chunk, and no further.
    assert refused.value.count == (1 << 15) + 1
    assert str(refused.value).endswith("in all or more")


def test_a_line_without_end_is_refused_with_its_number_and_not_read() -> None:
    row = "a,20.0.0.0/24,mission,,,\n"
    with pytest.raises(PolicyError) as refused:
        registry(row * 5 + "b," + "9" * 20_000_000)
    assert [(p.line, p.column) for p in refused.value.problems] == [(7, 1)]
    assert len(str(refused.value)) < 200


def test_a_file_of_nothing_but_line_ends_is_given_up_soon() -> None:
    with pytest.raises(PolicyError, match="the first 10,000 lines are blank or comments; begin"):
        parse_registry("r.csv", b"\n" * 20_000_000, CATEGORIES)


BAD = Path(__file__).parent.parent / "bad_registry"


@pytest.mark.parametrize("expected", sorted(BAD.glob("*.expected")), ids=lambda path: path.stem)
def test_a_bad_registry_is_refused_with_exactly_its_message(expected: Path) -> None:
    name = f"{expected.stem}.csv"
    with pytest.raises(PolicyError) as refused:
        parse_registry(name, (BAD / name).read_bytes(), CATEGORIES)
    assert f"{refused.value}\n" == expected.read_text()


@pytest.mark.parametrize("expected", sorted(BAD.glob("*.expected")), ids=lambda path: path.stem)
def test_what_logs_and_strangers_hear_of_a_bad_registry_holds_nothing_of_a_row(
    expected: Path,
) -> None:
    data = (BAD / f"{expected.stem}.csv").read_bytes()
    with pytest.raises(PolicyError) as refused:
        parse_registry("r.csv", data, CATEGORIES)
    lines = data.splitlines()
    assert refused.value.problems
    for problem in refused.value.problems:
        place = f"r.csv:{problem.line}:{problem.column}: " if problem.line else "r.csv: "
        told = problem.for_all
        assert told.startswith(place)
        assert told in refused.value.for_all
        row = lines[problem.line - 1].decode("utf-8", "replace") if problem.line else ""
        words = {w for w in re.split(r"""[\s,;|"'<>]+""", row) if len(w) > 2}
        said = {w for w in words if w in told.removeprefix(place)}
        assert not {w for w in said if w not in HEADER and w not in CATEGORIES}, told


def test_the_words_of_a_row_that_logs_leave_out_are_those_that_a_person_is_told() -> None:
    with pytest.raises(PolicyError) as refused:
        registry("acme-ltd ,198.51.100.0/28,mission,,,\nR-2,198.51.100.77/24,mission,,,\n,,,,,\n")
    whole = str(refused.value).splitlines()
    assert whole[0] == "r.csv:2:1: id 'acme-ltd ' has spaces around it; remove them"
    assert whole[1].startswith("r.csv:3:5: prefix '198.51.100.77/24' has host bits set; write ")
    assert refused.value.for_all.splitlines() == [
        "r.csv:2:1: id is not right; see: enforcer check",
        "r.csv:3:5: prefix is not right; see: enforcer check",
        "r.csv:4:1: id is empty; give the registration's id",
    ]


def test_every_bad_registry_has_its_message() -> None:
    assert {p.stem for p in BAD.glob("*.csv")} == {p.stem for p in BAD.glob("*.expected")}
