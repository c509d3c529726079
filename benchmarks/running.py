"""The daemon as it runs: how soon it is there, its memory, what it costs outside windows.

In: the extent. Out: figures. Starting is timed from the start of the process, Python's included.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import cores
from benchmarks.case import Case, size_text
from benchmarks.changes import with_one_row_more
from benchmarks.figures import Figure, side_by_side
from benchmarks.gateway import Gateway, Span, write_files
from benchmarks.packets import OURS
from benchmarks.plan import Extent
from benchmarks.processes import MEGABYTE, status_bytes
from benchmarks.sources import draw
from benchmarks.wire import Bench, cost_ns, open_sender

DAEMON, OUTSIDE = "The daemon", "Outside windows"
WITHOUT = "without the daemon"
_STARTS, _RELOADS, _CHUNKS = 5, 6, 5
_DAY_S = 86_400


def what_start(count: int) -> str:
    return f"start to rules in force, {size_text(count)}"


def what_reload(count: int) -> str:
    return f"reload with one row changed, SIGHUP to kernel, {size_text(count)}"


def what_memory(count: int) -> str:
    return f"resident memory, {size_text(count)}"


@contextmanager
def _gateway(case: Case, spans: Sequence[Span]) -> Iterator[tuple[Bench, Gateway]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, Bench() as bench:
        directory = Path(name)
        write_files(directory, case.data, spans)
        with Gateway(bench, directory) as gateway:
            yield bench, gateway


def measure_daemon(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    for count in extent.sizes:
        said(what_start(count))
        case = Case.make(count)
        begun = int(time.time_ns() // 10**9) - 60
        with _gateway(case, (Span(begun, begun + 2 * 3600),)) as (_, gateway):
            seconds, resident, peaks, reloads = [], [], [], []
            starts = _STARTS if count <= 200_000 else 2
            for number in range(1, starts + 1):
                seconds.append(gateway.start(armed=True))
                time.sleep(0.5)
                rss, high = status_bytes(gateway.pid)
                resident.append(rss / MEGABYTE)
                peaks.append(high / MEGABYTE)
                if number == starts:
                    changed = with_one_row_more(case.data)
                    for at in range(_RELOADS):
                        time.sleep(0.5)
                        reloads.append(gateway.reload(case.data if at % 2 else changed))
                    after = status_bytes(gateway.pid)[0] / MEGABYTE
                gateway.stop()
        yield Figure(DAEMON, what_start(count), OURS, "s", tuple(seconds))
        yield Figure(DAEMON, what_memory(count), OURS, "MB", tuple(resident))
        yield Figure(DAEMON, f"peak memory, {size_text(count)}", OURS, "MB", tuple(peaks))
        yield Figure(DAEMON, what_reload(count), OURS, "s", tuple(reloads))
        what = f"resident memory after {_RELOADS} reloads, {size_text(count)}"
        yield Figure(DAEMON, what, OURS, "MB", (after,))


def what_outside(count: int) -> str:
    return f"forwarding, {size_text(count)} registered"


def measure_outside(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    """Cost of a packet while the daemon runs with its registry loaded, and while it does not."""
    count = 20_000
    said(what_outside(count))
    case = Case.make(count)
    later = int(time.time_ns() // 10**9) + _DAY_S
    with _gateway(case, (Span(later, later + 3600),)) as (bench, gateway):
        sock = open_sender(bench)
        random = np.random.default_rng(3)
        frames = bench.frames(draw(random, case.prefixes, extent.sources, share=0.5, zipf=False))
        costs: dict[str, list[float]] = {WITHOUT: [], OURS: []}
        start = 0
        for number in range(extent.stops):
            for who in (WITHOUT, OURS) if number % 2 == 0 else (OURS, WITHOUT):
                gateway.stop()
                if who == OURS:
                    gateway.start(armed=False)
                    time.sleep(0.1)
                with cores.sending():
                    chunks = []
                    _, start = cost_ns(sock, frames, extent.packets, start)
                    for _ in range(_CHUNKS):
                        cost, start = cost_ns(sock, frames, extent.packets // 2, start)
                        chunks.append(cost)
                costs[who].append(median(chunks))
        yield from side_by_side(OUTSIDE, what_outside(count), "ns", costs, WITHOUT)
