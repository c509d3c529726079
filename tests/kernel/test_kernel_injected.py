"""Every netlink call of the daemon's step fails once, in every way: it converges or reports.

The clean run is counted first, then it is run again for each of its calls and each fault. The
kernel holds one of the states that lie between whole transactions afterwards, and the next step,
without a fault, ends where the clean run did. Reserve is there for its qdisc, mark for its table:
guard would add more of the same calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime
from unittest.mock import patch

import pytest
from daemon_worlds import AFTER, INSIDE, TurnedClock
from daemon_worlds import World as Files

from enforcer.daemon import Daemon
from enforcer.kernel.events import Monitor
from enforcer.kernel.nft import NftKernel
from enforcer.kernel.parking import Parking
from enforcer.observe.totals import Totals
from enforcer.ruleset import transaction as t
from enforcer.ruleset.diff import teardown
from tests.kernel.faulty_socket import FAULTS, TRUNCATED, FaultySocket, Plan, make_faulty
from tests.kernel.in_turn import in_turn

pytestmark = pytest.mark.kernel

MARK_ONLY = """
- id: ddos
  reason: attack
  declared_by: noc@isp.example
  reference: NOC-1
  start: "2026-12-01T08:00:00Z"
  end: "2026-12-01T20:00:00Z"
  measures:
    mark: {fwmark: 0x51}
"""
RESERVED = MARK_ONLY + "    reserve: {link: wan, share: 40%}\n"


class Recorded:
    """A kernel that notes what it holds after each commit."""

    def __init__(self, kernel: NftKernel) -> None:
        self._kernel = kernel
        self.seen: list[t.KernelState] | None = None
        self.read, self.generation, self.made = kernel.read, kernel.generation, kernel.made
        self.counters, self.elements, self.close = kernel.counters, kernel.elements, kernel.close

    def commit(self, transaction: t.Transaction, now_ns: int) -> None:
        kernel = self._kernel
        if self.seen is None:
            kernel.commit(transaction, now_ns)
        else:
            self.seen += map(plain, in_turn(kernel, kernel.commit, transaction, now_ns))


def plain(state: t.KernelState) -> t.KernelState:
    """Without what a running timer changes; a qdisc stands beside the transaction."""
    sets = {
        name: replace(held, elements=frozenset(x[0] for x in held.elements))  # type: ignore[index]
        if held.kind == "armed"
        else held
        for name, held in state.sets.items()
    }
    return replace(state, generation=0, sets=sets, shapers=frozenset())


def counts(state: t.KernelState) -> dict[str, int | None]:
    return {name: held.count for name, held in state.sets.items()}


class Faulted:
    def __init__(self, namespace: str, windows: str) -> None:
        self.kernel = NftKernel(namespace)
        self.recorded = Recorded(self.kernel)
        files = Files()
        files.windows = windows
        self.clock = TurnedClock(INSIDE)
        totals = Totals(self.kernel.counters)
        self.daemon = Daemon(files.configuration, self.recorded, self.clock, totals)

    def plan(self, plan: Plan) -> Plan:
        make_faulty((self.kernel._netfilter, self.kernel._route), plan)
        return plan

    def take_away(self) -> None:
        self.plan(Plan())
        change = teardown(self.kernel.read())
        if change is not None:
            # No packet is about whose way would be worth the time.
            with patch.object(Parking, "parked", lambda *_: nullcontext()):
                self.kernel.commit(change, self.clock.now_ns())


@pytest.fixture(params=["install", "close"])
def faulted(request: pytest.FixtureRequest, namespace: str) -> Iterator[tuple[Faulted, str]]:
    made = Faulted(namespace, MARK_ONLY if request.param == "close" else RESERVED)
    try:
        yield made, request.param
    finally:
        made.plan(Plan())
        made.kernel.close()


def set_scene(world: Faulted, scene: str) -> datetime:
    """Brings the kernel to where the scene begins; the instant at which its step is made."""
    if scene == "install":
        world.take_away()
        return INSIDE
    world.plan(Plan())
    world.clock.at = INSIDE
    assert world.daemon.step().result != "failed"
    return AFTER


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_at_any_call_converges_or_is_reported_and_installs_no_half(
    faulted: tuple[Faulted, str], name: str
) -> None:
    world, scene = faulted
    world.clock.at = set_scene(world, scene)
    whole = world.recorded.seen = [plain(world.kernel.read())]
    assert world.daemon.step().result == "changed"
    world.recorded.seen, end = None, world.kernel.read()
    world.clock.at = set_scene(world, scene)
    clean = world.plan(Plan())
    assert world.daemon.step().result == "changed"
    failed = hits = runs = 0
    for call in range(clean.calls):
        sent = call in clean.sends and FAULTS[name] != TRUNCATED
        for after in (False, True) if sent else (False,):
            runs += 1
            world.clock.at = set_scene(world, scene)
            plan = world.plan(Plan(call, FAULTS[name], after))
            outcome = world.daemon.step()
            hits += plan.hit
            world.plan(Plan())
            here = outcome.state if outcome.result != "failed" else world.kernel.read()
            assert here is not None
            assert plain(here) in whole, (call, after)
            assert here.shapers in (frozenset(), end.shapers), (call, after)
            if outcome.result == "failed":
                failed += 1
                assert outcome.error is not None
            else:
                # Counters that could not be read stay for the next step to take over.
                left = replace(plain(here), counters=plain(end).counters)
                assert (left, counts(here)) == (plain(end), counts(end)), (call, after)
            again = world.daemon.step()
            assert again.result != "failed", (call, after)
            here = again.state
            assert here is not None
            assert (plain(here), counts(here)) == (plain(end), counts(end)), (call, after)
            assert here.shapers == end.shapers, (call, after)
    assert hits >= 0.98 * runs > 100, "the faults were met"
    if name in ("EPERM", "ENOMEM", "ENFILE", "EMSGSIZE"):
        assert failed > clean.calls / 5, "what a retry does not mend is reported"


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_monitors_sockets_is_lost_events_and_nothing_worse(
    namespace: str, name: str
) -> None:
    kernel, monitor = NftKernel(namespace), Monitor(namespace)
    try:
        for call in range(6):
            plan = Plan(call, FAULTS[name])
            for attribute in ("_netfilter", "_route"):
                real = getattr(monitor, attribute)
                real = real._real if isinstance(real, FaultySocket) else real
                setattr(monitor, attribute, FaultySocket(real, plan))
            if kernel.read().exists:
                kernel.commit(t.Transaction(kernel.generation(), (t.DeleteTable(),)), 0)
            kernel.commit(t.Transaction(kernel.generation(), (t.CreateTable(),)), 0)
            kinds = [event.kind for event in (*monitor.drain(), *monitor.drain())]
            assert "ours" in kinds or "overflow" in kinds
            assert "overflow" in kinds or not plan.hit
    finally:
        monitor.close()
        kernel.close()
