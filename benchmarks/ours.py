"""Our measures in a gateway of the bench, through the functions that the daemon uses.

In: a case and a namespace. Out: a window opened or closed in the kernel, counters read. It knows no
name of a chain, so the shape of the rules is free to change.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, timedelta
from typing import Literal

from benchmarks.case import now
from enforcer.kernel.nft import NftKernel
from enforcer.kernel.steps import Step
from enforcer.lab.registry import CATEGORIES
from enforcer.lookup.tables import Stage, Tables
from enforcer.policy.model import Activation, Estate, Gateway, Guard, Mark, Once, Policy, Window
from enforcer.policy.prefix import parse_prefix, parse_service
from enforcer.reconcile import with_unhooked
from enforcer.ruleset import promises
from enforcer.ruleset.compiler import compile_ruleset
from enforcer.ruleset.diff import diff
from enforcer.ruleset.measures import parse_counter
from enforcer.ruleset.sampling import NO_SAMPLES
from enforcer.ruleset.transaction import KernelState, Transaction
from enforcer.ruleset.vocabulary import Ruleset

MeasureName = Literal["mark", "guard"]
MEASURES: tuple[MeasureName, ...] = ("mark", "guard")
WINDOW = "bench"
FWMARK = 0x51
ESTATE = "203.0.113.0/28"
ESTATE_HOST = "203.0.113.1"
SERVICE = "udp/51820"
_ATTEMPTS = 6


class Noting(NftKernel):
    """Notes when it had the answer to the first transaction of the last commit: from then on what
    was to act acts, and what was to end has ended.
    """

    acted_at = 0.0

    def commit(self, transaction: Transaction, now_ns: int) -> None:
        self.acted_at = 0.0
        super().commit(transaction, now_ns)

    def _send(self, generation: int, step: Step, started_ns: int) -> int:
        generation = super()._send(generation, step, started_ns)
        self.acted_at = self.acted_at or time.perf_counter()
        return generation


class Ours:
    """The kernel of one gateway with a registry; no window is open at first."""

    def __init__(
        self, namespace: str, tables: Tables, measures: tuple[MeasureName, ...] = MEASURES
    ) -> None:
        self.kernel = Noting(namespace)
        self.tables = tables
        self.loaded: dict[str, Stage] = {}
        self.sampling = NO_SAMPLES
        begun = now() - timedelta(minutes=1)
        form = Once(begun, begun + timedelta(hours=3))
        window = Window(
            WINDOW, "what a packet costs", "bench", "BENCH", form, UTC, "UTC",
            lease="until-end",
            mark=Mark(FWMARK) if "mark" in measures else None,
            guard=Guard("estate") if "guard" in measures else None,
        )  # fmt: skip
        self.activation = Activation(form.starts_at, form.ends_at, window)
        self.policy = Policy(
            Gateway("bench", ("wan0",)),
            CATEGORIES,
            estates=(Estate("estate", (parse_prefix(ESTATE),), (parse_service(SERVICE),)),),
            windows=(window,),
        )

    def close(self) -> None:
        self.kernel.close()

    def ahead(self) -> None:
        """What no packet can meet of the window, put in place as the daemon does 2 s before."""
        change = self.change(armed=False, coming=True)
        if change is not None:
            self.kernel.commit(change, time.time_ns())

    def change(self, *, armed: bool, coming: bool = False) -> Transaction | None:
        """Read, compile, check, diff: what is left to do until the window is open or closed."""
        # Before: an arming is never taken to have more left than it has.
        seen_ns, state = time.time_ns(), self.kernel.read()
        active = (self.activation,) if armed else ()
        ruleset = self._compiled(active, state)
        promises.check(ruleset, self.policy, active, self.tables)
        if coming:
            soon = (self.activation,)
            ruleset = with_unhooked(ruleset, self._compiled(soon, state))
        retire = frozenset(state.counters) - set(ruleset.counters)
        return diff(ruleset, state, seen_ns, loaded=self.loaded, retire=retire)

    def _compiled(self, active: tuple[Activation, ...], state: KernelState) -> Ruleset:
        return compile_ruleset(
            self.policy, active, self.tables, devices=state.devices, sampling=self.sampling
        )

    def put(self, *, armed: bool) -> None:
        """The window open or closed, and the registry loaded; raises when the kernel differs."""
        for _ in range(_ATTEMPTS):
            change = self.change(armed=armed)
            if change is None:
                self.loaded = {stage.digest: stage for stage in self.tables.stages}
                return
            self.kernel.commit(change, time.time_ns())
        raise RuntimeError(f"the kernel still differs after {_ATTEMPTS} attempts")

    def swap(self, tables: Tables) -> None:
        """Another registry for the next `put`."""
        self.tables = tables.like(self.tables)

    def open(self) -> None:
        self.put(armed=True)

    def shut(self) -> None:
        self.put(armed=False)

    def counted(self) -> dict[str, Counter[str]]:
        """Verdict → category → packets, IPv4."""
        found: dict[str, Counter[str]] = {}
        for name, (packets, _bytes) in self.kernel.counters().items():
            labels = parse_counter(name)
            if labels is not None and labels.family == 4 and labels.window == WINDOW:
                found.setdefault(labels.verdict, Counter())[labels.category] += packets
        return found
