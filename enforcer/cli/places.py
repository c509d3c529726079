"""Where the daemon keeps things: the directories of the contract, or those of the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enforcer.schedule.orders import Orders


def state_dir() -> Path:
    """`/var/lib/enforcer`, or ENFORCER_STATE_DIR."""
    return Path(os.environ.get("ENFORCER_STATE_DIR", "/var/lib/enforcer"))


def run_dir() -> Path:
    """`/run/enforcer`, or ENFORCER_RUN_DIR."""
    return Path(os.environ.get("ENFORCER_RUN_DIR", "/run/enforcer"))


def orders() -> Orders:
    """The standing orders; none when they cannot be read by this user."""
    from enforcer.standing import read_or_none_new

    return read_or_none_new(state_dir())[0]
