"""How late a window opens and closes: the declared instant against the kernel's.

The real daemon, in namespaces of its own, with a generated registry; the ruleset's generation is
watched, and the wall clock is read when it moves. Run as root: python -m benchmarks.edges
[PREFIXES] [WINDOWS]. It touches no other network and no clock.
"""

from __future__ import annotations

import ipaddress
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from enforcer.kernel.nft import NftKernel
from tests.kernel.edge_worlds import Gateway, sleep_until, wall

WINDOW_S, PAUSE_S = 3, 4


def registry(count: int) -> str:
    """Half hosts, half /28, at random in 10.0.0.0/8 and 172.16.0.0/12: the shape of a registry of
    single end points and small offices.
    """
    draw = random.Random(7)
    rows = ["id,prefix,category,valid_from,valid_until,services"]
    base = int(ipaddress.IPv4Address("10.0.0.0"))
    for n, at in enumerate(draw.sample(range(2**20), min(count, 2**20))):
        length = 32 if n % 2 else 28
        rows.append(f"R-{n},{ipaddress.IPv4Address(base + at * 16)}/{length},freelancer,,,")
    return "\n".join(rows) + "\n"


def edges(gateway: Gateway, windows: int) -> list[tuple[str, float]]:
    """(edge, milliseconds after its declared instant)."""
    first = gateway.soon(4)
    period = WINDOW_S + PAUSE_S
    spans = [(first + n * period, first + n * period + WINDOW_S) for n in range(windows)]
    gateway.declare(*spans)
    kernel = NftKernel(gateway.names["gw"])
    found = []
    try:
        for opens, closes in spans:
            for name, instant in (("opens", opens), ("closes", closes)):
                sleep_until(instant - 0.2)
                before = kernel.generation()
                while kernel.generation() == before and wall() < instant + 2:
                    time.sleep(0.0001)
                found.append((name, (wall() - instant) * 1000))
    finally:
        kernel.close()
    return found


def main(prefixes: int, windows: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        gateway = Gateway(Path(directory) / "gateway")
        try:
            gateway.build()
            (gateway.directory / "etc/registry.csv").write_text(registry(prefixes))
            gateway.start()
            found = edges(gateway, windows)
        finally:
            gateway.destroy()
    for name in ("opens", "closes"):
        late = [ms for edge, ms in found if edge == name]
        print(
            f"{prefixes:,} prefixes, {name}: median {statistics.median(late):.1f} ms, "
            f"at most {max(late):.1f} ms after its instant ({len(late)} times)"
        )


if __name__ == "__main__":
    main(*(int(a) for a in [*sys.argv[1:], *["1000000", "5"][len(sys.argv) - 1 :]]))
