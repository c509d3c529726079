"""What a fleet of so many gateways is for one etcd, and for the person who asks who holds what.

    python -m benchmarks.fleet_of_many [GATEWAYS]

In: how many. Reports are written by the gateways' own code; of a hundred gateways one lags, one
refuses, and of two hundred one is silent. Each has a watch of its own. Out: seconds and bytes of
`enforcer fleet`, of `enforcer publish`, and until every watch was told of a new head; memory of
etcd, and its share of a core for what the gateways ask of it all the time.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from benchmarks.machine import facts
from enforcer.fleet.follower import LEASE_S, LOOK_S
from enforcer.fleet.reports import Report
from enforcer.fleet.store import Store
from enforcer.kernel.namespace import in_namespace
from tests.kernel.fleet_world import HUB, PORT, Fleet, made_fleet

_ROUNDS = 5
_ASKING_S = 20.0
_LONG_LEASE_S = 3600


def main(gateways: int = 1000) -> None:
    print(", ".join(facts().values()))
    with (
        tempfile.TemporaryDirectory() as folder,
        made_fleet(Path(folder), in_memory=False) as fleet,
        fleet.store() as store,
    ):
        fleet.publish()
        fleet.publish()
        _report(store, gateways)
        print(f"{gateways:,} gateways, median of {_ROUNDS}")
        for words in (("fleet",), ("fleet", "--all"), ("fleet", "--format", "json")):
            print(f"  enforcer {' '.join(words)}: {_timed(fleet, *words)}")
        begun = time.perf_counter()
        store.reports()
        print(f"  of that, reading what all of them report: {time.perf_counter() - begun:.2f} s")
        print("\n".join(fleet.command("fleet").stdout.splitlines()[:12]))
        with in_namespace(fleet.server.namespace):
            asyncio.run(_watches(fleet, store, gateways))
        _asked(fleet, store, gateways)
        print(f"  enforcer publish: {_timed(fleet, 'publish', '--key', str(fleet.secret))}")


def _report(store: Store, gateways: int) -> None:
    lease = store.client.grant(_LONG_LEASE_S)
    for number in range(gateways):
        refuses, lags = number % 100 == 17, number % 100 == 42
        report = Report(
            f"edge-{number:04}",
            "canary" if number % 20 == 0 else "stable",
            1 if refuses or lags else 2,
            2 if refuses else None,
            "windows.d/w.yaml:9:14: link wan is not declared; declare it" if refuses else None,
            ("ddos",),
            "0.1.0",
            {"site": f"site-{number % 40}"},
            "2026-12-01T08:00:00+00:00",
        )
        if number % 200 == 101:
            silent = store.client.grant(_LONG_LEASE_S)
            store.report(report, silent)
            store.client.revoke(silent)
        else:
            store.report(report, lease)


def _timed(fleet: Fleet, *words: str) -> str:
    taken, used = [], []
    for _ in range(_ROUNDS):
        before, begun = getrusage(RUSAGE_CHILDREN), time.perf_counter()
        done = fleet.command(*words)
        taken.append(time.perf_counter() - begun)
        after = getrusage(RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert not done.stderr, done.stderr
    seconds, cpu = statistics.median(taken), statistics.median(used)
    return f"{seconds:.2f} s, of it {cpu:.2f} s of a core; {len(done.stdout):,} bytes"


async def _watches(fleet: Fleet, store: Store, gateways: int) -> None:
    """So many gateways watch, as they do; then the head moves."""
    key = base64.b64encode(store.key("head", "stable").encode()).decode()
    body = json.dumps({"create_request": {"key": key}}).encode()
    head = f"POST /v3/watch HTTP/1.1\r\nHost: {HUB}\r\nContent-Length: {len(body)}\r\n\r\n"
    opened = []
    for _ in range(gateways):
        reader, writer = await asyncio.open_connection(HUB, PORT)
        writer.write(head.encode() + body)
        await reader.readuntil(b'"created":true')
        opened.append((reader, writer))
    print(f"  etcd with {gateways:,} watches: {_memory_mb(fleet):,} MB")
    taken = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        moved = asyncio.to_thread(store.set_head, "stable", 2)
        await asyncio.gather(moved, *(reader.readuntil(b'"events"') for reader, _ in opened))
        taken.append(time.perf_counter() - begun)
    print(f"  until each was told of a head: {statistics.median(taken):.2f} s")
    for _, writer in opened:
        writer.close()


def _asked(fleet: Fleet, store: Store, gateways: int) -> None:
    """What gateways ask between changes: each its head and its lease, every `LOOK_S`."""
    lease = store.client.grant(LEASE_S)
    before, begun = _cpu_s(fleet), time.monotonic()

    def turn(number: int) -> None:
        due = begun + number * LOOK_S / gateways
        time.sleep(max(0.0, due - time.monotonic()))
        store.head("stable")
        store.client.keep_alive(lease)

    with ThreadPoolExecutor(8) as pool:
        turns = int(gateways * _ASKING_S / LOOK_S)
        list(pool.map(turn, range(turns)))
    taken = time.monotonic() - begun
    share = (_cpu_s(fleet) - before) / taken
    print(f"  between changes: {2 * turns / taken:,.0f} requests a second, {share:.0%} of a core")


def _etcd(fleet: Fleet) -> int:
    assert fleet.server.process is not None
    return fleet.server.process.pid


def _memory_mb(fleet: Fleet) -> int:
    text = Path(f"/proc/{_etcd(fleet)}/status").read_text()
    (kilobytes,) = (line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))
    return int(kilobytes) // 1024


def _cpu_s(fleet: Fleet) -> float:
    fields = Path(f"/proc/{_etcd(fleet)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
