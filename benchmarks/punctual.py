"""How late a window opens and how exactly it ends, told by a steady stream of packets.

In: the extent. Out: milliseconds after the declared instant, one value a window. The real daemon
declares nothing early: what counts is the kernel's time stamp on the first packet that arrives at
the sink marked, and on the last unregistered one that still reached the estate. The stream has a
packet of each kind every half millisecond, which is the resolution.
"""

from __future__ import annotations

import socket
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import cores
from benchmarks.case import Case, size_text
from benchmarks.figures import Figure
from benchmarks.gateway import CS5, Gateway, Span, write_files
from benchmarks.ours import ESTATE_HOST
from benchmarks.packets import OURS
from benchmarks.plan import Extent
from benchmarks.sources import draw, strangers
from benchmarks.wire import SINK_NET, Bench, inside, open_sender

PUNCTUAL = "Punctuality"
_EVERY_NS = 500_000
_BEFORE_S, _OPEN_S, _BETWEEN_S = 2, 2, 2
# How far from an instant one looks, and how long a stream that has stopped must be silent.
SLACK_NS, _SURE_NS = 1_900_000_000, 50_000_000
_TIMESTAMP_NS = 35  # SO_TIMESTAMPNS, also the type of the control message
_FORCE_BUFFER, _BUFFER_BYTES = 33, 64 << 20  # SO_RCVBUFFORCE
_ETH_P_IP = 0x0800


@dataclass(frozen=True, slots=True)
class Arrival:
    """`at_ns` since the epoch; `to_estate` says which of the two streams."""

    at_ns: int
    to_estate: bool
    marked: bool


@dataclass(frozen=True, slots=True)
class Lateness:
    """Nanoseconds after the declared instant: below 0 is early. None: it never happened."""

    marked: int | None
    held_back: int | None
    unmarked: int | None


def lateness(arrivals: Sequence[Arrival], span: Span) -> Lateness:
    """From the packets around one window, which is open for longer than `SLACK_NS`."""
    starts, ends = span.starts_at * 10**9, span.ends_at * 10**9
    near_start = [a for a in arrivals if abs(a.at_ns - starts) < SLACK_NS]
    marked = [a.at_ns for a in near_start if a.marked]
    passed = [a.at_ns for a in near_start if a.to_estate]
    held_back = max(passed) if passed and max(passed) < starts + SLACK_NS - _SURE_NS else None
    in_time = (a.at_ns for a in arrivals if a.marked and a.at_ns < ends + SLACK_NS)
    last_marked = max(in_time, default=0)
    unmarked = [a.at_ns for a in arrivals if a.at_ns > last_marked and not a.to_estate]
    return Lateness(
        marked=min(marked) - starts if marked else None,
        held_back=None if held_back is None else held_back - starts,
        unmarked=min(unmarked) - ends if marked and unmarked else None,
    )


def measure(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    for count in (extent.sizes[0], extent.sizes[-1]):
        said(f"{extent.windows} windows opened by the daemon, {size_text(count)}")
        yield from _windows(Case.make(count), extent.windows)
        if len(extent.sizes) == 1:
            return


def _windows(case: Case, windows: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, Bench() as bench:
        directory = Path(name)
        lead_s = _BEFORE_S + 2 + case.count // 50_000
        first = time.time_ns() // 10**9 + lead_s
        starts = [first + number * (_OPEN_S + _BETWEEN_S) for number in range(windows)]
        spans = [Span(start, start + _OPEN_S) for start in starts]
        write_files(directory, case.data, spans)
        with Gateway(bench, directory) as gateway:
            gateway.start(armed=False)
            arrivals = _stream(bench, case, until_ns=(spans[-1].ends_at + 1) * 10**9)
    found = [lateness(arrivals, span) for span in spans]
    size = size_text(case.count)
    for what, values in (
        (f"first packet marked, {size}", [f.marked for f in found]),
        (f"last unregistered packet let in, {size}", [f.held_back for f in found]),
        (f"first packet unmarked after the end, {size}", [f.unmarked for f in found]),
    ):
        # What was never seen counts as late as it could be told.
        told = tuple((SLACK_NS if value is None else value) / 1e6 for value in values)
        unseen = sum(value is None for value in values)
        note = f"never in {unseen} of {len(values)} windows" if unseen else ""
        yield Figure(PUNCTUAL, what, OURS, "ms", told, note=note)


def _stream(bench: Bench, case: Case, until_ns: int) -> list[Arrival]:
    random = np.random.default_rng(5)
    prefixes = case.prefixes
    registered = draw(random, prefixes, 4096, share=1.0, zipf=False)
    one = next(address for address in registered.tolist() if case.category(address) is not None)
    transit = bench.frames(np.array([one], np.uint32), f"{SINK_NET}.2")
    to_estate = bench.frames(strangers(random, prefixes, 1), ESTATE_HOST)
    sender, seen = open_sender(bench), inside(bench.sink, _capture)
    arrivals: list[Arrival] = []
    with cores.sending(), sender, seen:
        due = time.time_ns()
        while due < until_ns:
            while time.time_ns() < due:
                pass
            transit.send(sender, 0, 1)
            to_estate.send(sender, 0, 1)
            due += _EVERY_NS
            _drain(seen, arrivals)
        time.sleep(0.05)
        _drain(seen, arrivals)
    return arrivals


def _capture() -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
    sock.bind(("rx0", _ETH_P_IP))
    sock.setsockopt(socket.SOL_SOCKET, _FORCE_BUFFER, _BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMP_NS, 1)
    sock.setblocking(False)
    return sock


def _drain(sock: socket.socket, arrivals: list[Arrival]) -> None:
    while True:
        try:
            packet, control, _, _ = sock.recvmsg(64, 64)
        except BlockingIOError:
            return
        seconds, nanoseconds = struct.unpack("=qq", control[0][2][:16])
        arrivals.append(
            Arrival(
                seconds * 10**9 + nanoseconds,
                packet[16:20] == socket.inet_aton(ESTATE_HOST),
                packet[1] >> 2 == CS5,
            )
        )
