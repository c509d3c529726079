"""With which configuration a daemon starts: that of its files, or the last good one.

In: how to load the files, what an earlier daemon kept, and a way to ask what the kernel holds. Out:
a configuration, and what was refused when it is not that of the files. A mistake in the policy is
never passed over, and neither is a registry that cannot be read, or is over its `kernel_memory`, on
a gateway where nothing of it is in force: then a person has to look (exit 78). Why: decision 0018.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from enforcer import log
from enforcer.errors import KernelError, PolicyError, Problem
from enforcer.loading import MOST_DEATHS
from enforcer.lookup.following import first_plan
from enforcer.lookup.planner import Planned
from enforcer.policy.model import Policy
from enforcer.policy.shrinking import refuse_shrinking
from enforcer.ruleset.transaction import KernelState
from enforcer.ruleset.vocabulary import RegisteredMap
from enforcer.sources.files import Documents, RegistryError
from enforcer.sources.lastgood import (
    FILE,
    LastGood,
    SpoiltError,
    read_last_good,
    set_aside,
)
from enforcer.sources.load import Configuration

# What is wrong with files that are not tried again.
DEADLY = RegistryError(
    [
        Problem(
            *("registry", 0, 0, ""),
            f"the daemon died {MOST_DEATHS} times in a row while it took it in, as when memory "
            "runs out; make it smaller, or give the daemon more memory (MemoryMax= of its unit), "
            "then: enforcer reload",
        )
    ]
)


@dataclass(frozen=True, slots=True)
class Start:
    """`refused`: what is wrong with the files, when `configuration` is the last good one, accepted
    at `accepted_at`. `plan` is of its registry, where it was made already: as of today, or as of
    the day whose registrations the kernel holds.
    """

    configuration: Configuration
    refused: PolicyError | None = None
    accepted_at: datetime | None = None
    plan: Planned | None = field(default=None, compare=False)


def kept_before(directory: Path, config: Path) -> LastGood | None:
    """What an earlier daemon kept of this very configuration. A spoilt snapshot is set aside."""
    try:
        kept = read_last_good(directory)
    except OSError as error:
        log.error("last_good_unreadable", error=f"{directory / FILE}: {error.strerror or error}")
        return None
    except SpoiltError as error:
        try:
            done = f"set aside as {set_aside(directory)}"
        except OSError as failed:
            done = f"left where it is ({failed.strerror or failed})"
        log.error("last_good_spoilt", error=f"{directory / FILE}: {error}", done=done)
        return None
    if kept is not None and kept.config != str(config):
        done = "not used; replaced once this configuration is in force"
        log.warning("last_good_of_another", config=kept.config, done=done)
        return None
    return kept


def choose(
    load: Callable[[], Configuration],
    parse: Callable[[Documents], Policy],
    kept: LastGood | None,
    held: Callable[[], KernelState],
    now: datetime,
    today: Callable[[], tuple[Policy, Documents]],
    *,
    deadly: bool = False,
) -> Start:
    """`parse` reads kept documents as of now; `held` asks the kernel, and may raise KernelError.
    `today` reads the files without the registry, and may raise PolicyError. `deadly`: the registry
    is not even tried where the last good is in force (`loading`). Raises PolicyError when the
    daemon must not start.
    """
    if deadly and kept is not None:
        with suppress(PolicyError):
            before = _kept_configuration(kept, parse, today, DEADLY)
            if (plan := _in_force(before, held, now)) is not None:
                return Start(before, DEADLY, kept.accepted_at, plan)
    try:
        files = load()
        fitting = None if kept is None else _fitting(files, now.date())
    except RegistryError as error:
        if kept is None:
            raise
        before = _kept_configuration(kept, parse, today, error)
        if (plan := _in_force(before, held, now)) is None:
            raise
        return Start(before, error, kept.accepted_at, plan)
    if kept is not None:
        limit = files.policy.registry.shrink_limit
        try:
            refuse_shrinking(kept.registry, files.registry, limit, now.date())
        except PolicyError as error:
            before = _kept_configuration(kept, parse, today, error)
            return Start(before, error, kept.accepted_at)
    return Start(files, plan=fitting)


def _fitting(files: Configuration, day: date) -> Planned:
    """The plan of the files' registry. Raises RegistryError when it is over the budget."""
    try:
        return first_plan(files.registry, day, files.policy.registry.kernel_memory_bytes)
    except PolicyError as error:
        raise RegistryError(list(error.problems), error.count) from error


def _kept_configuration(
    kept: LastGood,
    parse: Callable[[Documents], Policy],
    today: Callable[[], tuple[Policy, Documents]],
    error: PolicyError,
) -> Configuration:
    """What was kept, under today's rules. Raises `error` when they refuse it. Where today's files
    differ from it in windows alone, with these: who declared one while no daemon ran did not mean
    the registry (decision 0046).
    """
    try:
        before = Configuration(parse(kept.documents), kept.registry, kept.documents)
        with suppress(PolicyError):
            policy, documents = today()
            if _without_windows(policy) == _without_windows(before.policy):
                return replace(before, policy=policy, documents=documents)
        return before
    except PolicyError as stale:
        remedy = f"mend the files, or remove {FILE} from the state directory to begin anew"
        first = stale.problems[0].for_all
        log.error("last_good_refused", errors=stale.count, first=first, remedy=remedy)
        raise error from stale


def _without_windows(policy: Policy) -> Policy:
    return replace(policy, windows=(), digest="")


def _in_force(
    before: Configuration, held: Callable[[], KernelState], now: datetime
) -> Planned | None:
    """The plan that the kernel holds of this very registry, as of today or of yesterday."""
    try:
        state = held()
    except KernelError:
        return None
    if not state.exists or state.foreign is not None:
        return None
    budget = before.policy.registry.kernel_memory_bytes
    for day in (now.date(), now.date() - timedelta(days=1)):
        # Too much for today is no reason to let go of what yesterday's left in force (`days`).
        with suppress(PolicyError):
            plan = first_plan(before.registry, day, budget)
            wanted = {RegisteredMap(s).name: s.digest for s in plan.tables.stages}
            if wanted and wanted.items() <= state.ledger.items():
                return plan
    return None
