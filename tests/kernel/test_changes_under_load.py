"""Registered packets as fast as a core sends them, while what judges them changes: none is lost.

A change is one instant for the rules, and many for the packets that are on their way through them.
What is deleted in the transaction that takes out the rules is missing to those who still follow
them (docs/decisions/0045). Sent by a process of its own, through a bench of the benchmarks, all in
namespaces that are taken away again.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from benchmarks.case import BUDGET_BYTES, now
from benchmarks.ours import ESTATE_HOST, Ours
from benchmarks.sources import Addresses
from benchmarks.wire import Bench, open_sender
from enforcer.lab.registry import CATEGORIES
from enforcer.lookup.planner import plan
from enforcer.lookup.tables import Tables
from enforcer.lookup.tree import RadixTree
from enforcer.policy.registry import read_again
from enforcer.ruleset.diff import teardown
from enforcer.sources.side_by_side import side_by_side
from tests.kernel.slowness import patient

pytestmark = [pytest.mark.kernel, pytest.mark.alone]
HEADER = "id,prefix,category,valid_from,valid_until,services\n"
REGISTERED = "".join(f"R-{i},20.{i}.7.0/24,mission,,,\n" for i in range(200))
SOURCES = np.array(
    [20 << 24 | i % 200 << 16 | 7 << 8 | 1 + i * 7 % 250 for i in range(20_000)], np.uint32
)
ROUNDS, MOST = 40, 50_000_000


def tables(more: str = "", less: str = "") -> Tables:
    text = (HEADER + REGISTERED.replace(less, "") + more).encode()
    registry = read_again("registry.csv", text, CATEGORIES, None, side_by_side)[0]
    return plan(RadixTree.build(registry, now().date()), BUDGET_BYTES)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


@contextmanager
def sending(bench: Bench, sources: Addresses) -> Iterator[Callable[[], int]]:
    """Packets of registered sources to the estate, by a process of its own, until the answer is
    asked: how many were sent.
    """
    frames = bench.frames(sources, ESTATE_HOST)
    sock = open_sender(bench)
    told, tell = os.pipe()
    sender = os.fork()
    if sender == 0:
        stopped: list[int] = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
        sent = at = 0
        while not stopped and sent < MOST:
            at = frames.send(sock, at, 5_000)
            sent += 5_000
        os.write(tell, struct.pack("Q", sent))
        os._exit(0)

    def end() -> int:
        os.kill(sender, signal.SIGTERM)
        assert select.select([told], [], [], patient(20))[0], "the sender does not answer"
        return int(struct.unpack("Q", os.read(told, 8))[0])

    try:
        yield end
    finally:
        os.kill(sender, signal.SIGKILL)
        os.waitpid(sender, 0)
        os.close(told)
        os.close(tell)
        sock.close()


def closed(ours: Ours) -> None:
    ours.shut()
    ours.open()


def disarmed(ours: Ours) -> None:
    change = teardown(ours.kernel.read())
    assert change is not None
    ours.kernel.commit(change, time.time_ns())
    ours.open()


def exchanged(more: str, less: str = "", always: str = "") -> Callable[[Ours], None]:
    """Another registry, `more` in it in place of `less`, and back; `always` is in both. Whoever
    sends here is registered in either.
    """
    plain, other = tables(always), tables(always + more, less)

    def exchange(ours: Ours) -> None:
        for each in (other, plain):
            ours.swap(each)
            ours.open()

    return exchange


CHANGES: dict[str, Callable[[], Callable[[Ours], None]]] = {
    "a window closes": lambda: closed,
    "everything is disarmed": lambda: disarmed,
    "a row": lambda: exchanged("X-1,30.1.1.0/24,mission,,,\n"),
    "a category": lambda: exchanged("X-1,30.1.1.0/24,freelancer,,,\n"),
    "a service": lambda: exchanged("X-1,30.1.1.0/24,freelancer,,,udp/51820\n"),
    "another length in place of one": lambda: exchanged(
        "".join(f"N-{i},20.{i}.7.128/25,freelancer,,,\n" for i in range(200))
    ),
    "a length more": lambda: exchanged(
        "".join(f"N-{i},31.{i % 200}.{i // 200}.9/32,mission,,,\n" for i in range(3_000))
    ),
}


def lost(
    bench: Bench,
    change: Callable[[Ours], None],
    *,
    begin: Tables,
    sources: Addresses = SOURCES,
    rounds: int = ROUNDS,
) -> int:
    """How many packets of the sources do not arrive while it is changed so many times."""
    ours = Ours(bench.gateway, begin, ("guard",))
    ours.open()
    forwarded = bench.forwarded()
    with sending(bench, sources) as end:
        for _ in range(rounds):
            change(ours)
        sent = end()
    # The receiver's side of the bench takes them out of a queue.
    deadline = time.monotonic() + patient(5)
    while bench.forwarded() - forwarded < sent and time.monotonic() < deadline:
        time.sleep(0.05)
    ours.close()
    assert sent > 1_000
    return sent - (bench.forwarded() - forwarded)


@pytest.mark.parametrize("what", CHANGES)
def test_no_registered_packet_is_lost_by(bench: Bench, what: str) -> None:
    assert lost(bench, CHANGES[what](), begin=tables()) == 0


def test_none_is_lost_as_its_prefix_changes_its_stage(bench: Bench) -> None:
    """The coarser was not asked yet, the finer already: it must be in one of them all the time. And
    the categories of the finer come and go with their chains. A loss in ten changes or so is what
    it was, so there are many, and all packets are of that prefix.
    """
    always = "".join(f"A-{i},31.{i % 200}.{i // 200}.9/32,mission,,,\n" for i in range(3_000))
    finer = "".join(f"N-{i},20.0.7.{i}/32,{CATEGORIES[i % 2]},,,\n" for i in range(256))
    change = exchanged(finer, less="R-0,20.0.7.0/24,mission,,,\n", always=always)
    sources = np.array([20 << 24 | 7 << 8 | 1 + i * 7 % 250 for i in range(20_000)], np.uint32)
    rounds = 10 * ROUNDS
    assert lost(bench, change, begin=tables(always), sources=sources, rounds=rounds) == 0
