"""pcap files as people have them: both byte orders, both clocks, cut off, damaged, compressed."""

from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import pytest

from enforcer.sources.capture import CaptureError, Chunks, open_capture
from tests.sources import captures as c
from tests.sources.reading import frames_of, read

FRAMES = [c.ethernet(c.ipv4("192.0.2.1", "192.0.2.2", 17, c.ports(1, n) + bytes(n)))
          for n in range(40)]  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
@pytest.mark.parametrize("at_a_time", [1, 7, 1 << 20])
def test_every_packet_with_its_time_however_the_bytes_arrive(
    order: str, nanoseconds: bool, at_a_time: int
) -> None:
    at_s = [c.AT_S + n / 4 for n in range(len(FRAMES))]
    data = c.pcap(FRAMES, order=order, nanoseconds=nanoseconds, at_s=at_s)
    found, error = read(data, at_a_time=at_a_time)
    assert error is None
    assert frames_of(found) == FRAMES
    times = [when for records in found for when in records.when_ns.tolist()]
    assert times == [int(at * 4) * 250_000_000 for at in at_s]
    assert {records.nanoseconds for records in found} == {nanoseconds}


def test_packets_cut_at_the_snapshot_length_keep_their_length() -> None:
    found, _ = read(c.pcap(FRAMES, snap=44))
    assert [n for r in found for n in r.length.tolist()] == [len(f) for f in FRAMES]
    assert max(n for r in found for n in r.kept.tolist()) == 44


@pytest.mark.parametrize("missing", [1, 20, 81, 82, 96, 98])
def test_a_capture_that_was_cut_off_gives_what_is_whole(missing: int) -> None:
    data = c.pcap(FRAMES)
    found, error = read(data[:-missing], at_a_time=300)
    last = len(FRAMES[-1]) + 16
    assert frames_of(found) == FRAMES[: -1 if missing < last else -2]
    assert error is not None
    assert "the capture was cut off" in error


def test_what_is_cut_between_two_packets_is_whole() -> None:
    data = c.pcap(FRAMES)
    found, error = read(data[: -len(FRAMES[-1]) - 16])
    assert (frames_of(found), error) == (FRAMES[:-1], None)


def test_a_record_that_cannot_be_one_ends_the_reading() -> None:
    good = c.pcap(FRAMES)
    for bad in (
        struct.pack("<IIII", c.AT_S, 0, 1 << 30, 60),
        struct.pack("<IIII", c.AT_S, 1_000_000, 8, 8) + bytes(8),
    ):
        found, error = read(good + bad + good)
        assert frames_of(found) == FRAMES
        assert error == (
            f"is damaged at byte {len(good):,}: what stands there is no packet; the rest is not "
            "read"
        )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b"\xd4\xc3", "is no pcap or pcapng capture"),
        (b"hello, world, how are you", "is no pcap or pcapng capture"),
        (c.pcap([])[:20], "ends inside the head of the file"),
        (b"\xd4\xc3\xb2\xa1\x03" + bytes(30), "is a pcap of version 3"),
        (b"\xfd7zXZ\0", "xz -dc FILE"),
        (b"\x28\xb5\x2f\xfd....", "zstd -dc FILE"),
        (b"PK\x03\x04....", "zip archive"),
        (b"snoop\0\0\0", "editcap"),
    ],
)
def test_what_is_no_capture_is_named(data: bytes, said: str) -> None:
    found, error = read(data)
    assert found == []
    assert error is not None
    assert said in error


def test_a_capture_without_packets_is_one() -> None:
    assert read(c.pcap([])) == ([], None)


def test_a_gzip_file_is_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "x.pcap.gz"
    # Two members, as `cat` of two gzip files has.
    data = c.pcap(FRAMES)
    file.write_bytes(gzip.compress(data[:500]) + gzip.compress(data[500:]))
    capture = open_capture(str(file))
    assert frames_of(list(capture.records())) == FRAMES
    assert capture.input.count == file.stat().st_size
    capture.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data[:-40], "the gzip file is cut off"),
        (lambda data: data[:200] + bytes(100) + data[300:], "the gzip file is damaged"),
    ],
)
def test_a_spoilt_gzip_file_gives_what_comes_before(tmp_path: Path, spoil, said: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "x.pcap.gz"
    noise = [bytes([n % 251 ^ i * 7 % 256 for i in range(60)]) for n in range(400)]
    file.write_bytes(spoil(gzip.compress(c.pcap(noise))))
    capture = open_capture(str(file))
    found = []
    with pytest.raises(CaptureError, match=said):
        found.extend(capture.records())
    frames = frames_of(found)
    assert frames == noise[: len(frames)]
    capture.close()


def test_memory_does_not_grow_with_the_capture() -> None:
    """No chunk is larger than what is asked for and one packet."""
    stream = io.BufferedReader(io.BytesIO(bytes(50_000_000)))  # type: ignore[arg-type]
    chunks = Chunks(stream)
    sizes = [len(part) for part in iter(chunks.more, b"")]
    assert sum(sizes) == 50_000_000
    assert max(sizes) <= 1 << 22
