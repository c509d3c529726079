"""Whether a daemon that is started would take the files, for who is told to start one.

In: the configuration's path, an instant, and what the kernel holds. Out: why it would be refused.
It only reads.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.waiting import Waiting
from enforcer.errors import PolicyError, Problem

if TYPE_CHECKING:
    from enforcer.held import Held
    from enforcer.policy.model import Tls


def why_not(config: Path, now: datetime, held: Held) -> PolicyError | None:
    """What is wrong with the files, where a start ends with it (exit 78). None also where that is
    not certain: this user may not read all that the daemon would, or a fleet's gateway has its
    files elsewhere.
    """
    from enforcer.cli.places import past_unsaid, state_dir
    from enforcer.schedule.orders import Orders
    from enforcer.sources.files import RegistryError
    from enforcer.sources.load import load_configuration
    from enforcer.sources.reading import refusal
    from enforcer.standing import FILE, read_orders

    if not os.path.lexists(config) and os.path.lexists(config.with_name("gateway.yaml")):
        return None
    spoilt: list[Problem] = []
    try:
        orders = read_orders(state_dir())
    except PermissionError:
        return None
    except (OSError, ValueError) as error:
        orders, spoilt = Orders(readable=False), [_spoilt(state_dir() / FILE, error)]
    try:
        with Waiting("reading the configuration"):
            loaded = load_configuration(config, now, orders, past_unsaid(now))
        require_tls(loaded.policy.metrics.tls, config)
    except RegistryError as error:
        # What is in force may be the last good registry, with which a daemon starts all the same.
        found: PolicyError = error
        if held.state is None or held.ours:
            return None
    except PolicyError as error:
        found = error
    else:
        return None
    denied = refusal(PermissionError())
    if any(p.message == denied for p in found.problems):
        return None
    return PolicyError([*spoilt, *found.problems], found.count + len(spoilt)) if spoilt else found


def _spoilt(path: Path, error: Exception) -> Problem:
    """Before the mistakes that there may be for want of it: windows that were closed may clash."""
    why = error.strerror if isinstance(error, OSError) else "is spoilt"
    remedy = "mend it; or move it away, and what was closed out of windows.d as well"
    return Problem(
        str(path), 0, 0, "", f"{why}, so windows that were closed count as open; {remedy}"
    )


def registry_refused(config: Path, now: datetime) -> str | None:
    """The first that is wrong with the registry files, for which a daemon that is started would go
    by the last good ones or not at all. None where it would take them.
    """
    from enforcer.cli.places import orders_unsaid, past_unsaid, state_dir
    from enforcer.policy.shrinking import refuse_shrinking
    from enforcer.sources.lastgood import SpoiltError, read_last_good
    from enforcer.sources.load import load_configuration

    try:
        with Waiting("reading the registry"):
            loaded = load_configuration(config, now, orders_unsaid(), past_unsaid(now))
        with suppress(OSError, SpoiltError):
            kept = read_last_good(state_dir())
            if kept is not None and kept.config == str(config.absolute()):
                limit = loaded.policy.registry.shrink_limit
                refuse_shrinking(kept.registry, loaded.registry, limit, now.date())
    except PolicyError as error:
        return error.problems[0].for_all
    return None


def require_tls(tls: Tls | None, config: Path) -> None:
    """Certificate and key fit, as far as this user may read them. Raises PolicyError."""
    from enforcer.observe.http.tls import TlsError, server_context
    from enforcer.port import tls_files

    if tls is None:
        return
    try:
        server_context(tls_files(tls, config.absolute().parent))
    except TlsError as error:
        if not error.denied:
            raise PolicyError([error.problem(config.name)]) from error
