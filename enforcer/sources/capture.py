"""Capture files → the packets in them, in chunks of arrays: pcap here, pcapng beside.

In: the path of a file, `-` for standard input, plain or gzip. Out: `Records`, some megabytes at a
time whatever the size of the file, and then perhaps a CaptureError: what came before it holds.
Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, libpcap's sf-pcap.c.
"""

from __future__ import annotations

import gzip
import io
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Order = Literal["<", ">"]
CHUNK_BYTES = 1 << 22
# No link has packets that long; a record that claims more is damage.
LONGEST = 1 << 24
NO_TIME = np.iinfo(np.int64).min
# Zeros behind the bytes, so that a header may be read beyond the last packet's end.
PADDING = 64

# magic in the file's own order → (byte order, nanoseconds in a tick)
_PCAP: dict[bytes, tuple[Order, int]] = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
PCAPNG = b"\x0a\x0d\x0d\x0a"
_GZIP = b"\x1f\x8b"
_REWRITE = "write it anew with: tcpdump -r FILE -w NEW"
# What else people hand over: what it is, what to do.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"\xfd7zX", "is compressed with xz; run: xz -dc FILE | enforcer replay -"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd; run: zstd -dc FILE | enforcer replay -"),
    (b"\x04\x22\x4d\x18", "is compressed with lz4; run: lz4 -dc FILE | enforcer replay -"),
    (b"BZh", "is compressed with bzip2; run: bzip2 -dc FILE | enforcer replay -"),
    (b"PK\x03\x04", "is a zip archive; run: unzip -p FILE | enforcer replay -"),
    (b"snoo", "is a snoop capture; convert it with: editcap -F pcap FILE NEW"),
    (b"\xa1\xb2\xcd\x34", f"is a pcap of an old patched libpcap; {_REWRITE}"),
    (b"\x34\xcd\xb2\xa1", f"is a pcap of an old patched libpcap; {_REWRITE}"),
)
_NOT_ONE = "is no pcap or pcapng capture; make one with: tcpdump -i DEVICE -s 128 -w FILE"


class CaptureError(Exception):
    """The capture, or its rest, cannot be read: `fact; remedy`."""


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Captured packets of one interface. Packet i is `data[at[i] : at[i] + kept[i]]`, `length[i]`
    bytes long on the wire, captured at `when_ns[i]` (since the epoch; NO_TIME where the file does
    not say). `direction` 1 in, 2 out, 0 not said. `device` is the interface's name in the file.
    """

    data: NDArray[np.uint8]
    at: NDArray[np.int64]
    kept: NDArray[np.int64]
    length: NDArray[np.int64]
    when_ns: NDArray[np.int64]
    direction: NDArray[np.uint8]
    link_type: int
    device: str | None = None
    nanoseconds: bool = False

    def __len__(self) -> int:
        return len(self.at)


class _Bytes(Protocol):
    def read1(self, size: int, /) -> bytes: ...


class Input(io.RawIOBase):
    """A stream whose first bytes were looked at already; counts what is read, for the progress."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._head = stream, b""
        self.count = 0

    def look(self, size: int) -> bytes:
        while len(self._head) < size and (more := self._stream.read(size - len(self._head))):
            self._head += more
        return self._head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size] = self._head[:size]
            self._head = self._head[size:]
        else:
            size = self._stream.readinto(buffer) or 0
        self.count += size
        return size

    def close(self) -> None:
        self._stream.close()
        super().close()


class Chunks:
    """The bytes of a capture, unpacked, some megabytes at a time. `spoilt`: why they end early."""

    def __init__(self, stream: _Bytes) -> None:
        self._stream = stream
        self.spoilt: str | None = None

    def more(self, size: int = CHUNK_BYTES) -> bytes:
        """At least one byte; nothing at the end."""
        parts: list[bytes] = []
        while size > 0 and self.spoilt is None:
            try:
                part = self._stream.read1(size)
            except EOFError:
                self.spoilt = "the gzip file is cut off"
                break
            except (gzip.BadGzipFile, zlib.error):
                self.spoilt = "the gzip file is damaged"
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Capture:
    """An open capture. `input.count` bytes of the file are read so far."""

    name: str
    input: Input
    chunks: Chunks

    def records(self) -> Iterator[Records]:
        """All packets. Raises CaptureError where the rest cannot be read."""
        # Not at the top: pcapng needs the names of this module.
        from enforcer.sources.pcapng import read_pcapng

        head = self.chunks.more(4)
        if len(head) < 4 and self.chunks.spoilt:
            raise CaptureError(f"{self.chunks.spoilt}; copy it anew")
        if head == PCAPNG:
            yield from read_pcapng(head, self.chunks)
        elif head in _PCAP:
            yield from _read_pcap(head, self.chunks)
        else:
            raise CaptureError(_what_is(head))

    def close(self) -> None:
        self.input.close()


def open_capture(path: str) -> Capture:
    """Raises OSError when it cannot be opened."""
    descriptor = sys.stdin.fileno() if path == "-" else path
    raw = io.FileIO(descriptor, "rb", closefd=path != "-")
    source = Input(raw)
    try:
        zipped = source.look(2) == _GZIP
    except BaseException:
        source.close()
        raise
    stream: _Bytes = (
        gzip.GzipFile(fileobj=source, mode="rb") if zipped else io.BufferedReader(source, 1 << 20)
    )
    return Capture("standard input" if path == "-" else path, source, Chunks(stream))


def _what_is(head: bytes) -> str:
    if not head:
        return "is empty: not even the head of a capture; see that the capture program could write"
    return next((text for magic, text in _OTHERS if head.startswith(magic)), _NOT_ONE)


def _read_pcap(head: bytes, chunks: Chunks) -> Iterator[Records]:
    order, tick_ns = _PCAP[head]
    rest = chunks.more(20)
    if len(rest) < 20:
        raise CaptureError("ends inside the head of the file: no packet in it; capture it anew")
    major, _, _, _, _, network = struct.unpack(f"{order}HHiIII", rest)
    if major != 2:
        raise CaptureError(f"is a pcap of version {major}, which nobody defined; {_REWRITE}")
    size_of = struct.Struct(f"{order}I").unpack_from
    tail, before = b"", 24
    while new := chunks.more():
        data = tail + new
        at, found, last = 0, [], len(data) - 16
        while at <= last:
            after = at + 16 + size_of(data, at + 8)[0]
            if after > len(data):
                break
            found.append(at)
            at = after
        impossible = at <= last and after - at - 16 > LONGEST
        if found:
            starts = np.array(found, np.int64)
            good = 10**9 // tick_ns
            records, bad = _pcap_records(data, starts, order, tick_ns, network & 0x3FFFFFF, good)
            yield records
            if bad is not None:
                raise damaged(before + bad)
        if impossible:
            raise damaged(before + at)
        before += at
        tail = data[at:]
    if tail or chunks.spoilt:
        raise cut_off(before, chunks)


def damaged(at: int) -> CaptureError:
    return CaptureError(
        f"is damaged at byte {at:,}: what stands there is no packet; the rest is not read"
    )


def cut_off(at: int, chunks: Chunks) -> CaptureError:
    if chunks.spoilt:
        return CaptureError(f"{chunks.spoilt}, inside the packet at byte {at:,} of its content")
    return CaptureError(f"ends inside the packet at byte {at:,}; the capture was cut off")


def _pcap_records(
    data: bytes, at: NDArray[np.int64], order: Order, tick_ns: int, link_type: int, good: int
) -> tuple[Records, int | None]:
    """The packets whose records begin at `at`; and where one begins that cannot be one, if any."""
    padded = pad(data)
    seconds, ticks, kept, length = (gather(padded, at, 4, order).T).astype(np.int64)
    wrong = np.flatnonzero(ticks >= good)
    bad = None
    if len(wrong):
        bad = int(at[wrong[0]])
        stop = slice(0, int(wrong[0]))
        at, seconds, ticks = at[stop], seconds[stop], ticks[stop]
        kept, length = kept[stop], length[stop]
    records = Records(
        padded,
        at + 16,
        kept,
        np.maximum(kept, length),
        seconds * 10**9 + ticks * tick_ns,
        np.zeros(len(at), np.uint8),
        link_type,
        nanoseconds=tick_ns == 1,
    )
    return records, bad


def pad(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data + bytes(PADDING), np.uint8)


def gather(
    data: NDArray[np.uint8], at: NDArray[np.int64], count: int, order: Order
) -> NDArray[np.uint32]:
    """`count` numbers of 32 bits from each place: an array of `len(at)` rows."""
    span = data[at[:, None] + np.arange(4 * count)]
    numbers: NDArray[np.uint32] = span.view(f"{order}u4")
    return numbers
