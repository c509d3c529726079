"""A changed row, and a window that opens or closes, with the registry loaded.

In: the extent. Out: figures in ms. A change is timed from two registries at hand, planned, to the
kernel's answer: read, compile, check the promises, diff, commit; and once more with its planning.
At a declared instant only the commit of what a packet can meet is left: the daemon does everything
else two seconds ahead. It is timed until the change acts; a closing also until nothing of the
window is left, which waits for the packets that are on their way. `unannounced` is all of it at
once, as for a window declared for now.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.case import BUDGET_BYTES, Case, compiled, now, prefix_lines, size_text
from benchmarks.figures import Figure
from benchmarks.ours import Ours
from benchmarks.packets import OURS
from benchmarks.peers import NFT_TABLE, SET, IpsetPeer, NftPeer
from benchmarks.plan import Extent
from benchmarks.processes import TooSlowError, peak
from benchmarks.wire import Bench
from enforcer.lab.registry import CATEGORIES
from enforcer.lookup.following import Following, first_plan
from enforcer.policy.registry import parse_registry

ONE_ROW, WINDOWS = "One row changed", "Opening and closing a window"
_LEAST, _LONGEST_S = 3, 6.0
_PAUSE_S = 0.05  # the kernel clears away what was closed before
STRANGER = b"192.88.99.77/32"  # lies in none of the generated prefixes of a small registry


def with_one_row_more(data: bytes) -> bytes:
    return data.rstrip(b"\n") + b"\nR-BENCH," + STRANGER + b",mission,,,\n"


def measure_rows(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    for count in extent.sizes:
        size = size_text(count)
        said(f"one row changed in {size}")
        case = Case.make(count)
        with Bench() as bench:
            ours = Ours(bench.gateway, case.tables)
            ours.shut()
            reading: list[float] = []
            begun = time.perf_counter()
            other = compiled(with_one_row_more(case.data), now().date())[1]
            reading.append(time.perf_counter() - begun)
            whole, commit = [], []
            for number in bounded(extent.repeats):
                ours.swap(other if number % 2 == 0 else case.tables)
                took = _once(ours, armed=False)
                whole.append(took.whole)
                commit.append(took.commit)
            yield Figure(ONE_ROW, f"in {size}", OURS, "ms", tuple(whole))
            yield Figure(ONE_ROW, f"in {size}: commit alone", OURS, "ms", tuple(commit))
            planning = tuple(_planned(case, ours, extent))
            yield Figure(ONE_ROW, what_planned(size), OURS, "ms", planning)
            yield Figure(ONE_ROW, f"in {size}: parse and plan before", OURS, "s", tuple(reading))
            ours.close()
            bench.in_gateway("nft", "delete", "table", "inet", "enforcer")
            said(f"one row changed in {size}, by the peers' commands")
            yield from _peers_row(case, bench, extent)


def what_planned(size: str) -> str:
    """From a parsed registry, the one before having been planned."""
    return f"in {size}, planned as well"


def _planned(case: Case, ours: Ours, extent: Extent) -> Iterator[float]:
    """Milliseconds from a parsed registry to the kernel, one row more and one row less in turn."""
    day = now().date()
    more = parse_registry("registry.csv", with_one_row_more(case.data), CATEGORIES)
    registries = more, case.tree.registry
    ours.swap(case.tables)
    ours.shut()
    plan = first_plan(case.tree.registry, day, BUDGET_BYTES)
    for number in bounded(extent.repeats):
        begun = time.perf_counter()
        plan = Following(plan, registries[number % 2], day).plan(BUDGET_BYTES)
        ours.swap(plan.tables)
        change = ours.change(armed=False)
        if change is None:
            raise RuntimeError("there was nothing to change")
        ours.kernel.commit(change, time.time_ns())
        yield (time.perf_counter() - begun) * 1000
        ours.put(armed=False)


def _peers_row(case: Case, bench: Bench, extent: Extent) -> Iterator[Figure]:
    prefixes, inside = prefix_lines(case), ("ip", "netns", "exec", bench.gateway)
    member, what = STRANGER.decode(), f"in {size_text(case.count)}"
    ipset, nft = IpsetPeer(bench), NftPeer(bench)
    ipset.load(prefixes)
    times = []
    for _ in range(extent.repeats):
        added = peak((*inside, "ipset", "add", f"{SET}4", member), within_s=10)
        times.append(added.seconds * 1000)
        peak((*inside, "ipset", "del", f"{SET}4", member), within_s=10)
    yield Figure(ONE_ROW, what, "ipset add", "ms", tuple(times))
    ipset.unload()
    nft.load(prefixes)
    add = (*inside, "nft", "add", "element", "inet", NFT_TABLE, f"{SET}4", f"{{ {member} }}")
    try:
        seconds = peak(add, within_s=extent.slow_command_s).seconds
    except TooSlowError:
        return
    yield Figure(ONE_ROW, what, "nft add element", "ms", (seconds * 1000,))


def measure_windows(extent: Extent, said: Callable[[str], None]) -> Iterator[Figure]:
    for count in extent.sizes:
        size = size_text(count)
        said(f"opening and closing, {size}")
        case = Case.make(count)
        with Bench() as bench:
            ours = Ours(bench.gateway, case.tables)
            ours.shut()
            for what, armed in (("opening", True), ("closing", False)):
                whole, acted, commit = [], [], []
                for _ in bounded(extent.repeats):
                    ours.put(armed=not armed)
                    time.sleep(_PAUSE_S)
                    whole.append(_once(ours, armed=armed).whole)
                    ours.put(armed=not armed)
                    if armed:
                        ours.ahead()
                    time.sleep(_PAUSE_S)
                    took = _once(ours, armed=armed)
                    acted.append(took.acted)
                    commit.append(took.commit)
                yield Figure(WINDOWS, what_window(what, size), OURS, "ms", tuple(acted))
                if not armed:
                    yield Figure(WINDOWS, what_cleared(size), OURS, "ms", tuple(commit))
                yield Figure(WINDOWS, f"{what}, {size}, unannounced", OURS, "ms", tuple(whole))
            ours.close()


def what_window(verb: str, size: str) -> str:
    """At the declared instant, all that can be done before having been done."""
    return f"{verb} at its instant, {size}"


def what_cleared(size: str) -> str:
    """The same, until nothing of it is left: this waits for the packets on their way (0045)."""
    return f"closing, {size}, until nothing of it is left"


def bounded(repeats: int) -> Iterator[int]:
    """Up to `repeats` rounds, three at least, none begun after some seconds."""
    begun = time.monotonic()
    for number in range(repeats):
        if number >= _LEAST and time.monotonic() - begun > _LONGEST_S:
            return
        yield number


class _Took(NamedTuple):
    """Milliseconds: from the read on; of the commit; of the commit until the change acts."""

    whole: float
    commit: float
    acted: float


def _once(ours: Ours, *, armed: bool) -> _Took:
    begun = time.perf_counter()
    change = ours.change(armed=armed)
    planned = time.perf_counter()
    if change is None:
        raise RuntimeError("there was nothing to change")
    ours.kernel.commit(change, time.time_ns())
    done, acted = time.perf_counter(), ours.kernel.acted_at
    ours.put(armed=armed)
    return _Took((done - begun) * 1000, (done - planned) * 1000, (acted - planned) * 1000)
