"""Whether the running daemon may be restarted into the version that was just installed.

For the script of the Debian package (`python -m enforcer.cli.upgrading`): prints why not, or
nothing. A restart adopts what is armed, but not where a clean stop is to release it, nor with a
configuration that the new version refuses.
"""

from __future__ import annotations

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
from enforcer.sources.load import load_configuration

_LATER = "then: systemctl restart enforcer"


def why_not(armed: Sequence[str], policy: Policy | PolicyError) -> str | None:
    """`armed`: the windows that the running daemon has armed. None: it may be restarted."""
    if isinstance(policy, PolicyError):
        return (
            f"this version refuses the configuration ({policy.problems[0].for_all}); the daemon "
            f"that runs goes on with what it has; mend what `enforcer check` names, {_LATER}"
        )
    if armed and policy.gateway.on_stop == "release":
        return (
            f"{', '.join(armed)}: armed, and with on_stop: release a restart would end that; wait "
            f"for the end, {_LATER}"
        )
    return None


def main(argv: Sequence[str]) -> int:
    """Exit 1 when it cannot be told."""
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
    reason = why_not(answer.get("armed", ()), policy)
    if reason is not None:
        print(reason)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
