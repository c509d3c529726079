"""`enforcer replay` on a capture, beside programs that only read it: µs a packet.

In: the extent. Out: figures. The whole process is timed, its start included, and what it counts is
held against the tree. tcpdump reads the same file with a filter that never matches; scapy's reader
makes an object of each packet, of a part of the file, for it is slow.
"""

from __future__ import annotations

import json
import shutil
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.case import PORT, UDP, Case, now, size_text
from benchmarks.figures import Figure
from benchmarks.gateway import Span, write_files
from benchmarks.ours import ESTATE_HOST
from benchmarks.packets import OURS
from benchmarks.plan import Extent
from benchmarks.processes import timed
from benchmarks.sources import Addresses, draw

REPLAY = "Replay of a capture"
TCPDUMP, SCAPY = "tcpdump -r, a filter", "scapy PcapReader"
_PACKETS, _ROUNDS, _SCAPY_PACKETS = 1_000_000, 3, 20_000
_FRAME_BYTES = 60
_WITHIN_S = 120.0
_COUNT = """
import sys
from scapy.utils import PcapReader
print(sum(1 for _ in PcapReader(sys.argv[1])))
"""


def what_replay(count: int) -> str:
    return f"a packet of 60 bytes, {size_text(count)} registered"


def capture(sources: Addresses, at_s: int) -> bytes:
    """A pcap of UDP datagrams from these sources to a guarded service."""
    count = len(sources)
    head = np.array([at_s, 0, _FRAME_BYTES, _FRAME_BYTES], "<u4")
    rows = np.zeros((count, 16 + _FRAME_BYTES), np.uint8)
    rows[:, :16] = head.view(np.uint8)
    target = bytes(map(int, ESTATE_HOST.split(".")))
    frame = bytes(12) + b"\x08\0\x45\0" + struct.pack(">HIBBH", 46, 0, 64, UDP, 0) + bytes(4)
    frame += target + struct.pack(">HHHH", PORT, PORT, 26, 0)
    rows[:, 16 : 16 + len(frame)] = np.frombuffer(frame, np.uint8)
    rows[:, 42:46] = sources.astype(">u4").view(np.uint8).reshape(count, 4)
    return struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1) + rows.tobytes()


def measure(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    for count in extent.sizes:
        said(f"replay, {size_text(count)} registered")
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            yield from _measure(Case.make(count), Path(name))


def _measure(case: Case, directory: Path) -> Iterator[Figure]:
    at_s = int(now().timestamp())
    write_files(directory, case.data, (Span(at_s - 60, at_s + 3600),))
    random = np.random.default_rng(5)
    sources = draw(random, case.prefixes, _PACKETS, share=0.5, zipf=False)
    file, part = directory / "x.pcap", directory / "part.pcap"
    file.write_bytes(capture(sources, at_s))
    part.write_bytes(capture(sources[:_SCAPY_PACKETS], at_s))
    config = ("--config", str(directory / "enforcer.yaml"))
    ours = (sys.executable, "-m", "enforcer", *config, "replay", str(file), "--format", "json")
    commands: dict[str, tuple[int, tuple[str, ...]]] = {OURS: (_PACKETS, ours)}
    if shutil.which("tcpdump"):
        nothing = ("tcpdump", "-n", "-r", str(file), "net", "240.0.0.0/8")
        commands[TCPDUMP] = _PACKETS, nothing
    commands[SCAPY] = _SCAPY_PACKETS, (sys.executable, "-c", _COUNT, str(part))
    for who, (packets, command) in commands.items():
        times = []
        for _ in range(_ROUNDS):
            ended = timed(command, within_s=_WITHIN_S)
            times.append(ended.seconds / packets * 1e6)
            if who == OURS:
                _check(json.loads(ended.output), case, sources)
        rates = tuple(1e6 / each for each in times)
        yield Figure(REPLAY, what_replay(case.count), who, "µs", tuple(times))
        yield Figure(REPLAY, what_replay(case.count), who, "packets/s", rates)


def _check(answer: dict[str, object], case: Case, sources: Addresses) -> None:
    rows = answer["verdicts"]
    assert isinstance(rows, list)
    counted: Counter[str] = Counter()
    for row in rows:
        if row["verdict"] == "marked":
            counted[row["category"]] += row["packets"]
    if counted != case.expected(sources):
        raise RuntimeError(f"replay counted {dict(counted)}, the tree {case.expected(sources)}")
