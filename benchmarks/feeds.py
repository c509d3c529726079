"""A registrar's signed feed, from its server into the kernel.

    python -m benchmarks.feeds [ROWS] [ROUNDS]

In: how many rows. A gateway in a namespace with the real daemon, a real HTTPS server on its
loopback, and minisign. Out: seconds from the start of `enforcer fetch --once` until a row of the
new body is in the kernel, which it is when the command ends: a first body onto a registry of one
row, and then bodies with one row changed. Beside them the processor time of the command and of the
daemon in it, and the most memory that the command took. The server runs in this process and shares
the machine's cores with both.
"""

from __future__ import annotations

import os
import resource
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import facts
from enforcer.kernel.nft import NftKernel
from tests.feeds.feed_world import csv
from tests.kernel.conftest import made_namespace
from tests.kernel.daemon_process import Gateway
from tests.kernel.feed_gateway import World, made_world


def main(rows: int = 1_000_000, rounds: int = 5) -> None:
    print(", ".join(facts().values()))
    with (
        made_namespace() as namespace,
        tempfile.TemporaryDirectory() as folder,
    ):
        gateway = Gateway(namespace, Path(folder))
        try:
            with made_world(gateway) as world:
                _measured(world, gateway, rows, rounds)
        finally:
            gateway.close()


def _measured(world: World, gateway: Gateway, rows: int, rounds: int) -> None:
    world.write(more=", max_size: 256MB, max_rows: 5000000", timeout="5m")
    gateway.write_windows(gateway.window(3600, 7200))
    world.publish(csv(1, "freelancer"), 1)
    assert world.fetch()["result"] == "accepted"
    daemon = gateway.start()
    kernel = NftKernel(gateway.namespace)
    body = csv(rows, "freelancer")
    first = _fetched(world, kernel, body, 2, daemon.pid)
    later = [_fetched(world, kernel, body, 3 + number, daemon.pid) for number in range(rounds)]
    kernel.close()
    most_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{rows:,} rows, {len(body) / 10**6:.0f} MB, signed, {os.cpu_count()} cores")
    print(f"  onto a registry of one row: {_told([first])}")
    print(f"  with one row changed, {rounds} rounds: {_told(later)}")
    print(f"  most memory of the command: {most_mb:,.0f} MB")


@dataclass(frozen=True)
class Took:
    """Seconds: of the wall, and of processors for the command and for the daemon meanwhile."""

    whole: float
    command: float
    daemon: float


def _told(took: list[Took]) -> str:
    whole = [each.whole for each in took]
    most = f" (most {max(whole):.2f} s)" if len(took) > 1 else ""
    command, daemon = (
        statistics.median(getattr(each, name) for each in took) for name in ("command", "daemon")
    )
    return (
        f"{statistics.median(whole):.2f} s{most}; processor time {command:.2f} s of the command, "
        f"{daemon:.2f} s of the daemon"
    )


def _cpu_s(pid: int) -> float:
    """User and system time of a process (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _fetched(world: World, kernel: NftKernel, body: bytes, serial: int, daemon: int) -> Took:
    """Publishes the body and one address more, another one each time, and fetches it."""
    address = bytes((61, 0, 0, serial))
    text = ".".join(map(str, address))
    world.publish(body + f"R-new,{text}/32,freelancer,,,\n".encode(), serial)
    before, served = _cpu_s(daemon), _children_s()
    begun = time.perf_counter()
    process = world.gateway.spawn(argv=("fetch", "--once"))
    assert process.wait(600) == 0, world.gateway.said()
    seconds = time.perf_counter() - begun
    took = Took(seconds, _children_s() - served, _cpu_s(daemon) - before)
    maps = [name for name in kernel.read().sets if name.startswith("reg4-32-")]
    assert any(kernel.elements(name, [address]) for name in maps), "it is in the kernel"
    return took


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
