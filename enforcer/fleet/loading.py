"""The daemon is asked to load what was put on the disk, and nothing but its answer counts.

In: a way to ask. Out: whether it was taken and what else is wrong, or an exception that says who
must act. A daemon that turns away or hangs has not taken anything, as far as anybody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Taken:
    """`problem`: what else is wrong; `asked`: by the daemon, else left for one that starts."""

    problem: str | None
    asked: bool


def load(ask: Ask, check: Check, main: Path, accepts_shrink: str) -> Taken:
    """Has the daemon load `main`, or, where none runs, leaves it for one that starts. Raises
    RefusedError or PolicyError when it is not taken, UnansweredError when nobody says.
    """
    accepted = {"accept_shrink": accepts_shrink} if accepts_shrink else {}
    try:
        answer = ask("reload", wait_s=DAEMON_S, **accepted)
    except (NoDaemonError, DeniedError) as error:
        if not isinstance(error, NoDaemonError) or not error.none_runs:
            raise UnansweredError(str(error)) from error
        # Nobody else would notice that it is wrong before the daemon has to start with it.
        check(main)
        return Taken(str(error), asked=False)
    if answer.get("refused"):
        raise RefusedError(str(answer.get("error")))
    # Taken all the same, where something else is wrong: the kernel, say. The daemon tries again.
    return Taken(None if answer.get("error") is None else str(answer["error"]), asked=True)


def answers(ask: Ask) -> bool:
    """Whether there is a daemon to ask."""
    try:
        ask("status")
    except (NoDaemonError, DeniedError):
        return False
    return True
