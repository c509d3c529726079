"""From a file to the kernel: seconds, memory of the program, memory of the kernel, side by side.

In: the extent. Out: figures. Ours reads the CSV form and expands it; the peers get the same
distinct prefixes as a ready script, so nothing of a conversion is on their account. Sets are empty
before each load, and the loads alternate. Everybody has all cores.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import cores
from benchmarks.case import Case, prefix_lines, size_text
from benchmarks.figures import Figure, side_by_side
from benchmarks.ours import Ours
from benchmarks.packets import OURS
from benchmarks.peers import IpsetPeer, NftPeer, Peer, ipset_script, nft_script
from benchmarks.plan import Extent
from benchmarks.processes import MEGABYTE, kernel_growth, peak, timed
from benchmarks.wire import Bench
from enforcer.lookup.tables import Tables
from enforcer.policy.prefix import FAMILIES

LOADING, MEMORY = "Loading a registry", "Memory"
NFT, IPSET = "nft -f", "ipset restore"
_ROOT = Path(__file__).parent.parent
_WITHIN_S = 90.0


def what_load(count: int) -> str:
    return f"CSV to kernel, {size_text(count)} rows"


def measure(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    for count in extent.sizes:
        said(what_load(count))
        case = Case.make(count)
        with tempfile.TemporaryDirectory(prefix="bench-") as directory, Bench() as bench:
            with cores.all_of_them():
                figures = [*_loads(case, Path(directory), bench, extent)]
            yield from figures
            yield from _element_bytes(case, bench)


def _loads(case: Case, directory: Path, bench: Bench, extent: Extent) -> Iterator[Figure]:
    prefixes = prefix_lines(case)
    csv, nft, ipset = (directory / name for name in ("registry.csv", "sets.nft", "sets.ipset"))
    csv.write_bytes(case.data)
    nft.write_text(nft_script(prefixes))
    ipset.write_text(ipset_script(prefixes))
    inside = ("ip", "netns", "exec", bench.gateway)
    peers: dict[str, Peer] = {NFT: NftPeer(bench), IPSET: IpsetPeer(bench)}
    commands = {NFT: (*inside, "nft", "-f", str(nft)),
                IPSET: (*inside, "ipset", "restore", "-file", str(ipset))}  # fmt: skip
    seconds: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    kernel: dict[str, list[float]] = defaultdict(list)
    phases: dict[str, list[float]] = defaultdict(list)
    for _ in range(extent.loads):
        answer: dict[str, float] = {}

        def ours(answer: dict[str, float] = answer) -> None:
            answer.update(_ours_once(bench.gateway, csv))

        kernel[OURS].append(kernel_growth(ours) / MEGABYTE)
        seconds[OURS].append(answer["total_s"])
        memory[OURS].append(answer["peak"] / MEGABYTE)
        for phase in ("parse", "plan", "commit"):
            phases[phase].append(answer[f"{phase}_s"])
        bench.in_gateway("nft", "delete", "table", "inet", "enforcer")
        for who, command in commands.items():

            def load(who: str = who, command: tuple[str, ...] = command) -> None:
                ended = peak(command, within_s=_WITHIN_S)
                seconds[who].append(ended.seconds)
                memory[who].append(ended.peak_bytes / MEGABYTE)

            kernel[who].append(kernel_growth(load) / MEGABYTE)
            peers[who].unload()
    what = what_load(case.count)
    yield from side_by_side(LOADING, what, "s", {NFT: seconds.pop(NFT), **seconds}, NFT)
    for phase, values in phases.items():
        yield Figure(LOADING, f"{what}: {phase}", OURS, "s", tuple(values))
    for who in (OURS, NFT, IPSET):
        size = size_text(case.count)
        yield Figure(MEMORY, f"loading program, peak, {size}", who, "MB", tuple(memory[who]))
        yield Figure(MEMORY, f"kernel, {size} loaded", who, "MB", tuple(kernel[who]))


def _ours_once(namespace: str, csv: Path) -> dict[str, float]:
    command = (sys.executable, "-m", "benchmarks.load_once", namespace, str(csv))
    answer: dict[str, float] = json.loads(timed(command, within_s=_WITHIN_S, cwd=_ROOT).output)
    return answer


def _element_bytes(case: Case, bench: Bench) -> Iterator[Figure]:
    """Kernel memory of one element with its share of the buckets, to hold against the planner's."""
    for family in FAMILIES:
        stages = case.tables.of_family(family)
        ours = Ours(bench.gateway, Tables(stages, case.tables.classes), ("mark",))
        grown = kernel_growth(ours.shut)
        ours.close()
        bench.in_gateway("nft", "delete", "table", "inet", "enforcer")
        elements = sum(map(len, stages))
        yield Figure(
            MEMORY, f"kernel, one IPv{family} element, {size_text(case.count)}", OURS, "bytes",
            (grown / elements,), note=f"{elements:,} elements in {len(stages)} stages",
        )  # fmt: skip
