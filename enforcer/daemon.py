"""The daemon's memory and its one step; no socket, no signal, no clock of its own.

`step` is the sentence of the design: what is active now is compiled, checked, compared with the
kernel, committed. A reload replaces policy and registry or leaves both as they were. Everything
that people see is derived from the Outcome at the edge (`snapshot`, `service`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial

from enforcer.absent import missing_devices, unguarded
from enforcer.clock import Clock
from enforcer.days import DAY_LEAD, Days
from enforcer.drift import KINDS, Settled, Suspicion
from enforcer.errors import KernelError, PolicyError, Problem
from enforcer.lookup.planner import Planned
from enforcer.lookup.tables import Stage, Tables
from enforcer.observe.snapshot import Occurrence, Snapshot
from enforcer.observe.totals import Totals
from enforcer.policy.model import Activation
from enforcer.policy.prefix import FAMILIES
from enforcer.policy.shrinking import ShrinkError, refuse_shrinking
from enforcer.reconcile import Outcome, Prepared, Wanted, not_reserved, prepare, reconcile
from enforcer.ruleset.compiler import epoch_ns
from enforcer.ruleset.transaction import Kernel
from enforcer.schedule.agenda import Agenda, Entry, entries
from enforcer.schedule.orders import Orders
from enforcer.schedule.timeline import Timeline
from enforcer.sources.load import Configuration
from enforcer.steady import SteadyClock
from enforcer.unsampled import NoSamples, Samples, with_or_without

# Drift that no event told of is found by looking; a read outside windows costs about a millisecond.
LOOK_EVERY = timedelta(seconds=10)
SHOWN_WINDOWS = 10
# An edge is compiled, checked and planned so long before it; from then on nothing else is begun.
EDGE_LEAD = timedelta(seconds=2)
ORDERS_LOST = (
    "orders.json in the state directory cannot be read, so no window opens; mend it or move it "
    "away, and restart the daemon"
)

Accepts = Callable[[ShrinkError], bool]


class Daemon:
    """`load` reads and parses the configuration; it raises PolicyError with every problem, those
    under the standing orders included. `refused` and `accepted_at` when the first one that it gives
    is not that of the files but the last good one, `plan` when its registry is planned already
    (`starting`). `samples`: who listens to sampled packets.
    """

    def __init__(
        self,
        load: Callable[[Orders], Configuration],
        kernel: Kernel,
        clock: Clock,
        totals: Totals,
        orders: Orders = Orders(),  # noqa: B008 - a value
        *,
        refused: PolicyError | None = None,
        accepted_at: datetime | None = None,
        plan: Planned | None = None,
        samples: Samples | None = None,
    ) -> None:
        self._load, self._kernel, self.totals = load, kernel, totals
        self.clock = SteadyClock(clock, self._clock_counts)
        self._samples = samples or NoSamples()
        self.orders = orders
        self._config = load(orders)
        self._refused = refused
        self.clock.look()
        now = self._reloaded_at = self.clock.now()
        self._loaded_at = accepted_at or now
        self._days = Days(self._config, now.date(), plan)
        self._timeline = Timeline.ahead(self._config.policy, now)
        self._agenda = Agenda.build(self._timeline, orders)
        self._stepped_at = self._rests_since = now
        self._prepared: Prepared | None = None
        # Window id → when it ends, of what was on when the clock was right last, in nanoseconds.
        self._ends: dict[str, int] = {}
        self._held: dict[str, Stage] = {}
        self._settled: Settled | None = None
        self._last: Outcome | None = None
        self._retired: frozenset[str] = frozenset()
        self._drift_repairs = self._violations = 0
        self._problem: str | None = None
        self._drift_kinds = dict.fromkeys(KINDS, 0)
        self._suspicion = Suspicion()
        # Why nothing acts for a while, as told in `status`; None: windows act as declared.
        self.standing_down: str | None = None

    @property
    def config(self) -> Configuration:
        return self._config

    @property
    def refused(self) -> PolicyError | None:
        """Why what the files hold is not what is in force."""
        return self._refused

    @property
    def tables(self) -> Tables:
        return self._days.tables

    @property
    def day(self) -> date:
        """The UTC day whose registrations are loaded."""
        return self._days.day

    @property
    def loaded_at(self) -> datetime:
        """When the configuration in force was accepted."""
        return self._loaded_at

    # --- the step ----------------------------------------------------------------------------

    def active(self, now: datetime) -> tuple[Activation, ...]:
        """The occurrences that are on at `now`, under the standing orders."""
        return self.agenda(now).active(now)

    def agenda(self, now: datetime) -> Agenda:
        """What is on around `now`, found anew only when policy, orders or the day changed."""
        timeline = self._timeline_at(now)
        if self._agenda.timeline is not timeline or self._agenda.orders is not self.orders:
            self._agenda = Agenda.build(timeline, self.orders)
        return self._agenda

    def _timeline_at(self, now: datetime) -> Timeline:
        """The policy's occurrences around `now`, found anew only when they do not hold it."""
        if self._timeline.policy is not self._config.policy or not self._timeline.covers(now):
            self._timeline = Timeline.ahead(self._config.policy, now)
        return self._timeline

    def step(self) -> Outcome:
        """Brings the kernel to what is wanted now. Safe to call at any time, and often."""
        right = self.clock.look()
        now = self._stepped_at = self.clock.now()
        self._days.turn(self._config, self._day_at(now), now)
        if right:
            self._ends = {a.id: epoch_ns(a.ends_at) for a in self.active(now)}
        prepared, self._prepared = self._prepared, None
        outcome = self._reconcile(self._wanted(now), prepared)
        if outcome.result != "failed":
            outcome = self._retire(outcome, now)
        self._remember(outcome)
        self._look_ahead(outcome)
        self._rests_since = self.clock.now()
        return outcome

    def _look_ahead(self, outcome: Outcome) -> None:
        """What can be done before it is needed is done here, where nothing waits for it."""
        now = self.clock.now()
        if self._timeline.wears_out(now):
            self._timeline = Timeline.ahead(self._config.policy, now)
        self._days.look_ahead(self._config, self._day_at(now + DAY_LEAD), now)
        edge = self.agenda(now).next_edge(self._stepped_at)
        near = edge is not None and timedelta() < edge - now <= EDGE_LEAD
        if edge is None or not near or outcome.result == "failed":
            return
        if outcome.state is not None and (tables := self._days.of(self._day_at(edge))) is not None:
            wanted = replace(self._wanted(edge), tables=tables, coming=())
            now_ns = self.clock.now_ns()
            self._prepared = prepare(wanted, outcome.state, now_ns, loaded=self._held)

    def _day_at(self, at: datetime) -> date:
        """The UTC day whose registrations count at an instant. While something is armed, a clock
        that nobody keeps right any more turns no day: on another, somebody registered may be held
        back, and on the same one nobody who was let through is.
        """
        armed = self._last is not None and self._last.armed
        return self._days.day if armed and not self.clock.right else at.date()

    def _clock_counts(self) -> bool:
        gateway = self._config.policy.gateway
        return not gateway.require_synchronised_clock or self.clock.synchronised()

    def release(self) -> Outcome:
        """Unhooks everything at once (`on_stop: release`); the registered maps stay loaded."""
        self.clock.look()
        wanted = replace(self._wanted(self.clock.now()), activations=(), coming=())
        outcome = self._reconcile(wanted)
        self._remember(outcome)
        return outcome

    def _wanted(self, now: datetime) -> Wanted:
        policy = self._config.policy
        if self.standing_down is not None:
            return Wanted(policy, (), self.tables, idle=True)
        ends = None if self.clock.right else self._ends
        may_arm = ends is None and self.orders.readable
        active = self.active(now)
        edge = self.agenda(now).next_edge(now)
        coming: tuple[Activation, ...] = ()
        if edge is not None and edge - now <= EDGE_LEAD:
            ids = {a.id for a in active}
            coming = tuple(a for a in self.active(edge) if a.id not in ids)
        sampling = self._samples.sampling(policy)
        return Wanted(policy, active, self.tables, may_arm, coming, False, sampling, ends)

    def _reconcile(self, wanted: Wanted, prepared: Prepared | None = None) -> Outcome:
        once = partial(self._once, prepared=prepared)
        return with_or_without(wanted, once, self._samples.refused)

    def _once(self, wanted: Wanted, prepared: Prepared | None) -> Outcome:
        suspicion = self._suspicion
        if self._last is not None and self._last.result == "failed":
            # What our own last change has left of maps no event of others tells.
            suspicion = replace(suspicion, told=False)
        return reconcile(
            wanted,
            self._kernel,
            self.clock.now_ns,
            settled=self._settled,
            loaded=self._held,
            retire=self._retired,
            suspicion=suspicion,
            prepared=prepared,
        )

    def distrust(self, suspicion: Suspicion) -> None:
        """Somebody else has touched elements of ours: the next step loads those maps anew."""
        self._suspicion |= suspicion

    def _retire(self, outcome: Outcome, now: datetime) -> Outcome:
        """Takes the totals of closed windows over, then lets their counters go."""
        assert outcome.state is not None
        left = outcome.state.counters - set(outcome.desired.counters)
        # What an earlier step could not delete and this one did. Nothing else may stay on the list:
        # a counter on it is deleted without its last value being read.
        self.totals.deleted(self._retired - outcome.state.counters)
        self._retired &= left
        if not left:
            return outcome
        try:
            self.totals.take_over(self._kernel.counters)
        except KernelError:
            # They stay in the kernel and are taken over by the next step.
            return outcome
        self._retired = left
        self._settle(outcome)
        second = self._reconcile(self._wanted(now))
        if second.result != "failed":
            self.totals.deleted(left)
            self._retired = frozenset()
        operations = outcome.operations + second.operations
        return replace(second, operations=operations, drift=outcome.drift | second.drift)

    def _remember(self, outcome: Outcome) -> None:
        if outcome.drift and outcome.result != "failed":
            self._drift_repairs += 1
            for kind in outcome.drift:
                self._drift_kinds[kind] += 1
        self._violations += len(outcome.violations)
        self._problem = str(outcome.error) if outcome.error else None
        if outcome.violations:
            self._problem = "; ".join(outcome.violations)
        self._last = outcome
        if outcome.result != "failed":
            self._settle(outcome)
            self._suspicion = Suspicion()
            fronts = () if self.tables.front is None else (self.tables.front,)
            self._held = {stage.digest: stage for stage in (*self.tables.stages, *fronts)}
        elif outcome.uncertain and self._settled and outcome.desired != self._settled.ruleset:
            # What of it the kernel holds is our own work, which the next step must not call drift.
            self._settled = None

    def _settle(self, outcome: Outcome) -> None:
        assert outcome.state is not None
        self._settled = Settled.of(self._config.policy, outcome.desired, outcome.state)

    def next_wake(self) -> datetime:
        """When to step again if nothing happens: an edge, a lease, midnight, or a look."""
        now = self.clock.now()
        # After the last step, not after now: whoever asks every second must not put it off.
        since = min(self._rests_since, now)
        midnight = datetime.combine(since.date() + timedelta(days=1), datetime.min.time(), UTC)
        wakes = [since + LOOK_EVERY, midnight]
        if since < midnight - DAY_LEAD:
            wakes.append(midnight - DAY_LEAD)
        # An edge that went by during the step is due.
        edge = self.agenda(now).next_edge(min(self._stepped_at, now))
        if edge is not None and edge - now <= EDGE_LEAD:
            return edge
        if edge is not None:
            wakes.append(edge - EDGE_LEAD)
        if self.active(now):
            lease = timedelta(seconds=self._config.policy.gateway.lease_s)
            wakes.append(since + lease / 4)
        return min(wakes)

    # --- changes from outside ------------------------------------------------------------------

    def reload(self, accepts: Accepts | None = None) -> PolicyError | None:
        """Reads the configuration anew. Refused as a whole, or taken as a whole. `accepts` is asked
        whether a registry that shrinks too much is meant; it may raise PolicyError.
        """
        self._refused = self._taken(lambda: self._load(self.orders), accepts)
        return self._refused

    def reload_part(
        self, read: Callable[[Configuration], Configuration], accepts: Accepts | None = None
    ) -> PolicyError | None:
        """Takes what `read` makes of the configuration in force, a part of it read anew. What is
        refused of the whole stays so, and said.
        """
        return self._taken(lambda: read(self._config), accepts)

    def _taken(
        self, load: Callable[[], Configuration], accepts: Accepts | None
    ) -> PolicyError | None:
        """Puts a configuration in the place of the one before, or says why not."""
        self.clock.look()
        self._reloaded_at = self.clock.now()
        try:
            config = load()
            limit, day = config.policy.registry.shrink_limit, self._day_at(self._reloaded_at)
            following = self._days.following(config, day)
            try:
                refuse_shrinking(
                    self._config.registry, config.registry, limit, day, following.shrunk
                )
            except ShrinkError as error:
                if accepts is None or not accepts(error):
                    raise
            plan = following.plan(config.policy.registry.kernel_memory_bytes)
        except PolicyError as error:
            return error
        except (MemoryError, OSError) as error:
            # Of what is not the configuration's fault the old one knows nothing, and stays.
            why = "memory ran out" if isinstance(error, MemoryError) else str(error.strerror)
            fact = f"cannot be taken in: {why}; give the daemon more of it, then: enforcer reload"
            return PolicyError([Problem("configuration", 0, 0, "", fact)])
        self._config = config
        self._loaded_at = self._reloaded_at
        self._days.take(plan, day)
        return None

    def on(self) -> list[Entry]:
        """The occurrences that are on, by the schedule and the orders."""
        now = self.clock.now()
        return [e for e in self.agenda(now).every if e.opens and e.state(now) == "armed"]

    # --- what people see -----------------------------------------------------------------------

    def occurrences(self, after: datetime, before: datetime) -> list[Occurrence]:
        """Every occurrence that is on between two instants, in order, by the schedule."""
        now = self.clock.now()
        found: list[Entry] = entries(self._config.policy, self.orders, after, before)
        return [Occurrence.of(e, now) for e in found]

    def snapshot(self) -> Snapshot:
        now = self.clock.now()
        policy = self._config.policy
        last = self._last
        assert last is not None, "a step was made"
        devices = last.state.devices if last.state else frozenset()
        nexts = self.agenda(now).foremost(now, SHOWN_WINDOWS)
        return Snapshot(
            policy=policy,
            config_error=self._refused.for_all if self._refused else None,
            day_refused=self._days.problem is not None,
            shrink_refused=isinstance(self._refused, ShrinkError),
            loaded_at=self._loaded_at,
            reloaded_at=self._reloaded_at,
            armed=last.armed,
            waiting_for_clock=last.waiting,
            coming=tuple(Occurrence.of(e, now, last.armed) for e in nexts),
            edges=tuple(self.agenda(now).transitions(now)),
            prefixes=self.tables.prefixes,
            elements=tuple((f, sum(len(s) for s in self.tables.of_family(f))) for f in FAMILIES),
            clock_synchronised=self.clock.synchronised(),
            drift_repairs=self._drift_repairs,
            promise_violations=self._violations,
            problem=self._problem
            or self.standing_down
            or (None if self.orders.readable else ORDERS_LOST)
            or self._days.problem
            or not_reserved(policy, last)
            or (unguarded(policy, devices, last.armed) if last.state else None),
            missing_devices=missing_devices(policy, devices),
            drift_kinds=tuple(self._drift_kinds.items()),
            contested=self.standing_down is not None,
            orders_lost=not self.orders.readable,
            registry=self._config.registry,
            tables=self.tables,
            stepped_at=self._stepped_at,
            ends=tuple(
                (a.id, a.ends_at) for a in self.active(self._stepped_at) if a.id in last.armed
            ),
            due=tuple(a.id for a in self.active(now) if a.id not in last.armed),
        )
