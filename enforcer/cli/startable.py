"""Whether a daemon that is started would take the files, for who is told to start one.

In: the configuration's path, an instant, and what the kernel holds. Out: why it would be refused.
It only reads.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.waiting import Waiting
from enforcer.errors import PolicyError

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
    from enforcer.standing import read_orders

    if not os.path.lexists(config) and os.path.lexists(config.with_name("gateway.yaml")):
        return None
    try:
        orders = read_orders(state_dir())
    except PermissionError:
        return None
    except (OSError, ValueError):
        orders = Orders(readable=False)
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
    return None if any(p.message == denied for p in found.problems) else found


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
