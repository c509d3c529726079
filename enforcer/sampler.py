"""The continuous self-check: sampled packets, judged again by the radix tree, beside the loop.

In: what the kernel tells of packets, and from the loop what should be in force (`settled`). Out:
counts by window, measure, verdict, category and service; differences, in the log and as a metric.
No address leaves it. A packet that passed while something changed is a difference only when it
agrees neither with what was before nor with what came after.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from enforcer import log
from enforcer.errors import KernelError
from enforcer.grounds import Ground, History, Span
from enforcer.kernel.samples import Heard, Sampled, SampleListener
from enforcer.lookup.tree import RadixTree
from enforcer.policy.model import Policy
from enforcer.ruleset.judging import Registered
from enforcer.ruleset.measures import SampleName, parse_sample
from enforcer.ruleset.moments import service_names
from enforcer.ruleset.packets import Packets
from enforcer.ruleset.sampled import Compared, Truth, as_sampled, compare
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling
from enforcer.sources.capture import PADDING, Records
from enforcer.sources.frames import Skipped, decode

# The kernel gathers samples for up to a second; oftener there is nothing to fetch.
FETCH_EVERY_S = 0.5
_PAUSE_S, _ENDS_S = 0.2, 2.0
# Once asked in vain, the listener is asked for again so much later.
RETRY_S = 60.0
# A packet passed at most so long before it was fetched.
GATHERED_S = 3.0
# What waits to be judged, and what is counted apart: more is thrown away and told of as lost, or
# counted under `other`.
_MOST_WAITING, _MOST_ROWS = 20_000, 4096
_OTHER = "other"
_RAW_IP = 101
_LONGEST_PACKET = 65_575

Row = tuple[SampleName, str]


@dataclass(slots=True)
class Counts:
    """`lost`: times that the kernel, or we, threw samples away. `judged`: those compared."""

    seen: int = 0
    lost: int = 0
    judged: int = 0
    mismatches: int = 0
    rows: dict[Row, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Fetched at `until_s`; its packets passed between `since_s` and then."""

    since_s: float
    until_s: float
    samples: tuple[Sampled, ...]


class Sampler:
    """`listen` makes the listener, when there is somebody to listen to."""

    def __init__(self, listen: Callable[[], SampleListener] = SampleListener) -> None:
        self._listen = listen
        self._told: Callable[[int, int, int], None] = lambda seen, lost, mismatches: None
        self._lock = threading.Lock()
        self._listener: SampleListener | None = None
        self._thread: threading.Thread | None = None
        self._again_at = 0.0
        self._rate = 0
        self.problem: str | None = None
        self._history = History()
        self._counts = Counts()
        self._waiting: list[_Batch] = []
        self._fetched_at = time.monotonic()
        self._trees: dict[int, tuple[Ground, Registered]] = {}
        self._truths: list[tuple[Span, Truth]] = []

    # --- the loop's side -----------------------------------------------------------------------

    def tells(self, told: Callable[[int, int, int], None]) -> None:
        """`told(seen, lost, mismatches)` is called with what is new, from another thread."""
        self._told = told

    def sampling(self, policy: Policy) -> Sampling:
        """How many packets the rules may tell of now: none while nobody can listen."""
        self._rate = policy.observe.sample
        if not self._rate:
            self.problem = None
            return NO_SAMPLES
        if self._listener is None and time.monotonic() >= self._again_at:
            self._open()
        return Sampling(self._rate if self._listener is not None else 0)

    def _open(self) -> None:
        try:
            listener = self._listen()
            try:
                thread = threading.Thread(
                    target=self._run, args=(listener,), name="sampler", daemon=True
                )
                thread.start()
            except BaseException:
                listener.close()
                raise
            self._listener, self._thread = listener, thread
            self.problem = None
        except (KernelError, RuntimeError) as error:
            # RuntimeError: no more threads.
            self._give_up(str(error))

    def refused(self, error: KernelError) -> None:
        """The kernel does not take the rules that sample; windows open without them."""
        self._give_up(str(error))

    def _give_up(self, why: str) -> None:
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        self._again_at = time.monotonic() + RETRY_S
        if why != self.problem:
            log.warning("sampling_off", reason=why, done="windows act without samples")
        self.problem = why

    def changing(self) -> None:
        """The loop begins to change the kernel."""
        self._history.changing(time.monotonic())

    def settled(self, ground: Ground | None) -> None:
        """What is in force since `changing`; None: nobody knows."""
        self._history.settled(ground, time.monotonic())

    def counts(self) -> dict[str, Any]:
        """Since the start: how many were seen and judged; `problem`: why there are none."""
        with self._lock:
            c = self._counts
            return {
                "rate": self._rate,
                "problem": self.problem,
                "seen": c.seen,
                "lost": c.lost,
                "judged": c.judged,
                "mismatches": c.mismatches,
            }

    def rows(self) -> list[dict[str, Any]]:
        """Since the start, by what was done to which service: no address, no registrant."""
        with self._lock:
            every = [(row, list(sums)) for row, sums in self._counts.rows.items()]
        return [
            {
                "window": name.window,
                "measure": name.measure,
                "verdict": name.verdict,
                "category": name.category,
                "service": service,
                "packets": packets,
                "bytes": octets,
            }
            for (name, service), (packets, octets) in sorted(every)
        ]

    def close(self) -> None:
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        if self._thread is not None:
            self._thread.join(_ENDS_S)

    # --- the thread's side ---------------------------------------------------------------------

    def _run(self, listener: SampleListener) -> None:
        with closing(listener):
            # Nothing waits and nothing comes: it sleeps.
            while listener.wait(FETCH_EVERY_S if self._waiting or self._trees else None):
                # A pause, so that many samples are judged at once.
                time.sleep(_PAUSE_S)
                try:
                    self.turn(listener.drain())
                except (OSError, ValueError, MemoryError) as error:
                    self._lose(1)
                    log.warning("samples_lost", error=str(error) or type(error).__name__)

    def turn(self, heard: Heard) -> None:
        """Takes in what was heard, and judges what can be judged by now."""
        now = time.monotonic()
        if heard.lost:
            self._lose(heard.lost)
        if heard.samples:
            waiting = sum(len(batch.samples) for batch in self._waiting)
            if waiting + len(heard.samples) > _MOST_WAITING:
                self._lose(1)
            else:
                since = min(now, self._fetched_at) - GATHERED_S
                self._waiting.append(_Batch(since, now, heard.samples))
        self._fetched_at = now
        if not self._history.changing_before(now):
            due, self._waiting = self._waiting, []
            for batch in due:
                self._judge(batch)
        if self._history.at_rest and not self._waiting:
            # A registry of a million rows takes 100 MB as a tree: none is kept between windows.
            self._trees.clear()
            self._truths.clear()

    def _lose(self, times: int) -> None:
        with self._lock:
            self._counts.lost += times
        self._told(0, times, 0)

    def _judge(self, batch: _Batch) -> None:
        spans = self._history.between(batch.since_s, batch.until_s)
        truths = [self._truth(span, span.ground) for span in spans if span.ground is not None]
        # Where nobody knows what was in force, nothing is compared.
        certain = bool(truths) and len(truths) == len(spans)
        grouped: dict[SampleName, list[bytes]] = defaultdict(list)
        strange = 0
        for sample in batch.samples:
            name = parse_sample(sample.label)
            if name is None:
                strange += 1
            else:
                grouped[name].append(sample.header)
        if strange:
            # Somebody else's rule, that logs to our group.
            self._lose(strange)
        for name, headers in grouped.items():
            packets = as_sampled(packets_of(headers))
            if not truths:
                self._account(name, len(headers), Compared({}, 0, ()))
                continue
            found = compare(name, packets, truths, judged=certain)
            self._account(name, len(headers), found)

    def _truth(self, span: Span, ground: Ground) -> Truth:
        for known, truth in self._truths:
            if known is span:
                return truth
        truth = Truth(
            ground.policy,
            ground.armed,
            self._registered(ground),
            service_names(ground.policy, ground.registry),
            ground.tables,
        )
        self._truths = [*self._truths[-1:], (span, truth)]
        return truth

    def _registered(self, ground: Ground) -> Registered:
        for known, registered in self._trees.values():
            if known.registry is ground.registry and known.day == ground.day:
                return registered
        tree = RadixTree.build(ground.registry, ground.day)
        registered = Registered(tree, ground.policy.categories)
        while len(self._trees) > 1:
            self._trees.pop(next(iter(self._trees)))
        self._trees[id(ground)] = ground, registered
        return registered

    def _account(self, name: SampleName, seen: int, found: Compared) -> None:
        mismatches = sum(difference.packets for difference in found.differences)
        with self._lock:
            c = self._counts
            c.seen += seen
            c.judged += found.judged
            c.mismatches += mismatches
            for service, (packets, octets) in found.services.items():
                key = name, service if (name, service) in c.rows or self._room() else _OTHER
                row = c.rows.setdefault(key, [0, 0])
                row[0] += packets
                row[1] += octets
        self._told(seen, 0, mismatches)
        for difference in found.differences:
            verdict, category = difference.wanted
            log.error(
                "kernel_mismatch",
                window=name.window,
                measure=name.measure,
                kernel=f"{name.verdict} {name.category}",
                registry=f"{verdict} {category}",
                map=difference.stage,
                packets=difference.packets,
            )

    def _room(self) -> bool:
        return len(self._counts.rows) < _MOST_ROWS


def packets_of(headers: Iterable[bytes]) -> Packets:
    """The IP headers among them as columns."""
    listed = list(headers)
    sizes = np.array([len(header) for header in listed], np.int64)
    at = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    count = len(listed)
    records = Records(
        np.frombuffer(b"".join(listed) + bytes(PADDING), np.uint8),
        at,
        sizes,
        np.full(count, _LONGEST_PACKET, np.int64),
        np.zeros(count, np.int64),
        np.zeros(count, np.uint8),
        _RAW_IP,
    )
    return decode(records, frozenset(), Skipped())
