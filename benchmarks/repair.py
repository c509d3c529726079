"""How soon the daemon puts right what another program flushed while a window is armed.

In: the extent. Out: milliseconds from the other program's commit until chains, rules, maps and
armings are in force again, one value a flush. Until then guard holds back registered traffic where
a map was emptied, and nobody at all where rules are gone. Flushes come so far apart that the daemon
does not take them for a loop.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path

from benchmarks.case import Case, size_text
from benchmarks.figures import Figure
from benchmarks.gateway import Gateway, Span, write_files
from benchmarks.packets import OURS
from benchmarks.plan import Extent
from benchmarks.wire import Bench
from enforcer.contest import BURST, WITHIN_S
from enforcer.errors import KernelError
from enforcer.kernel.elements import pairs, sample
from enforcer.kernel.nft import NftKernel
from enforcer.ruleset.transaction import KernelState
from enforcer.ruleset.vocabulary import LEDGER_CHAIN, TABLE, RegisteredMap
from soak.in_force import in_force

REPAIR = "Repair"
KINDS = ("ruleset", "table", "map", "chain")
APART_S = WITHIN_S / (BURST - 1) + 0.2
_POLL_S = 0.0005
_PATIENCE_S = 60.0
# A large front filter is loaded once the rules are in force.
_SETTLING_S = 5.0


def what_repair(size: str) -> str:
    return f"foreign flush put right, {size}"


def measure(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    for count in dict.fromkeys((extent.sizes[0], extent.sizes[-1])):
        flushes = extent.flushes if count <= 200_000 else max(len(KINDS), extent.flushes // 5)
        size = size_text(count)
        said(f"{flushes} foreign flushes put right, {size}")
        times = _measure(Case.make(count), flushes)
        every = tuple(ms for kind in times.values() for ms in kind)
        late = percentile(every, 0.99)
        said(f"{size}: p50 {percentile(every, 0.5):.1f} ms, p99 {late:.1f} ms of {len(every)}")
        note = f"p99 {late:.1f} ms of {len(every)}"
        yield Figure(REPAIR, what_repair(size), OURS, "ms", every, note=note)
        for kind, values in times.items():
            yield Figure(REPAIR, f"the {kind} only, {size}", OURS, "ms", tuple(values))


def percentile(values: tuple[float, ...], share: float) -> float:
    """The least value that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def _measure(case: Case, flushes: int) -> dict[str, list[float]]:
    """Milliseconds, by kind."""
    begun = time.time_ns() // 10**9 - 60
    times: dict[str, list[float]] = {}
    maps = [RegisteredMap(stage) for stage in case.tables.stages]
    with tempfile.TemporaryDirectory(prefix="bench-") as name, Bench() as bench:
        directory = Path(name)
        write_files(directory, case.data, (Span(begun, begun + 6 * 3600),))
        with Gateway(bench, directory) as gateway:
            gateway.start(armed=True)
            time.sleep(_SETTLING_S)
            kernel = NftKernel(bench.gateway)
            try:
                for number in range(flushes):
                    # Lets the kernel clear away what was flushed before, as well.
                    time.sleep(APART_S)
                    kind = KINDS[number % len(KINDS)]
                    took_ms = _repair_ms(bench, kernel, maps, kind, number)
                    times.setdefault(kind, []).append(took_ms)
            finally:
                kernel.close()
    return times


def _repair_ms(
    bench: Bench, kernel: NftKernel, maps: Sequence[RegisteredMap], kind: str, number: int
) -> float:
    """From the commit of `nft flush`, as the generation tells it, until all is in force again."""
    before = kernel.read()
    nft = ("ip", "netns", "exec", bench.gateway, "nft", "flush", *_what(kind, before, number))
    with subprocess.Popen(nft) as process:
        last, flushed = before.generation, 0.0
        while True:
            moved = _wait_until_not(last, kernel)
            flushed = flushed or moved
            try:
                now = kernel.read()
                last = now.generation
                if in_force(now, before) and _whole(kernel, maps):
                    break
            except KernelError:
                continue  # it changes as we look
    if process.returncode:
        raise RuntimeError(f"{' '.join(nft)}: exit {process.returncode}")
    return (moved - flushed) * 1000


def _wait_until_not(generation: int, kernel: NftKernel) -> float:
    """Asking for the generation is cheap: the daemon may share this core."""
    deadline = time.perf_counter() + _PATIENCE_S
    while kernel.generation() == generation:
        if time.perf_counter() > deadline:
            raise RuntimeError("the daemon did not put right what was flushed")
        time.sleep(_POLL_S)
    return time.perf_counter()


def _whole(kernel: NftKernel, maps: Sequence[RegisteredMap]) -> bool:
    """Not every kernel tells how many elements there are: a few of each map are looked up."""
    expected = {each.name: dict(pairs(sample(each))) for each in maps}
    return all(kernel.elements(name, list(few)) == few for name, few in expected.items())


def _what(kind: str, state: KernelState, number: int) -> tuple[str, ...]:
    if kind == "ruleset":
        return ("ruleset",)
    if kind == "table":
        return ("table", "inet", TABLE)
    names = sorted(n for n, held in state.sets.items() if held.kind == "registered")
    if kind == "chain":
        names = [*sorted(state.chains), LEDGER_CHAIN]
    return kind, "inet", TABLE, names[number // len(KINDS) % len(names)]
