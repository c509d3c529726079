"""Whether the running daemon may be restarted into the version that was just installed.

For the script of the Debian package (`python -m enforcer.cli.upgrading --unit TEXT`, as the
daemon's user): prints why not, or nothing. A restart adopts what is armed, but not where a clean
stop is to release it, nor with a configuration that the new version refuses.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enforcer.cli.main import DEFAULT_CONFIG
from enforcer.cli.places import orders, run_dir
from enforcer.clock import SystemClock
from enforcer.control import DeniedError, NoDaemonError, ask
from enforcer.errors import PolicyError
from enforcer.policy.model import Policy
from enforcer.sources.files import FOLLOWED
from enforcer.sources.load import load_configuration

_LATER = "then: systemctl restart enforcer"


def config_of(unit: str) -> Path:
    """The configuration that a restart begins with. `unit` is what `systemctl show` gives of
    ExecStart; where that names none it is the usual one or, on a gateway without, its fleet's.
    """
    found = re.search(r"argv\[\]=[^;]*? --config[ =]([^ ;]+)", unit)
    if found is not None:
        return Path(found[1])
    return FOLLOWED if FOLLOWED.exists() and not DEFAULT_CONFIG.exists() else DEFAULT_CONFIG


def why_not(
    armed: Sequence[str], policy: Policy | PolicyError, config: Path = DEFAULT_CONFIG
) -> str | None:
    """`armed`: the windows that the running daemon has armed. None: it may be restarted."""
    if isinstance(policy, PolicyError):
        check = (
            "enforcer check" if config == DEFAULT_CONFIG else f"enforcer check --config {config}"
        )
        return (
            f"this version refuses the configuration ({policy.problems[0].for_all}); the daemon "
            f"that runs goes on with what it has; mend what `{check}` names, {_LATER}"
        )
    if armed and policy.gateway.on_stop == "release":
        return (
            f"{', '.join(armed)}: armed, and with on_stop: release a restart would end that; wait "
            f"for the end, {_LATER}"
        )
    return None


def main(argv: Sequence[str]) -> int:
    """`argv`: a configuration, or --unit and what systemctl shows of the unit. Exit 1 when it
    cannot be told.
    """
    match argv:
        case ["--unit", unit]:
            config = config_of(unit)
        case _:
            config = Path(argv[0]) if argv else DEFAULT_CONFIG
    policy: Policy | PolicyError
    try:
        policy = load_configuration(config, SystemClock().now(), orders()).policy
    except PolicyError as error:
        policy = error
    answer: dict[str, Any] = {}
    try:
        answer = ask(run_dir(), "status")
    except NoDaemonError:
        # One that hangs releases nothing: a restart mends it.
        pass
    except DeniedError as error:
        print(error, file=sys.stderr)
        return 1
    reason = why_not(answer.get("armed", ()), policy, config)
    if reason is not None:
        print(reason)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
