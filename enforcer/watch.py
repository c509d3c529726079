"""What the kernel's events mean for us: whether to look, which maps not to trust, and who it was.

In: events of the monitor. Out: `Noticed`, or None when nothing of them is about us. Our own commits
pass through here as well, so that their events are known for ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from enforcer.drift import Suspicion
from enforcer.kernel.events import KernelEvent, Monitor
from enforcer.notify import patience
from enforcer.ruleset.transaction import Change, Kernel, Load, Transaction


@dataclass(frozen=True, slots=True)
class Culprit:
    """A process as the kernel names it; of who touched a link only the process id is told."""

    program: str | None = None
    pid: int | None = None

    def __str__(self) -> str:
        program = self.program or "a program"
        return program if self.pid is None else f"{program} (process {self.pid})"


@dataclass(frozen=True, slots=True)
class Noticed:
    """`cause` for the log; `touched`: our table was changed, or nobody can tell that it was not."""

    cause: str
    suspicion: Suspicion
    culprit: Culprit
    touched: bool


def notice(events: Iterable[KernelEvent], devices: frozenset[str]) -> Noticed | None:
    """What others did to our table, and to `devices`."""
    ours = [event for event in events if _concerns(event, devices)]
    if not ours:
        return None
    # Of several events the one that touched the table is most likely the one that did harm.
    first = next((event for event in ours if event.kind == "ours"), ours[0])
    known = next((event for event in (first, *ours) if event.pid or event.program), first)
    lost = any(event.kind == "overflow" for event in ours)
    sets = frozenset[str]().union(*(event.sets for event in ours))
    return Noticed(
        f"{first.kind} {first.detail}".strip(),
        Suspicion(sets, lost, told=True),
        Culprit(known.program, known.pid),
        lost or first.kind == "ours",
    )


def _concerns(event: KernelEvent, devices: frozenset[str]) -> bool:
    match event.kind:
        case "ours":
            return not event.by_us
        case "link" | "qdisc":
            return not event.by_us and (not event.devices or bool(event.devices & devices))
        case "overflow":
            return True
    return False


class HushedKernel:
    """A kernel whose bulk loads the monitor does not hear: a million elements would be a million
    events, at twenty times the cost of the load itself. The reconciliation reads back anyway.
    Where somebody else listens, what must change in one transaction takes the kernel half a minute
    all the same: that is no hang, and systemd is told so.
    """

    def __init__(self, kernel: Kernel, monitor: Monitor) -> None:
        self._kernel, self._monitor = kernel, monitor
        self.read, self.generation, self.made = kernel.read, kernel.generation, kernel.made
        self.counters, self.elements, self.close = kernel.counters, kernel.elements, kernel.close
        self.ports = kernel.ports
        monitor.own_ports(kernel.ports)

    def commit(self, transaction: Transaction, now_ns: int) -> None:
        if any(isinstance(op, Load | Change) for op in transaction.operations):
            deaf = self._monitor.deaf(self._kernel.generation, self._kernel.made)
            with patience(), deaf:
                self._commit(transaction, now_ns)
        else:
            self._commit(transaction, now_ns)

    def _commit(self, transaction: Transaction, now_ns: int) -> None:
        try:
            self._kernel.commit(transaction, now_ns)
        finally:
            for generation in self._kernel.made():
                self._monitor.own(generation)
