"""The daemon is asked to load what was put on the disk, and nothing but its answer counts.

In: a way to ask. Out: what else is wrong although it was taken, or an exception that says who must
act. A daemon that turns away or hangs has not taken anything, as far as anybody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from enforcer.control import DeniedError, NoDaemonError
from enforcer.fleet.store import RefusedError

# A million rows take the daemon some seconds, and it may be at something else.
DAEMON_S = 60.0

Ask = Callable[..., Mapping[str, Any]]
Check = Callable[[Path], None]


class UnansweredError(Exception):
    """A daemon runs, or may run, and did not say whether it holds what it was asked to load."""


def load(ask: Ask, check: Check, main: Path, accepts_shrink: str) -> str | None:
    """Has the daemon load `main`, or, where none runs, leaves it for one that starts. Returns what
    else is wrong, None when all is well. Raises RefusedError or PolicyError when it is not taken,
    UnansweredError when nobody says.
    """
    accepted = {"accept_shrink": accepts_shrink} if accepts_shrink else {}
    try:
        answer = ask("reload", wait_s=DAEMON_S, **accepted)
    except (NoDaemonError, DeniedError) as error:
        if not isinstance(error, NoDaemonError) or not error.none_runs:
            raise UnansweredError(str(error)) from error
        # Nobody else would notice that it is wrong before the daemon has to start with it.
        check(main)
        return str(error)
    if answer.get("refused"):
        raise RefusedError(str(answer.get("error")))
    # Taken all the same, where something else is wrong: the kernel, say. The daemon tries again.
    return None if answer.get("error") is None else str(answer["error"])
