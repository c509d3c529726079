"""With which configuration a daemon starts: that of its files, or the last good one.

In: how to load the files, what an earlier daemon kept, and a way to ask what the kernel holds. Out:
a configuration, and what was refused when it is not that of the files. A mistake in the policy is
never passed over, and neither is a registry that cannot be read on a gateway where nothing of it is
in force: then a person has to look (exit 78). Decision 0018 says why.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from enforcer import log
from enforcer.errors import KernelError, PolicyError, Problem
from enforcer.loading import MOST_DEATHS
from enforcer.lookup.following import first_plan
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
    at `accepted_at`.
    """

    configuration: Configuration
    refused: PolicyError | None = None
    accepted_at: datetime | None = None


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
    *,
    deadly: bool = False,
) -> Start:
    """`parse` reads kept documents as of now; `held` asks the kernel, and may raise KernelError.
    `deadly`: the files are not even tried where the last good is in force (`loading`). Raises
    PolicyError when the daemon must not start.
    """
    if deadly and kept is not None:
        with suppress(PolicyError):
            before = _kept_configuration(kept, parse, DEADLY)
            if _in_force(before, held, now):
                return Start(before, DEADLY, kept.accepted_at)
    try:
        files = load()
    except RegistryError as error:
        if kept is None:
            raise
        before = _kept_configuration(kept, parse, error)
        if not _in_force(before, held, now):
            raise
        return Start(before, error, kept.accepted_at)
    if kept is not None:
        limit = files.policy.registry.shrink_limit
        try:
            refuse_shrinking(kept.registry, files.registry, limit, now.date())
        except PolicyError as error:
            return Start(_kept_configuration(kept, parse, error), error, kept.accepted_at)
    return Start(files)


def _kept_configuration(
    kept: LastGood, parse: Callable[[Documents], Policy], error: PolicyError
) -> Configuration:
    """What was kept, under today's rules. Raises `error` when they refuse it."""
    try:
        return Configuration(parse(kept.documents), kept.registry, kept.documents)
    except PolicyError as stale:
        remedy = f"mend the files, or remove {FILE} from the state directory to begin anew"
        first = stale.problems[0].for_all
        log.error("last_good_refused", errors=stale.count, first=first, remedy=remedy)
        raise error from stale


def _in_force(before: Configuration, held: Callable[[], KernelState], now: datetime) -> bool:
    """True when the kernel holds this very registry, as of today or of yesterday."""
    try:
        state = held()
    except KernelError:
        return False
    if not state.exists or state.foreign is not None:
        return False
    budget = before.policy.registry.kernel_memory_bytes
    for day in (now.date(), now.date() - timedelta(days=1)):
        tables = first_plan(before.registry, day, budget).tables
        wanted = {RegisteredMap(s).name: s.digest for s in tables.stages}
        if wanted and wanted.items() <= state.ledger.items():
            return True
    return False
