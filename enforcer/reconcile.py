"""One sentence: desired = compile(policy, active); check; change = diff(desired, kernel); commit.

In: what is wanted, as values, and the kernel. Out: an Outcome, from which logs and metrics are
derived. Success means that the kernel was read back and nothing is left to change. It retries a
bounded number of times, each with a fresh read, and it never adds restriction to recover.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Literal

from enforcer.adopting import left_over, spoilt_maps
from enforcer.drift import Kind, Settled, Suspicion, drift, vouched
from enforcer.errors import KernelError, PromiseError
from enforcer.lookup.tables import Stage, Tables
from enforcer.policy.model import Activation, Policy
from enforcer.ruleset import promises
from enforcer.ruleset.compiler import compile_ruleset, epoch_ns
from enforcer.ruleset.diff import diff, remaining
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling
from enforcer.ruleset.transaction import (
    Arm,
    Change,
    Kernel,
    KernelState,
    Operation,
    Transaction,
)
from enforcer.ruleset.vocabulary import ArmingSet, Bulk, FrontSet, RegisteredMap, Ruleset

ATTEMPTS = 6

# Somebody else changed the ruleset, a buffer was small, a device went or came: read again.
RETRIED = frozenset(
    {
        errno.ERESTART,
        errno.EINTR,
        errno.EAGAIN,
        errno.ENOBUFS,
        errno.EBUSY,
        errno.ENOENT,
        errno.EEXIST,
        errno.ENODEV,
        errno.EBADMSG,
    }
)

Result = Literal["unchanged", "changed", "failed"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the policy asks for at an instant. `may_arm`: new windows may be armed, for the clock is
    right and the standing orders are known. `coming` open next, in a moment: what of them no packet
    can meet is put in place already. `idle`: nothing acts, and what is not loaded stays so.
    `sampling`: how many packets the rules tell of. `ends`: None while the clock is trusted, else
    when windows end at the latest, in nanoseconds since the epoch as the clock shows it; where it
    says nothing of a window, the kernel's own timer is not made longer.
    """

    policy: Policy
    activations: tuple[Activation, ...]
    tables: Tables
    may_arm: bool = True
    coming: tuple[Activation, ...] = ()
    idle: bool = False
    sampling: Sampling = NO_SAMPLES
    ends: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reconciliation did. `operations` are those committed, over all attempts.

    `state` is the last read; `armed` are the windows in force (where a change failed, those that
    the kernel held before it); `drift` says in what the kernel no longer held what had been
    committed (`enforcer.drift`), put right unless `result` is `failed`; `waiting` are windows not
    armed because nothing new may be. `uncertain`: a change failed, and may be in the kernel all the
    same, whole or in part.
    """

    result: Result
    desired: Ruleset
    state: KernelState | None
    operations: tuple[Operation, ...] = ()
    armed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    drift: frozenset[Kind] = frozenset()
    attempts: int = 0
    violations: tuple[str, ...] = ()
    error: KernelError | None = None
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an edge will change: compiled, checked, and planned against what the kernel held before
    it. Only the commit is left for the instant; timeouts are computed at sending.
    """

    wanted: Wanted
    desired: Ruleset
    change: Transaction

    def is_for(self, wanted: Wanted) -> bool:
        """True when nothing that was decided on has changed since. Identity is enough for what a
        reload replaces, and comparing a million prefixes is not for the instant.
        """
        ours = self.wanted
        return (
            ours.policy is wanted.policy
            and ours.tables is wanted.tables
            and ours.activations == wanted.activations
            and [a.id for a in ours.activations] == [a.id for a in wanted.activations]
            and (ours.may_arm, ours.idle) == (wanted.may_arm, wanted.idle)
            and ours.sampling == wanted.sampling
            and wanted.ends is None
        )


def prepare(
    wanted: Wanted, state: KernelState, now_ns: int, *, loaded: Mapping[str, Stage]
) -> Prepared | None:
    """The change to what will be wanted, from a kernel read just now; None when there is nothing to
    prepare, or when it takes the ordinary way to say what is wrong.
    """
    if wanted.ends is not None:
        # By a clock that may be set at any moment nothing is planned.
        return None
    front = not _front_can_wait(wanted.tables, state)
    active = _armable(wanted, state, now_ns)
    desired, violations = _checked(wanted, active, state, front=front)
    if violations:
        return None
    try:
        change = diff(desired, state, now_ns, loaded=loaded)
    except KernelError:
        return None
    return Prepared(wanted, desired, change) if change is not None else None


def reconcile(
    wanted: Wanted,
    kernel: Kernel,
    now_ns: Callable[[], int],
    *,
    settled: Settled | None,
    loaded: Mapping[str, Stage],
    retire: frozenset[str] = frozenset(),
    suspicion: Suspicion = Suspicion(),  # noqa: B008 - a value
    prepared: Prepared | None = None,
) -> Outcome:
    """Brings the kernel to what is wanted. `settled` is what it held after the last success.

    A change that was `prepared` for this very wish is committed first, before anything is read; if
    the kernel has moved on meanwhile, it refuses that and the ordinary way is taken.

    Registered maps under `suspicion` are loaded anew, whatever the ledger says of them: somebody
    else has touched elements, and a lost one would have guard hold back registered traffic. So are
    those that do not hold what an earlier daemon's ledger says, and those that refuse a delta. Not
    so those that nobody has touched, where only rules and the ledger were flushed.
    """
    done: list[Operation] = []
    drifted: frozenset[Kind] = frozenset()
    error: KernelError | None = None
    state: KernelState | None = None
    desired = Ruleset()
    violations: tuple[str, ...] = ()
    active: tuple[Activation, ...] = ()
    change: Transaction | None = None
    spoilt: frozenset[str] = frozenset()
    cleared: tuple[Operation, ...] = ()
    # A change whose failure does not say that none of it is in the kernel.
    uncertain = False
    if prepared is not None and prepared.is_for(wanted) and not suspicion:
        try:
            kernel.commit(prepared.change, now_ns())
            done += prepared.change.operations
        except KernelError as caught:
            # Whatever it was, the next read tells; a fault that stays is met again there.
            error, uncertain = caught, caught.errno != errno.ERESTART
    planned = partial(diff, loaded=loaded, retire=retire)
    for attempt in range(1, ATTEMPTS + 1):
        change, sent = None, False
        try:
            # What is left of a timeout is told as of the read: compare it with that instant.
            seen_ns = now_ns()
            held = state = kernel.read()
            if settled is None and not done:
                spoilt |= spoilt_maps(kernel, state, wanted.tables)
            left = settled.ledger if settled is not None and error is None and not done else None
            state = vouched(held, Suspicion() if done else suspicion, spoilt, left)
            active = _armable(wanted, state, seen_ns)
            front = not _front_can_wait(wanted.tables, state)
            desired, violations = _checked(wanted, active, state, front=front)
            change = planned(desired, state, seen_ns, written=held.ledger)
            if change is None and not front and not drifted:
                # After a repair it comes with a later step: who flushed once may do so again, and
                # must not find us busy with what is no hurry.
                desired, violations = _checked(wanted, active, state, front=True)
                change = planned(desired, state, seen_ns, written=held.ledger)
            if change is None or (done and _only_arms(change.operations)):
                # Armed a moment ago; the next step looks again whether a timeout is right.
                return Outcome(
                    "changed" if done else "unchanged",
                    desired,
                    state,
                    (*cleared, *done),
                    tuple(a.id for a in active) if not violations else (),
                    _others(wanted.activations, active),
                    drifted,
                    attempt,
                    violations,
                )
            if not done and not drifted and not uncertain:
                drifted = drift(
                    settled, desired, held, change, wanted.policy,
                    now_ns=seen_ns, loaded=loaded, suspicion=suspicion,
                )  # fmt: skip
            sent = True
            if not cleared and (clearing := left_over(held, change)) is not None:
                kernel.commit(clearing, now_ns())
                cleared = clearing.operations
                continue
            kernel.commit(change, now_ns())
            done += change.operations
            error, spoilt = None, frozenset()
        except KernelError as caught:
            error = caught
            uncertain |= sent and caught.errno != errno.ERESTART
            if change is not None and caught.errno in (errno.ENOENT, errno.EEXIST):
                # A delta for what is not there: the map holds something else than the ledger says.
                spoilt |= {op.target.name for op in change.operations if isinstance(op, Change)}
            if caught.errno not in RETRIED:
                break
    if error is None:
        error = KernelError(
            "commit",
            errno.EAGAIN,
            f"the kernel still differs after {ATTEMPTS} attempts; another program changes "
            "table inet enforcer at the same time: nft monitor shows which",
        )
    held_still = () if state is None else tuple(a.id for a in _armed(wanted, state))
    return Outcome(
        "failed", desired, state, (*cleared, *done), held_still, drift=drifted, attempts=ATTEMPTS,
        error=error, violations=violations, uncertain=uncertain or bool(done),
    )  # fmt: skip


def _armable(wanted: Wanted, state: KernelState, now_ns: int) -> tuple[Activation, ...]:
    """Where nothing new may be armed, what is armed stays so; up to its end and no longer, whatever
    a clock that nobody keeps right shows.
    """
    armable = wanted.activations if wanted.may_arm else _armed(wanted, state)
    ends = wanted.ends
    if ends is None:
        return armable
    return tuple(
        ended_by(a, ends[a.id] if a.id in ends else now_ns + _left_ns(a, state)) for a in armable
    )


def ended_by(activation: Activation, end_ns: int) -> Activation:
    """The same, ended at an instant (nanoseconds since the epoch) unless it ends before."""
    over_us = -(-(epoch_ns(activation.ends_at) - end_ns) // 1000)
    if over_us <= 0:
        return activation
    return replace(activation, ends_at=activation.ends_at - timedelta(microseconds=over_us))


def _left_ns(activation: Activation, state: KernelState) -> int:
    """What the kernel's own timer has left, of both families."""
    there = state.sets.get(ArmingSet(activation.id, 0, None).name)
    return min(remaining(there).values(), default=0) if there is not None else 0


def _others(activations: Iterable[Activation], active: Iterable[Activation]) -> tuple[str, ...]:
    ids = {a.id for a in active}
    return tuple(a.id for a in activations if a.id not in ids)


def _armed(wanted: Wanted, state: KernelState) -> tuple[Activation, ...]:
    """What is wanted and armed in the kernel already."""
    armed = {name for name, s in state.sets.items() if s.kind == "armed" and s.elements}
    return tuple(a for a in wanted.activations if ArmingSet(a.id, 0, None).name in armed)


# The kernel takes time with the square of the elements of a bitmap set: 4,000 in 60 ms, 15,000 in
# 0.8 s. Rules do not wait for that: the front filter only makes them faster.
_FRONT_AT_ONCE = 4000


def _front_can_wait(tables: Tables, state: KernelState) -> bool:
    """Whether the front filter is large and must be loaded as a whole, or be changed as much as
    maps that are not in force yet: then it comes in a transaction of its own after them.
    """
    if tables.front is None or len(tables.front) <= _FRONT_AT_ONCE:
        return False
    held = state.ledger.get(FrontSet(tables.front).name)
    if held is None or held == tables.front.digest:
        return held is None
    return any(
        state.ledger.get(RegisteredMap(stage).name) != stage.digest for stage in tables.stages
    )


def _loaded(tables: Tables, state: KernelState) -> Tables:
    """Only what is in the kernel already."""

    def is_there(bulk: Bulk) -> bool:
        held, wanted = state.sets.get(bulk.name), bulk.stage
        whole = held is not None and held.count in (None, len(wanted))
        return whole and state.ledger.get(bulk.name) == wanted.digest

    front = tables.front if tables.front is not None and is_there(FrontSet(tables.front)) else None
    stages = tuple(stage for stage in tables.stages if is_there(RegisteredMap(stage)))
    return replace(tables, stages=stages, front=front)


def _checked(
    wanted: Wanted, active: tuple[Activation, ...], state: KernelState, *, front: bool
) -> tuple[Ruleset, tuple[str, ...]]:
    """The compiled ruleset, or the one of no window at all when it would break a promise."""
    policy = wanted.policy
    tables = wanted.tables if front else replace(wanted.tables, front=None)
    if wanted.idle:
        tables = _loaded(tables, state)
    devices, foreign = state.devices, state.foreign_qdiscs

    def compiled(windows: tuple[Activation, ...]) -> Ruleset:
        return compile_ruleset(
            policy,
            windows,
            tables,
            devices=devices,
            unshapeable=foreign,
            sampling=wanted.sampling,
        )

    desired = compiled(active)
    try:
        promises.check(desired, policy, active, tables)
        if wanted.coming and wanted.may_arm:
            both = (*active, *wanted.coming)
            desired = with_unhooked(desired, compiled(both))
            promises.check(desired, policy, both, tables)
    except PromiseError as broken:
        return compile_ruleset(policy, (), tables, devices=devices), broken.violations
    return desired, ()


def with_unhooked(desired: Ruleset, whole: Ruleset) -> Ruleset:
    """`desired` and what `whole` has more, but for what could meet a packet: no hook, no qdisc, and
    arming sets whose end is long past, so that they stay empty.

    The kernel walks a whole map when a rule first refers to it from a chain (nf_tables_bind_set):
    111 ms measured at a million prefixes, too long for the instant at which a window opens.
    """
    there = {c.name for c in desired.containers} | {c.name for c in desired.chains}
    containers = (c for c in whole.containers if c.name not in there)
    return replace(
        desired,
        containers=(
            *desired.containers,
            *(replace(c, ends_ns=0) if isinstance(c, ArmingSet) else c for c in containers),
        ),
        chains=(
            *desired.chains,
            *(c for c in whole.chains if c.name not in there and c.hook is None),
        ),
        counters=tuple(sorted({*desired.counters, *whole.counters})),
    )


def _only_arms(operations: Iterable[Operation]) -> bool:
    return all(isinstance(operation, Arm) for operation in operations)


def not_reserved(policy: Policy, last: Outcome) -> str | None:
    """Armed windows that reserve nothing, because their link's root qdisc is not ours."""
    foreign = last.state.foreign_qdiscs if last.state else frozenset()
    for name in last.armed:
        window = policy.window(name)
        if window and window.reserve:
            device = policy.link(window.reserve.link).device
            if device in foreign:
                return (
                    f"window {name} reserves nothing: the root qdisc of {device} is somebody "
                    f"else's; take it away (tc qdisc del dev {device} root) or do without"
                )
    return None
