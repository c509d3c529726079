"""A capture in memory or on disk, read as the command reads it."""

from __future__ import annotations

import io

from enforcer.ruleset.packets import Packets
from enforcer.sources.capture import Capture, CaptureError, Chunks, Input, Records
from enforcer.sources.frames import Skipped, decode


def read(data: bytes, *, at_a_time: int = 1 << 20) -> tuple[list[Records], str | None]:
    """The records, and the error that ended them; a stream that gives few bytes at a time."""

    class Slow(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            return super().read1(at_a_time if size is None or size < 0 else min(size, at_a_time))

    class Little(Chunks):
        def more(self, size: int = at_a_time) -> bytes:
            return super().more(size)

    capture = Capture("x", Input(io.BytesIO(data)), Little(Slow(data)))
    found: list[Records] = []
    try:
        found.extend(capture.records())
    except CaptureError as error:
        return found, str(error)
    return found, None


def frames_of(found: list[Records]) -> list[bytes]:
    return [
        bytes(records.data[at : at + kept])
        for records in found
        for at, kept in zip(records.at.tolist(), records.kept.tolist(), strict=True)
    ]


def packets_of(
    data: bytes, *, macs: frozenset[int] = frozenset(), skipped: Skipped | None = None
) -> Packets:
    """The IP packets of a capture of one chunk."""
    found, error = read(data)
    assert error is None
    (records,) = found
    return decode(records, macs, skipped or Skipped())
