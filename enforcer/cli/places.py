"""Where the daemon keeps things: the directories of the contract, or those of the environment."""

from __future__ import annotations

import os
from pathlib import Path


def state_dir() -> Path:
    """`/var/lib/enforcer`, or ENFORCER_STATE_DIR."""
    return Path(os.environ.get("ENFORCER_STATE_DIR", "/var/lib/enforcer"))


def run_dir() -> Path:
    """`/run/enforcer`, or ENFORCER_RUN_DIR."""
    return Path(os.environ.get("ENFORCER_RUN_DIR", "/run/enforcer"))
