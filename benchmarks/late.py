"""Why an edge is late: what of it the daemon waited for a core, and what it worked.

    python -m benchmarks.late [--windows 30] [--prefixes 20000] [-- WRAPPER…]

In: windows that open and end by the wall clock, a real daemon in a namespace of its own, `WRAPPER`
in front of it (`chrt -r 1`, `nice -n -10`). Out: a line for opening and one for ending, and the
latest of each. No packets: an edge is over when the kernel has answered its transaction. The wait
is the kernel's own count, run_delay of /proc/self/schedstat (sched-stats.rst).
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.case import Case
from benchmarks.gateway import Span, write_files

_OPEN_S, _PERIOD_S, _LEAD_S = 2, 4, 10
_LATEST = 3
_HERE = Path(__file__)


@dataclass(frozen=True, slots=True)
class Edge:
    """Nanoseconds: `done` after the instant `at_ns` the kernel had answered; for `waited` of them
    the daemon could have run and did not.
    """

    at_ns: int
    done: int
    waited: int

    @property
    def worked(self) -> int:
        """What is left: its own work, the kernel's, and what a hypervisor takes."""
        return self.done - self.waited


def line(what: str, edges: Sequence[Edge]) -> str:
    """Milliseconds: median, 90th of a hundred, most."""

    def spread(values: Sequence[int]) -> str:
        ordered, last = sorted(values), len(values) - 1
        picked = ordered[last // 2], ordered[last * 9 // 10], ordered[last]
        return " / ".join(f"{ns / 1e6:.1f}" for ns in picked)

    late, waited = spread([e.done for e in edges]), spread([e.waited for e in edges])
    worked = spread([e.worked for e in edges])
    return f"{what} {len(edges)}: late {late} ms, waited for a core {waited}, worked {worked}"


# --- the daemon, with its edges timed -------------------------------------------------------------


def _waited_ns() -> int:
    return int(Path("/proc/self/schedstat").read_text().split()[1])


def _inside(config: str, told: Path) -> None:
    from enforcer import service
    from enforcer.kernel.netlink import Netlink

    seen: dict[str, int] = {}

    class Timed(service.Timer):
        def set(self, at_ns: int) -> None:
            seen.clear()
            seen.update(at=at_ns, before=_waited_ns())
            super().set(at_ns)

        def drain(self) -> bool:
            seen["woken"] = 1
            return super().drain()

    batch = Netlink.batch

    def timed(netlink: Netlink, *arguments: object) -> object:
        answers = batch(netlink, *arguments)  # type: ignore[arg-type]
        now, at = time.time_ns(), seen.get("at", 1)
        if seen.pop("woken", None) is not None and at % 10**9 == 0:
            with told.open("a") as file:
                waited = _waited_ns() - seen["before"]
                file.write(json.dumps([at, now - at, waited]) + "\n")
        return answers

    service.Timer, Netlink.batch = Timed, timed  # type: ignore[misc,assignment,method-assign]
    sys.argv = ["enforcer", "run", "--config", config]
    runpy.run_module("enforcer", run_name="__main__")


# --- the run --------------------------------------------------------------------------------------


def measure(windows: int, prefixes: int, wrapper: Sequence[str]) -> tuple[list[Edge], list[Edge]]:
    """The edges at which windows opened, and those at which they ended."""
    name = f"bench-late-{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "add", "wan0", "type", "veth", "peer", "name", "far0")
        for device in ("lo", "wan0", "far0"):
            _ip("-n", name, "link", "set", device, "up")
        with tempfile.TemporaryDirectory(prefix="bench-") as made:
            return _run(name, Path(made), windows, Case.make(prefixes).data, wrapper)
    finally:
        _ip("netns", "delete", name)


def _run(
    name: str, directory: Path, windows: int, registry: bytes, wrapper: Sequence[str]
) -> tuple[list[Edge], list[Edge]]:
    first = time.time_ns() // 10**9 + _LEAD_S
    starts = [first + _PERIOD_S * number for number in range(windows)]
    write_files(directory, registry, [Span(start, start + _OPEN_S) for start in starts])
    told = directory / "told"
    told.touch()
    places = {"ENFORCER_STATE_DIR": f"{directory}/state", "ENFORCER_RUN_DIR": f"{directory}/run"}
    daemon = (sys.executable, "-m", "benchmarks.late", "--inside", str(told))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ("ip", "netns", "exec", name, *wrapper, *daemon, str(directory / "enforcer.yaml")),
            stdout=log, stderr=log, env=os.environ | places, cwd=_HERE.parents[1],
        )  # fmt: skip
    try:
        while time.time_ns() < (starts[-1] + _PERIOD_S) * 10**9 and process.poll() is None:
            time.sleep(0.5)
    finally:
        process.terminate()
        process.wait()
    edges = [Edge(*json.loads(text)) for text in told.read_text().splitlines()]
    if not edges:
        raise RuntimeError((directory / "log").read_text()[-2000:])
    opening = {start * 10**9 for start in starts}
    return [e for e in edges if e.at_ns in opening], [e for e in edges if e.at_ns not in opening]


def _ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True)


def main() -> None:
    if sys.argv[1:2] == ["--inside"]:
        _inside(sys.argv[3], Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.late", description=__doc__)
    parser.add_argument("--windows", type=int, default=30)
    parser.add_argument("--prefixes", type=int, default=20_000)
    parser.add_argument("wrapper", nargs="*")
    asked = parser.parse_args()
    opened, ended = measure(asked.windows, asked.prefixes, asked.wrapper)
    for what, edges in (("opened", opened), ("ended", ended)):
        print(line(what, edges))
        for late in sorted(edges, key=lambda e: -e.done)[:_LATEST]:
            print(f"  {late.done / 1e6:.1f} ms, {late.waited / 1e6:.1f} of it waited for a core")


if __name__ == "__main__":
    main()
