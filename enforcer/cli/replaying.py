"""A capture from its first packet to its last: judged, counted, and perhaps written out again.

In: an open capture, the moments that judge, and what is known of where it was taken. Out: an
`Outcome`. Memory does not grow with the capture.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from enforcer.ruleset.judging import Judged, Seen
from enforcer.ruleset.measures import CounterName
from enforcer.ruleset.moments import Moments
from enforcer.ruleset.packets import EITHER, IN, OUT, Packets
from enforcer.sources.capture import NO_TIME, Capture, CaptureError, Records
from enforcer.sources.frames import COOKED, KNOWN, Skipped, decode

_SNAP_BYTES = 262144
_RECORD = struct.Struct("<IIII")


@dataclass(frozen=True, slots=True)
class Taken:
    """What is known of the capture: on which `device` (None: what its file says), `only` which of
    the file's interfaces to read, the gateway's `macs`, and a `direction` for all packets.
    """

    device: str | None = None
    only: str | None = None
    macs: frozenset[int] = frozenset()
    direction: int | None = None


@dataclass(slots=True)
class Outcome:
    """Counts of packets, and of (packets, bytes) where two. `error`: why the rest was not read."""

    packets: int = 0
    judged: list[int] = field(default_factory=lambda: [0, 0])
    untouched: list[int] = field(default_factory=lambda: [0, 0])
    held_back: list[int] = field(default_factory=lambda: [0, 0])
    tallies: dict[tuple[CounterName, int], list[int]] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=Skipped)
    other_links: Counter[int] = field(default_factory=Counter)
    other_devices: Counter[str] = field(default_factory=Counter)
    devices: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    directions: Counter[int] = field(default_factory=Counter)
    timeless: int = 0
    cut: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    error: str | None = None
    interrupted: bool = False

    @property
    def unread(self) -> bool:
        """Packets there were, but not one of a link type that is read, or of the interface asked
        for.
        """
        left = sum(self.other_links.values()) + sum(self.other_devices.values())
        return 0 < left == self.packets


class WriteError(Exception):
    """What was to be saved cannot be: `fact; remedy`."""


class PcapWriter:
    """A pcap of packets as they were captured, of one link type. Complete, or not there at all."""

    def __init__(self, path: Path) -> None:
        self._path, self._part = path, path.with_name(f"{path.name}.part-{os.getpid()}")
        self._file: BinaryIO = self._part.open("wb")
        self._link: int | None = None
        self._tick_ns = 1000
        self.packets = 0

    def add(self, records: Records, rows: NDArray[np.int64]) -> None:
        """Raises WriteError when the link type is another than before."""
        if self._link is None:
            self._link, self._tick_ns = records.link_type, 1 if records.nanoseconds else 1000
            self._head()
        if records.link_type != self._link:
            raise WriteError(
                f"has packets of link types {self._link} and {records.link_type}, and a pcap holds "
                "one; name one interface with --only, or leave out --write"
            )
        when = np.clip(records.when_ns[rows], 0, (1 << 32) * 10**9 - 1)
        columns = (
            when // 10**9,
            when % 10**9 // self._tick_ns,
            records.kept[rows],
            records.length[rows],
            records.at[rows],
        )
        for second, tick, kept, length, at in zip(*(c.tolist() for c in columns), strict=True):
            self._file.write(_RECORD.pack(second, tick, kept, length))
            self._file.write(records.data[at : at + kept].data)
        self.packets += len(rows)

    def _head(self) -> None:
        magic = 0xA1B23C4D if self._tick_ns == 1 else 0xA1B2C3D4
        link = 1 if self._link is None else self._link
        self._file.write(struct.pack("<IHHiIII", magic, 2, 4, 0, 0, _SNAP_BYTES, link))

    def finish(self) -> None:
        if self._link is None:
            self._head()
        self._file.close()
        self._part.replace(self._path)

    def abandon(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


def replay(
    capture: Capture,
    moments: Moments,
    taken: Taken,
    known_devices: frozenset[str],
    writer: PcapWriter | None,
    *,
    own_times: bool,
    progress: Callable[[int, int], None],
) -> Outcome:
    """`known_devices` are those that the configuration names; `progress` gets bytes and packets."""
    outcome = Outcome()
    try:
        for records in capture.records():
            outcome.packets += len(records)
            _note_times(outcome, records.when_ns)
            _one(outcome, records, moments, taken, known_devices, writer, own_times=own_times)
            progress(capture.input.count, outcome.packets)
    except CaptureError as error:
        outcome.error = str(error)
    except KeyboardInterrupt:
        outcome.error, outcome.interrupted = "interrupted; the rest is not read", True
    return outcome


def _note_times(outcome: Outcome, when_ns: NDArray[np.int64]) -> None:
    known = when_ns[when_ns != NO_TIME]
    if len(known):
        first, last = int(known.min()), int(known.max())
        outcome.first_ns = first if outcome.first_ns is None else min(first, outcome.first_ns)
        outcome.last_ns = last if outcome.last_ns is None else max(last, outcome.last_ns)


def _one(
    outcome: Outcome,
    records: Records,
    moments: Moments,
    taken: Taken,
    known_devices: frozenset[str],
    writer: PcapWriter | None,
    *,
    own_times: bool,
) -> None:
    if taken.only is not None and records.device != taken.only:
        outcome.other_devices[records.device or ""] += len(records)
        return
    if records.link_type not in KNOWN:
        outcome.other_links[records.link_type] += len(records)
        return
    packets = decode(records, taken.macs, outcome.skipped)
    when = records.when_ns[packets.record]
    if own_times and (when == NO_TIME).any():
        timed = when != NO_TIME
        outcome.timeless += int((~timed).sum())
        packets, when = packets.take(timed), when[timed]
    if taken.direction is not None:
        packets = replace(packets, direction=np.full_like(packets.direction, taken.direction))
    device = taken.device or (records.device if records.device in known_devices else None)
    outcome.devices[records.device, device] += len(packets)
    for direction in (IN, OUT, EITHER):
        outcome.directions[direction] += int((packets.direction == direction).sum())
    outcome.cut += int(packets.cut.sum())
    seen = Seen(device, everywhere=records.link_type in COOKED)
    for judge, rows in moments.split(when):
        part = packets if len(rows) == len(packets) else packets.take(rows)
        judged = judge.judge(part, seen)
        _add(outcome, part, judged)
        if writer is not None:
            out = judged.held | judged.rehearsed
            if out.any():
                writer.add(records, part.record[out])


def _add(outcome: Outcome, packets: Packets, judged: Judged) -> None:
    everything: Any = slice(None)
    for total, rows in (
        (outcome.judged, everything),
        (outcome.untouched, ~judged.touched),
        (outcome.held_back, judged.held),
    ):
        sizes = packets.size[rows]
        total[0] += len(sizes)
        total[1] += int(sizes.sum())
    for tally in judged.tallies:
        counts = outcome.tallies.setdefault((tally.counter, tally.service), [0, 0])
        counts[0] += tally.packets
        counts[1] += tally.bytes
