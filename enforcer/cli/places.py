"""Where the daemon keeps things: the directories of the contract, or those of the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from enforcer.closures import Closure


def state_dir() -> Path:
    """`/var/lib/enforcer`, or ENFORCER_STATE_DIR."""
    return Path(os.environ.get("ENFORCER_STATE_DIR", "/var/lib/enforcer"))


def run_dir() -> Path:
    """`/run/enforcer`, or ENFORCER_RUN_DIR."""
    return Path(os.environ.get("ENFORCER_RUN_DIR", "/run/enforcer"))


def closures() -> frozenset[Closure]:
    """The occurrences that were closed early. When that note cannot be read it is said on standard
    error, because then closed windows look as if they were on.
    """
    from enforcer.closures import FILE, read_closures

    try:
        return read_closures(state_dir())
    except (OSError, ValueError) as error:
        fact = error.strerror if isinstance(error, OSError) else f"spoilt ({error})"
        print(
            f"{state_dir() / FILE}: {fact}; windows closed early are told as if they were not",
            file=sys.stderr,
        )
        return frozenset()
