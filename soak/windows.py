"""Windows that open and end, one after another; with the daemon, and with it dead before the end.

In: a gateway without windows. Out: faults for each edge, and (opening, end) of each window.
"""

from __future__ import annotations

import math
import time
from random import Random

from soak.faults import FaultLog
from soak.gateway import Gateway, Span, monotonic_of, sleep_until, wall_s
from soak.judge import Fault

# An edge is at it from a little before its instant (the change is prepared) to the next edge.
_BEFORE_NS, _AFTER_NS = 100_000_000, 500_000_000
_AFTERWARDS_S = 1.0

Spans = list[tuple[int, int]]


def edges(gateway: Gateway, log: FaultLog, draw: Random, count: int) -> Spans:
    """`count` edges, two to a window; guard, mark and reserve in each."""
    gateway.wait_up()
    at = _soon(gateway)
    spans = []
    for n in range(math.ceil(count / 2)):
        ends = at + draw.randint(1, 2)
        spans.append(Span(f"e{n}", at, ends))
        at = ends + draw.randint(1, 2)
    gateway.write_windows(spans)
    gateway.reload()
    found: Spans = []
    for span in spans:
        for name, instant in (("window opens", span.start_s), ("window ends", span.end_s)):
            sleep_until(instant)
            at_ns = monotonic_of(instant)
            log.faults.append(Fault(name, at_ns - _BEFORE_NS, at_ns + _AFTER_NS))
        found.append((monotonic_of(span.start_s), monotonic_of(span.end_s)))
    sleep_until(spans[-1].end_s + _AFTERWARDS_S)
    return found


def overrun(gateway: Gateway, log: FaultLog, draw: Random, number: int) -> tuple[int, int]:
    """One window whose daemon is killed with 9 before its end and comes back after it. The window
    has no reserve: its HTB would stay, and be exchanged by the restart.
    """
    gateway.wait_up()
    at = _soon(gateway)
    span = Span(f"o{number}", at, at + 2, "guard: {estate: vpn}, mark: {fwmark: 0x51}")
    gateway.write_windows([span])
    gateway.reload()
    sleep_until(at + draw.uniform(0.3, 1.7))
    begin_ns = time.monotonic_ns()
    gateway.kill()
    sleep_until(span.end_s + _AFTERWARDS_S)
    found = monotonic_of(span.start_s), monotonic_of(span.end_s)
    gateway.write_windows([])
    gateway.spawn()
    gateway.wait_up()
    log.faults.append(Fault("window ends, daemon dead", begin_ns, time.monotonic_ns()))
    return found


def _soon(gateway: Gateway) -> int:
    """The next whole second for which the daemon has time to be told."""
    return math.ceil(wall_s() + max(1.0, gateway.start_s))
