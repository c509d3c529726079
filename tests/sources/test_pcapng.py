"""pcapng files: sections, interfaces each with its own clock and link type, all packet blocks."""

from __future__ import annotations

import pytest

from enforcer.sources.capture import NO_TIME
from tests.sources import captures as c
from tests.sources.reading import frames_of, read

FRAMES = [bytes([n]) * (40 + n) for n in range(9)]
ONE = FRAMES[0]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("at_a_time", [1, 50, 1 << 20])
def test_every_kind_of_packet_block(order: str, at_a_time: int) -> None:
    data = c.section(order) + c.interface(order)
    data += b"".join(
        c.enhanced(f, order, flags=n % 4, comment="x" * n) for n, f in enumerate(FRAMES)
    )
    data += c.block(order, 5, bytes(12)) + c.block(order, 0xBAD, bytes(5))
    found, error = read(data, at_a_time=at_a_time)
    assert error is None
    assert frames_of(found) == FRAMES
    directions = [d for r in found for d in r.direction.tolist()]
    assert directions == [n % 4 if n % 4 < 3 else 0 for n in range(len(FRAMES))]
    assert {w for r in found for w in r.when_ns.tolist()} == {c.AT_S * 10**9}
    for build in (c.obsolete, c.simple):
        more = c.section(order) + c.interface(order) + b"".join(build(f, order) for f in FRAMES)
        found, error = read(more, at_a_time=at_a_time)
        assert (frames_of(found), error) == (FRAMES, None)


def test_a_simple_block_has_no_time_and_is_cut_at_the_snapshot_length() -> None:
    data = c.section() + c.interface(snap=20) + c.simple(ONE, kept=20)
    ((records,), error) = read(data)
    assert error is None
    assert (records.kept.tolist(), records.length.tolist()) == ([20], [40])
    assert records.when_ns.tolist() == [NO_TIME]


@pytest.mark.parametrize(
    ("resolution", "ticks", "offset_s", "when_ns"),
    [
        (None, 1_500_000, None, 1_500_000_000),
        (3, 1_500, None, 1_500_000_000),
        (9, 1_500_000_001, None, 1_500_000_001),
        (12, 1_500_000_001_999, None, 1_500_000_001),
        (0, 7, None, 7_000_000_000),
        (0x80 | 1, 3, None, 1_500_000_000),
        (0x80 | 30, 3 << 29, None, 1_500_000_000),
        (0x80 | 40, 3 << 39, None, 1_500_000_000),
        (0x80 | 63, 3 << 62, None, 1_500_000_000),
        (6, 1_500_000, 100, 101_500_000_000),
        (6, 1_500_000, -1, 500_000_000),
        (6, 2**64 - 1, None, NO_TIME),
        (0, 2**63, None, NO_TIME),
        (0x7F, 5, None, 0),
    ],
)
def test_the_clock_of_an_interface(
    resolution: int | None, ticks: int, offset_s: int | None, when_ns: int
) -> None:
    clock = c.interface(resolution=resolution, offset_s=offset_s)
    ((records,), error) = read(c.section() + clock + c.enhanced(ONE, ticks=ticks))
    assert error is None
    assert records.when_ns.tolist() == [when_ns]


def test_interfaces_keep_apart_and_end_with_their_section() -> None:
    data = c.section() + c.interface(name="wan0") + c.interface(link=c.COOKED, name="any")
    data += c.enhanced(FRAMES[1], number=1) + c.enhanced(FRAMES[0], number=0)
    # Another byte order, and another interface 0.
    data += c.section(">") + c.interface(">", link=c.RAW) + c.enhanced(FRAMES[2], ">")
    found, error = read(data)
    assert error is None
    assert [(r.device, r.link_type, frames_of([r])) for r in found] == [
        ("wan0", c.ETHERNET, [FRAMES[0]]),
        ("any", c.COOKED, [FRAMES[1]]),
        (None, c.RAW, [FRAMES[2]]),
    ]


HEAD = c.section() + c.interface()


@pytest.mark.parametrize(
    "bad",
    [
        c.enhanced(ONE, number=1),
        c.section()[:8] + bytes(20),
        b"\x06\0\0\0\x08\0\0\0\x08\0\0\0",
        b"\x06\0\0\0\x21\0\0\0" + bytes(40),
        b"\x06\0\0\0\x20\0\0\x70" + bytes(40),
        c.enhanced(ONE)[:-4] + b"\1\0\0\0",
        # More captured bytes than the block has.
        c.enhanced(ONE)[:20] + b"\xff\0\0\0" + c.enhanced(ONE)[24:],
    ],
)
@pytest.mark.parametrize("after", [b"", c.section() + c.interface(), c.enhanced(FRAMES[3])])
def test_a_block_that_cannot_be_one_ends_the_reading(bad: bytes, after: bytes) -> None:
    good = HEAD + c.enhanced(FRAMES[1]) + c.simple(FRAMES[2])
    found, error = read(good + bad + after)
    assert sorted(frames_of(found)) == [FRAMES[1], FRAMES[2]]
    assert error is not None
    assert error.startswith(f"is damaged at byte {len(good):,}")


def test_a_packet_before_any_interface_is_damage() -> None:
    found, error = read(c.section() + c.simple(ONE))
    assert frames_of(found) == []
    assert error is not None
    assert "is damaged at byte 28" in error


@pytest.mark.parametrize("missing", [1, 30, 71])
def test_a_file_that_was_cut_off_gives_what_is_whole(missing: int) -> None:
    data = HEAD + c.enhanced(FRAMES[1]) + c.enhanced(ONE)
    found, error = read(data[:-missing], at_a_time=33)
    assert frames_of(found) == [FRAMES[1]]
    assert error is not None
    assert "the capture was cut off" in error


def test_a_head_alone_is_no_capture() -> None:
    found, error = read(c.section()[:20])
    assert (found, error is not None and "inside the head" in error) == ([], True)
    assert read(HEAD) == ([], None)
