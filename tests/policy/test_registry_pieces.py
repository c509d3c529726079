"""A file read again is what it would be read for the first time, and costs what has changed."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.errors import PolicyError
from enforcer.lab.registry import CATEGORIES, generate
from enforcer.policy import registry as room
from enforcer.policy import registry_pieces
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry import Registry, parse_registry, read_again
from enforcer.policy.registry_pieces import Cut, cut

SMALL = 8000
_PARTS = ("category", "valid_from", "valid_until", "services", "id_ends", "line", "length")


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PIECE_BYTES", SMALL)


def everything(registry: Registry) -> list[object]:
    """Each column, and what it counts in."""
    found: list[object] = [registry.categories, registry.services, registry.files]
    for family in FAMILIES:
        columns = registry.of_family(family)
        found += [getattr(columns, name).tolist() for name in _PARTS]
        found += [word.tolist() for word in columns.words] + [columns.ids]
        found += [getattr(columns, name).dtype for name in _PARTS]
    return found


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the pieces that were parsed."""
    sizes: list[int] = []
    read = registry_pieces.read_csv

    def noted(
        text: bytes | memoryview, decoders: registry_pieces.Decoders
    ) -> registry_pieces.Chunk:
        sizes.append(len(text))
        return read(text, decoders)

    monkeypatch.setattr(registry_pieces, "read_csv", noted)
    return sizes


def lines_of(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


EDITS = (
    lambda lines, at: lines[:at] + lines[at + 1 :],
    lambda lines, at: [*lines[:at], b"R-new,198.18.7.0/24,mission,,,udp/7\n", *lines[at:]],
    lambda lines, at: [*lines[:at], b'"R,x",2a01:77::/32,mission,,2031-01-01,\n', *lines[at + 1 :]],
    lambda lines, at: [*lines[:at], b"# a remark\n", b"\n", *lines[at:]],
    lambda lines, at: lines[:at] + lines[at:][::-1],
)


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_read_again_is_as_read_for_the_first_time(random: Random, edits: int) -> None:
    lines = lines_of(generate(800, random.randrange(5)))
    before = read_again("r", b"".join(lines), CATEGORIES)
    for _ in range(edits):
        lines = random.choice(EDITS)(lines, random.randrange(1, len(lines)))
        data = b"".join(lines)
        if random.random() < 0.2:
            data = data.rstrip(b"\n")
        again = read_again("r", data, CATEGORIES, before)
        fresh = read_again("r", data, CATEGORIES)
        assert everything(again[0]) == everything(fresh[0])
        assert again[1] == fresh[1]
        before = again


def test_a_last_line_without_its_end_may_stand_across_a_pieces_end() -> None:
    head, row = b"id,prefix,category,valid_from,valid_until,services\n", b"a,20.0.0.0/24,mission,,,"
    data = head + b"# x\n" * 20 + row
    for least in range(1, len(data) - len(head)):
        stops = [piece.stop for piece in cut(data, len(head), least)]
        assert stops[-1] == len(data), least
    longer = head + b"x" * 5000
    assert [piece.stop for piece in cut(longer, len(head), 100)] == [None]


@pytest.mark.parametrize("at", [1, 2, 2700, 5400, -1])
def test_a_changed_row_costs_the_parsing_of_a_piece_or_two(at: int, parsed: list[int]) -> None:
    lines = lines_of(generate(6000, 1))
    before = read_again("r", b"".join(lines), CATEGORIES)
    assert len(parsed) > 30
    parsed.clear()
    lines.insert(at, b"R-new,198.18.7.0/24,mission,,,\n")
    again = read_again("r", b"".join(lines), CATEGORIES, before)
    assert 1 <= len(parsed) <= 3
    assert len(again[0]) == len(before[0]) + 1


def test_a_row_among_many_that_begin_alike_costs_little_as_well(parsed: list[int]) -> None:
    rows = [f"a,20.{n >> 8}.{n & 255}.0/24,mission,,,\n".encode() for n in range(6000)]
    head = b"id,prefix,category,valid_from,valid_until,services\n"
    before = read_again("r", head + b"".join(rows), CATEGORIES)
    parsed.clear()
    del rows[100]
    read_again("r", head + b"".join(rows), CATEGORIES, before)
    assert 1 <= len(parsed) <= 4


def test_what_was_read_under_other_categories_or_in_another_form_is_not_taken(
    parsed: list[int],
) -> None:
    data = generate(300, 1)
    before = read_again("r", data, CATEGORIES)
    count = len(parsed)
    more = (*CATEGORIES, "another")
    assert read_again("r", data, more, before)[0].categories == more
    assert len(parsed) == 2 * count
    plain = b"20.0.0.0/24\n20.0.1.0/24\n"
    kept = read_again("r", plain, ("mission",))
    assert len(read_again("r", plain, ("mission",), kept)[0]) == 2


def test_a_bad_row_is_told_with_its_line_whatever_was_taken_over() -> None:
    lines = lines_of(generate(1000, 1))
    before = read_again("r", b"".join(lines), CATEGORIES)
    lines.insert(800, b"R-new,198.18.7.1/24,mission,,,\n")
    with pytest.raises(PolicyError) as again:
        read_again("r", b"".join(lines), CATEGORIES, before)
    with pytest.raises(PolicyError) as fresh:
        parse_registry("r", b"".join(lines), CATEGORIES)
    assert again.value.problems == fresh.value.problems
    assert again.value.problems[0].line == 801


def test_services_that_nobody_has_any_more_are_not_kept() -> None:
    lines = lines_of(generate(400, 1))
    lines.insert(10, b"R-new,198.18.7.0/24,mission,,,udp/7\n")
    before = read_again("r", b"".join(lines), CATEGORIES)
    del lines[10]
    again = read_again("r", b"".join(lines), CATEGORIES, before)
    assert again[0].digest == parse_registry("r", b"".join(lines), CATEGORIES).digest


@pytest.mark.parametrize("least", [1, 17, 500, 4000, 10**6])
def test_the_pieces_are_the_file(least: int) -> None:
    data = generate(400, 2).rstrip(b"\n")
    at = data.index(b"\n") + 1
    cuts = list(cut(data, at, least))
    assert b"".join(data[c.start : c.stop] for c in cuts) == data[at:]
    assert all(data[c.start - 1 : c.start] == b"\n" for c in cuts)


def test_a_line_without_end_is_not_cut() -> None:
    assert list(cut(b"x" * 10_000, 0, 1000)) == [Cut(0, 1000, None)]
