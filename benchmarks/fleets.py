"""A changed row through etcd to every kernel of a fleet, and what it costs etcd.

    python -m benchmarks.fleets [GATEWAYS] [ROWS] [ROUNDS]

In: how many gateways, each a namespace with the real daemon and follower, one real etcd for all.
Out: seconds from `enforcer publish` being called, and from its end, until the row is in the kernel
of every gateway, and bytes that went through etcd's client port meanwhile. All of them share the
cores of one machine.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import facts
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.nft import NftKernel
from tests.kernel.daemon_process import eventually
from tests.kernel.fleet_world import Fleet, made_fleet, rows


def main(gateways: int = 20, count: int = 20_000, rounds: int = 5) -> None:
    print(", ".join(facts().values()))
    with (
        tempfile.TemporaryDirectory() as folder,
        made_fleet(Path(folder), in_memory=False) as fleet,
    ):
        (fleet.published / "registry.csv").write_text(rows(count))
        members = [fleet.member(f"edge-{i}") for i in range(gateways)]
        print(fleet.publish().splitlines()[0])
        for member in members:
            member.follow()
        for member in members:
            member.start()
        eventually(fleet.converged, "all hold revision 1")
        kernels = [NftKernel(member.namespace) for member in members]
        whole, after, traffic = [], [], []
        for number in range(rounds):
            address = bytes((10, 200, 0, 2 * number + 1))
            fleet.add_row(".".join(map(str, address)) + "/32")
            before, begun = _bytes(fleet), time.perf_counter()
            fleet.publish()
            published = time.perf_counter()
            waiting = dict(enumerate(kernels))
            while waiting:
                there = [i for i, kernel in waiting.items() if _has(kernel, address)]
                for i in there:
                    del waiting[i]
                time.sleep(0.01)
                if time.perf_counter() - begun > 60:
                    raise SystemExit(f"{len(waiting)} gateways do not have the row after a minute")
            done = time.perf_counter()
            whole.append(done - begun)
            after.append(done - published)
            traffic.append(_bytes(fleet) - before)
        for kernel in kernels:
            kernel.close()
        print(f"{gateways} gateways, {count:,} rows, {rounds} rounds: median (most)")
        for what, values in (("from calling publish", whole), ("from its end", after)):
            print(f"  {what}: {statistics.median(values):.2f} s ({max(values):.2f} s)")
        print(f"  through etcd: {statistics.median(traffic) / 1000:,.0f} kB for all of it")


def _has(kernel: NftKernel, address: bytes) -> bool:
    maps = [name for name in kernel.read().sets if name.startswith("reg4-32-")]
    return any(kernel.elements(name, [address]) for name in maps)


def _bytes(fleet: Fleet) -> int:
    """What has gone in and out of etcd's namespace, and between etcd and the publisher in it."""
    with in_namespace(fleet.server.namespace):
        told = subprocess.run(
            ("cat", "/proc/net/dev"), capture_output=True, text=True, check=True
        ).stdout
    total = 0
    for line in told.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        fields = numbers.split()
        if name.strip().startswith("to"):
            total += int(fields[0]) + int(fields[8])
        elif name.strip() == "lo":
            # What is sent there is received there.
            total += int(fields[0])
    return total


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
