"""Where the daemon keeps things: the directories of the contract, or those of the environment."""

from __future__ import annotations

import grp
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from enforcer.schedule.orders import Orders
    from enforcer.schedule.past import PastGuards


def state_dir() -> Path:
    """`/var/lib/enforcer`, or ENFORCER_STATE_DIR."""
    return Path(os.environ.get("ENFORCER_STATE_DIR", "/var/lib/enforcer"))


def run_dir() -> Path:
    """`/run/enforcer`, or ENFORCER_RUN_DIR."""
    return Path(os.environ.get("ENFORCER_RUN_DIR", "/run/enforcer"))


def orders() -> Orders:
    """The standing orders. When they cannot be read it is said on standard error, because then
    closed windows look as if they were on, and confirmed ones as if they were not.
    """
    from enforcer.schedule.orders import Orders
    from enforcer.standing import FILE, read_orders

    path = state_dir() / FILE
    try:
        return read_orders(state_dir())
    except (OSError, ValueError) as error:
        fact = error.strerror if isinstance(error, OSError) else f"spoilt ({error})"
        remedy = f"; {_who_may_read(path)}" if isinstance(error, PermissionError) else ""
        print(
            f"{path}: {fact}; windows closed or confirmed are told as if they were not{remedy}",
            file=sys.stderr,
        )
        return _denied(path) if isinstance(error, PermissionError) else Orders(readable=False)


def orders_unsaid() -> Orders:
    """As `orders`, for whoever has to know only what of the files is right: nothing is printed."""
    from enforcer.schedule.orders import Orders
    from enforcer.standing import FILE, read_orders

    try:
        return read_orders(state_dir())
    except PermissionError:
        return _denied(state_dir() / FILE)
    except (OSError, ValueError):
        return Orders(readable=False)


def _denied(path: Path) -> Orders:
    from enforcer.errors import Problem
    from enforcer.schedule.orders import Orders

    fact = "may not be read by this user, so whether windows clash, or one of them was closed, is"
    problem = Problem(str(path), 0, 0, "", f"{fact} not known; {_who_may_read(path)}")
    return Orders(readable=False, unread=problem)


def _who_may_read(path: Path) -> str:
    """By the group of the file, or of its folder where that is closed to whoever asks."""
    for place, bit in ((path, stat.S_IRGRP), (path.parent, stat.S_IXGRP)):
        with suppress(OSError, KeyError):
            found = place.stat()
            if found.st_mode & bit and found.st_gid != 0:
                return f"run as root or as a member of group {grp.getgrgid(found.st_gid).gr_name}"
            return "run as root"
    return "run as root"


def past(now: datetime) -> PastGuards:
    """Guard on the record, which the ceilings count. When the record cannot be read it is said on
    standard error: the daemon may refuse what is accepted here.
    """
    try:
        return _on_record(now)
    except OSError as error:
        place = error.filename or state_dir()
        print(
            f"{place}: {error.strerror}; guard of the past 30 days is not counted", file=sys.stderr
        )
        return ()


def past_unsaid(now: datetime) -> PastGuards:
    """As `past`; nothing is printed."""
    try:
        return _on_record(now)
    except OSError:
        return ()


def _on_record(now: datetime) -> PastGuards:
    """Raises OSError where there is a record that cannot be read."""
    from enforcer.observe.audit_files import KEEP_FOR, records
    from enforcer.observe.audit_windows import WORDS, History

    try:
        return History(records(state_dir(), WORDS)).guards(now, KEEP_FOR)
    except FileNotFoundError:
        return ()
