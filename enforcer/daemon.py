"""The daemon's memory and its one step; no socket, no signal, no clock of its own.

`step` is the sentence of the design: what is active now is compiled, checked, compared with the
kernel, committed. A reload replaces policy and registry or leaves both as they were. Everything
that people see is derived from the Outcome at the edge (`snapshot`, `service`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from enforcer.clock import Clock
from enforcer.closures import Closure, closures_of, is_closed
from enforcer.errors import PolicyError, Problem
from enforcer.lookup.planner import plan
from enforcer.lookup.tables import Stage, Tables
from enforcer.lookup.tree import RadixTree
from enforcer.observe.snapshot import Occurrence, Snapshot, State
from enforcer.observe.totals import Totals
from enforcer.policy.model import Activation
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.registry import shrink
from enforcer.reconcile import Outcome, Wanted, reconcile
from enforcer.ruleset.transaction import Kernel
from enforcer.ruleset.vocabulary import Ruleset
from enforcer.schedule.timeline import Timeline, coming
from enforcer.sources.load import Configuration

# Drift that no event told of is found by looking; a read outside windows costs about a millisecond.
LOOK_EVERY = timedelta(seconds=10)
SHOWN_WINDOWS = 10


class Daemon:
    """`load` reads and parses the configuration; it raises PolicyError with every problem."""

    def __init__(
        self,
        load: Callable[[], Configuration],
        kernel: Kernel,
        clock: Clock,
        totals: Totals,
        closures: Iterable[Closure] = (),
    ) -> None:
        self._load, self._kernel, self._clock, self.totals = load, kernel, clock, totals
        self.closures = frozenset(closures)
        self._config = load()
        self._config_error: str | None = None
        self._loaded_at = self._reloaded_at = clock.now()
        self._day: date = self._loaded_at.date()
        self._tables = _compile_registry(self._config, self._day)
        self._timeline = Timeline.ahead(self._config.policy, self._loaded_at)
        self._held: dict[str, Stage] = {}
        self._settled: Ruleset | None = None
        self._retired: frozenset[str] = frozenset()
        self._drift_repairs = self._violations = 0
        self._problem: str | None = None
        self._distrust = False

    @property
    def config(self) -> Configuration:
        return self._config

    @property
    def tables(self) -> Tables:
        return self._tables

    # --- the step ----------------------------------------------------------------------------

    def active(self, now: datetime) -> tuple[Activation, ...]:
        """The occurrences that are on at `now`, without those closed early."""
        every = self._timeline_at(now).active(now)
        return tuple(a for a in every if not is_closed(a, self.closures))

    def _timeline_at(self, now: datetime) -> Timeline:
        """The policy's occurrences around `now`, found anew only when they do not hold it."""
        if self._timeline.policy is not self._config.policy or not self._timeline.covers(now):
            self._timeline = Timeline.ahead(self._config.policy, now)
        return self._timeline

    def step(self) -> Outcome:
        """Brings the kernel to what is wanted now. Safe to call at any time, and often."""
        now = self._clock.now()
        self._new_day(now)
        outcome = self._reconcile(self._wanted(now))
        if outcome.result != "failed":
            outcome = self._retire(outcome, now)
        self._remember(outcome)
        if self._timeline.wears_out(now):
            # Here, where nothing waits, and not at the instant at which a window opens.
            self._timeline = Timeline.ahead(self._config.policy, now)
        return outcome

    def release(self) -> Outcome:
        """Unhooks everything at once (`on_stop: release`); the registered maps stay loaded."""
        wanted = replace(self._wanted(self._clock.now()), activations=())
        outcome = self._reconcile(wanted)
        self._remember(outcome)
        return outcome

    def _wanted(self, now: datetime) -> Wanted:
        policy = self._config.policy
        trusted = not policy.gateway.require_synchronised_clock or self._clock.synchronised()
        return Wanted(policy, self.active(now), self._tables, trusted)

    def _reconcile(self, wanted: Wanted) -> Outcome:
        return reconcile(
            wanted,
            self._kernel,
            self._clock.now_ns,
            settled=self._settled,
            loaded=self._held,
            retire=self._retired,
            distrust=self._distrust,
        )

    def distrust(self) -> None:
        """Somebody else has touched elements of ours: the next step loads the registry anew."""
        self._distrust = True

    def _retire(self, outcome: Outcome, now: datetime) -> Outcome:
        """Takes the totals of closed windows over, then lets their counters go."""
        assert outcome.state is not None
        left = outcome.state.counters - set(outcome.desired.counters)
        if not left:
            return outcome
        self.totals.take_over(left, self._kernel.counters())
        self._retired = left
        second = self._reconcile(self._wanted(now))
        if second.result != "failed":
            self.totals.deleted(left)
            self._retired = frozenset()
        operations = outcome.operations + second.operations
        return replace(second, operations=operations, drift=outcome.drift or second.drift)

    def _remember(self, outcome: Outcome) -> None:
        self._drift_repairs += outcome.drift
        self._violations += len(outcome.violations)
        self._problem = str(outcome.error) if outcome.error else None
        if outcome.violations:
            self._problem = "; ".join(outcome.violations)
        self._last = outcome
        if outcome.result != "failed":
            self._settled = outcome.desired
            self._distrust = False
            self._held = {stage.digest: stage for stage in self._tables.stages}

    def _new_day(self, now: datetime) -> None:
        """Registrations come and go at midnight UTC."""
        if now.date() != self._day:
            self._tables = _compile_registry(self._config, now.date())
            self._day = now.date()

    def next_wake(self) -> datetime:
        """When to step again if nothing happens: an edge, a lease, midnight, or a look."""
        now = self._clock.now()
        midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), UTC)
        wake = min(now + LOOK_EVERY, midnight)
        edge = self._timeline_at(now).next_transition(now)
        if edge is not None:
            wake = min(wake, edge)
        if self.active(now):
            lease = timedelta(seconds=self._config.policy.gateway.lease_s)
            wake = min(wake, now + lease / 4)
        return wake

    # --- changes from outside ------------------------------------------------------------------

    def reload(self) -> PolicyError | None:
        """Reads the configuration anew. Refused as a whole, or taken as a whole."""
        self._reloaded_at = self._clock.now()
        try:
            config = self._load()
            _refuse_shrinking(self._config, config, self._reloaded_at.date())
            tables = _compile_registry(config, self._reloaded_at.date())
        except PolicyError as error:
            self._config_error = str(error)
            return error
        self._config, self._tables, self._config_error = config, tables, None
        self._loaded_at = self._reloaded_at
        self._day = self._reloaded_at.date()
        return None

    def close_active(self, by: str) -> frozenset[Closure]:
        """Ends every occurrence that is on (`disarm`); it does not open again."""
        now = self._clock.now()
        closed = closures_of(self.active(now), by)
        self.closures = frozenset(c for c in self.closures if c.ends_at > now) | closed
        return closed

    # --- what people see -----------------------------------------------------------------------

    def occurrences(self, after: datetime, before: datetime) -> list[Occurrence]:
        """Every occurrence that is on between two instants, in order, with its state."""
        now = self._clock.now()
        return [
            Occurrence(a, self._state(a, now)) for a in coming(self._config.policy, after, before)
        ]

    def _state(self, activation: Activation, now: datetime) -> State:
        return occurrence_state(activation, now, self.closures)

    def snapshot(self) -> Snapshot:
        now = self._clock.now()
        policy = self._config.policy
        last = self._last
        devices = last.state.devices if last.state else frozenset()
        needed = [*policy.gateway.uplinks, *(link.device for link in policy.links)]
        nexts = islice(self._timeline_at(now).coming(now), SHOWN_WINDOWS)
        return Snapshot(
            policy=policy,
            config_error=self._config_error,
            loaded_at=self._loaded_at,
            reloaded_at=self._reloaded_at,
            armed=last.armed,
            waiting_for_clock=last.waiting,
            coming=tuple(Occurrence(a, self._state(a, now)) for a in nexts),
            prefixes=self._tables.prefixes,
            elements=tuple((f, sum(len(s) for s in self._tables.of_family(f))) for f in FAMILIES),
            clock_synchronised=self._clock.synchronised(),
            drift_repairs=self._drift_repairs,
            promise_violations=self._violations,
            problem=self._problem,
            missing_devices=tuple(d for d in dict.fromkeys(needed) if d not in devices),
        )


def occurrence_state(activation: Activation, now: datetime, closures: Iterable[Closure]) -> State:
    """What an occurrence is at `now`, by the schedule and by what was closed early."""
    if is_closed(activation, closures):
        return "closed"
    if activation.ends_at <= now:
        return "past"
    if activation.window.provisional:
        return "provisional"
    return "armed" if activation.starts_at <= now else "next"


def _compile_registry(config: Configuration, day: date) -> Tables:
    tree = RadixTree.build(config.registry, day)
    return plan(tree, config.policy.registry.kernel_memory_bytes)


def _refuse_shrinking(old: Configuration, new: Configuration, day: date) -> None:
    """An update that loses much of a category is a broken feed more often than a wish."""
    limit = new.policy.registry.shrink_limit
    problems = [
        Problem(
            "registry",
            0,
            0,
            "",
            f"{removed:,} of {before:,} prefixes of category {category} would be removed, more "
            f"than shrink_limit {limit:.0%}; check the registry files, or raise "
            "registry.shrink_limit for this one update",
        )
        for category, before, _after, removed in shrink(old.registry, new.registry, day)
        if removed > limit * before
    ]
    if problems:
        raise PolicyError(problems)
