"""What a forwarded or dropped packet costs, cell by cell, with everybody in one run.

In: the extent. Out: figures in ns and as ratios to the path without rules. Before anything is
timed, each configuration sees every source once: all packets must be forwarded or dropped as meant,
ours must count in each category what the radix tree says, the peers what the prefixes say. The cost
of wrong rules is worth nothing, so a difference raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.beside import Beside, alternate
from benchmarks.case import Case, prefix_lines, size_text
from benchmarks.figures import RATIO, Figure
from benchmarks.floors import BareDrop, BareLookup
from benchmarks.foomuuri import TRACKED, FoomuuriPeer
from benchmarks.ours import ESTATE_HOST, MeasureName, Ours
from benchmarks.peers import IpsetPeer, NftPeer, Peer
from benchmarks.plan import Extent
from benchmarks.sources import Addresses, draw
from benchmarks.wire import SINK_NET, Bench, Frames, open_sender
from enforcer.kernel.samples import SampleListener
from enforcer.policy.model import Observe
from enforcer.ruleset.sampling import Sampling

NONE, OURS, SAMPLED = "no rules", "enforcer", "enforcer, sampling"
MARK, GUARD = "Cost of a packet, mark", "Cost of a packet, guard"
_SEED = 7
# Its cost has nothing to do with the size of the registry.
_SAMPLED_AT = 20_000


@dataclass(frozen=True, slots=True)
class Cell:
    """`share` of the sources are registered. Without `to_estate` packets are transit traffic."""

    measure: MeasureName
    count: int
    clustered: bool = False
    zipf: bool = False
    share: float = 0.5
    to_estate: bool = False

    @property
    def what(self) -> str:
        where = " clustered" if self.clustered else ""
        sources = "Zipf" if self.zipf else "uniform"
        if self.share != 0.5:
            sources = f"{1 - self.share:.0%} of sources unregistered"
        text = f"{self.measure}, {size_text(self.count)}{where}, {sources}"
        if self.measure == "guard":
            text += ", to the estate" if self.to_estate else ", transit"
        return text


CELLS = (
    Cell("mark", 20_000),
    Cell("mark", 20_000, zipf=True),
    Cell("guard", 20_000),
    Cell("mark", 20_000, clustered=True, zipf=True),
    Cell("mark", 20_000, clustered=True, share=0.02),
    Cell("guard", 20_000, clustered=True, share=0.0, to_estate=True),
    Cell("guard", 20_000, clustered=True, to_estate=True),
    Cell("mark", 200_000),
    Cell("mark", 200_000, zipf=True),
    Cell("mark", 1_000_000),
    Cell("mark", 1_000_000, zipf=True),
    Cell("guard", 1_000_000),
    Cell("guard", 1_000_000, share=0.0, to_estate=True),
)


class WrongRulesError(Exception):
    """A configuration counted or forwarded something else than it should."""


def measure(
    extent: Extent, measures: tuple[MeasureName, ...], said: Callable[[str], None]
) -> Iterator[Figure]:
    """The figures of all cells of these measures, registry by registry."""
    cells = [c for c in CELLS if c.count in extent.sizes and c.measure in measures]
    for count, clustered in dict.fromkeys((c.count, c.clustered) for c in cells):
        case = Case.make(count, clustered=clustered)
        with Bench() as bench:
            said(f"{case.name}: loading everybody's sets")
            stand = Stand(bench, case, extent)
            try:
                for cell in cells:
                    if (cell.count, cell.clustered) == (count, clustered):
                        said(cell.what)
                        yield from stand.figures(cell)
            finally:
                stand.close()


class Stand:
    """One bench with everybody's sets loaded; at most one configuration is in force at a time."""

    def __init__(self, bench: Bench, case: Case, extent: Extent) -> None:
        self._bench, self._case, self._extent = bench, case, extent
        self._sock = open_sender(bench)
        self._back = open_sender(bench, at_sink=True)
        self._ours: dict[MeasureName, Ours] = {
            "mark": Ours(bench.gateway, case.tables, ("mark",)),
            "guard": Ours(bench.gateway, case.tables, ("guard",)),
        }
        self._ours["mark"].shut()
        self._take_out: Callable[[], None] | None = None
        self._listener = SampleListener(bench.gateway)
        self._foomuuri = FoomuuriPeer(bench)
        self._peers: list[Peer] = [NftPeer(bench), IpsetPeer(bench), self._foomuuri]
        self._drop, self._lookup = BareDrop(bench), BareLookup(bench, case.tables)
        prefixes = prefix_lines(case)
        for peer in self._peers:
            peer.load(prefixes)

    def close(self) -> None:
        self._listener.close()

    def _none(self) -> None:
        take_out, self._take_out = self._take_out, None
        if take_out is not None:
            take_out()

    def _put_ours(self, measure: MeasureName, *, sampled: bool = False) -> Callable[[], None]:
        """`sampled` as the daemon does it when it is told nothing else, somebody listening."""

        def put() -> None:
            self._none()
            self._listener.drain()
            self._ours[measure].sampling = Sampling(Observe().sample if sampled else 0)
            self._ours[measure].open()
            self._take_out = self._ours[measure].shut

        return put

    def _put_peer(self, peer: Peer, measure: MeasureName) -> Callable[[], None]:
        def put() -> None:
            self._none()
            peer.on(measure)
            self._take_out = peer.off

        return put

    def _put_floor(self) -> None:
        self._none()
        self._lookup.without_counter()
        self._take_out = self._lookup.off

    def figures(self, cell: Cell) -> list[Figure]:
        case, extent = self._case, self._extent
        sources = draw(
            np.random.default_rng(_SEED), case.prefixes, extent.sources,
            share=cell.share, zipf=cell.zipf,
        )  # fmt: skip
        to = ESTATE_HOST if cell.to_estate else f"{SINK_NET}.2"
        frames = self._bench.frames(sources, to)
        self._foomuuri.forget()
        self._none()
        if not cell.to_estate:
            self._make_known(frames, cell.measure)
        self._check_ours(cell, sources, frames)
        peers = [p for p in self._peers if p is not self._foomuuri or _all_tracked(sources)]
        if cell.to_estate and not cell.share:
            peers.append(self._drop)
        if cell.measure == "mark":
            peers.append(self._lookup)
        for peer in peers:
            self._check_peer(peer, cell, sources, frames)
        puts = [(OURS, self._put_ours(cell.measure))]
        if cell.count == _SAMPLED_AT:
            puts.append((SAMPLED, self._put_ours(cell.measure, sampled=True)))
        puts += [
            (p.name, self._put_floor if p is self._lookup else self._put_peer(p, cell.measure))
            for p in peers
        ]
        costs = alternate(
            self._sock, frames, self._none, puts, rounds=extent.rounds, packets=extent.packets,
            within_s=extent.cell_s,
        )  # fmt: skip
        return _compared(MARK if cell.measure == "mark" else GUARD, cell.what, costs)

    def _make_known(self, frames: Frames, measure: MeasureName) -> None:
        """One packet and one reply of each flow, while Foomuuri tracks them."""
        self._put_peer(self._foomuuri, measure)()
        frames.send(self._sock, 0, len(frames))
        back = self._bench.replies(frames)
        back.send(self._back, 0, len(back))
        self._none()

    def _passed(self, frames: Frames) -> int:
        """How many of the frames, each sent once, are forwarded."""
        before = self._bench.forwarded()
        frames.send(self._sock, 0, len(frames))
        return self._bench.forwarded() - before

    def _check_ours(self, cell: Cell, sources: Addresses, frames: Frames) -> None:
        ours = self._ours[cell.measure]
        self._put_ours(cell.measure)()
        before = ours.counted()
        passed = self._passed(frames)
        after = ours.counted()
        counted = {verdict: +(after[verdict] - before.get(verdict, Counter())) for verdict in after}
        counted = {verdict: found for verdict, found in counted.items() if found}
        registered = self._case.expected(sources)
        held = len(sources) - registered.total()
        expected: dict[str, Counter[str]] = {}
        if cell.measure == "mark" and registered:
            expected = {"marked": registered}
        elif cell.to_estate:
            expected = {"held_back": Counter(unregistered=held)}
            if registered:
                expected["let_in"] = registered
        if counted != expected:
            raise WrongRulesError(f"{cell.what}: ours counted {counted}, the tree says {expected}")
        _same(f"{cell.what}: {OURS} forwarded", passed, len(sources) - held * cell.to_estate)

    def _check_peer(self, peer: Peer, cell: Cell, sources: Addresses, frames: Frames) -> None:
        registered = int(self._case.prefixes.holds(sources).sum())
        self._put_peer(peer, cell.measure)()
        before = peer.counted()
        passed = self._passed(frames)
        counted = peer.counted() - before
        held = (len(sources) - registered) * cell.to_estate
        _same(f"{cell.what}: {peer.name} forwarded", passed, len(sources) - held)
        expected = registered if cell.measure == "mark" else held
        _same(f"{cell.what}: {peer.name} counted", counted, expected)


def _compared(group: str, what: str, costs: dict[str, list[Beside]]) -> list[Figure]:
    """A figure for each in ns, that without rules from beside them all; then the ratios."""
    none = tuple(value.before for values in costs.values() for value in values)
    made = [Figure(group, what, NONE, "ns", none)]
    made += [Figure(group, what, who, "ns", tuple(v.cost for v in vs)) for who, vs in costs.items()]
    made += [
        Figure(group, what, who, RATIO, tuple(v.ratio for v in vs)) for who, vs in costs.items()
    ]
    return made


def _same(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise WrongRulesError(f"{what} {found:,} packets instead of {expected:,}")


def _all_tracked(sources: Addresses) -> bool:
    """Whether the connection tracking table holds a flow from each source."""
    return len(np.unique(sources)) <= int(TRACKED.read_text())
