"""`enforcer close`: ends an armed window early, or cancels an occurrence that is ahead."""

from __future__ import annotations

import argparse
import sys

from enforcer.cli.deciding import UnreachableError, decided, iso, refused_here, show
from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import instant, utc_short
from enforcer.errors import PolicyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the window")
    parser.add_argument(
        "--at",
        type=instant,
        metavar="T",
        help="the first occurrence from then on (default: the one that is on, also if it is closed "
        "already, else the next)",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer import decisions

    try:
        answer = decided(
            args,
            "close",
            lambda policy, orders, now, who: decisions.close(
                policy, orders, now, args.id, who, args.at
            ),
            id=args.id,
            at=iso(args.at),
        )
    except UnreachableError as error:
        # `disarm` acts in the place of a daemon that hangs, and of no daemon that may live.
        remedy = "" if error.denied else "; `enforcer disarm` works without it"
        print(f"enforcer: {error}{remedy}", file=sys.stderr)
        return EXIT_FAILED
    except PolicyError as error:
        return _refused(args, error)
    # An answer with an occurrence names the windows that were ended by it.
    already = answer.get("occurrence") and not answer.get("windows")
    return show(args, answer, "already closed" if already else "closed")


def _refused(args: argparse.Namespace, refused: PolicyError) -> int:
    """What goes on, and how it is ended all the same."""
    fact = f"nothing is closed: no daemon runs, and {args.config} is refused"
    return refused_here(args, refused, f"{fact}; {_goes_on(args.id)}")


def _goes_on(window: str) -> str:
    from enforcer.cli.arming import held_now
    from enforcer.clock import SystemClock
    from enforcer.policy.words import shown

    held, now = held_now(), SystemClock().now()
    name = shown(window)
    remedy = "to end all that is armed, without a configuration: enforcer disarm"
    if held.state is None:
        return f"whether the kernel arms {name} is not known ({held.reason}); {remedy}"
    if window not in held.armed:
        return f"the kernel does not arm {name}; mend the file, and close it again"
    until = utc_short(now + held.armed[window])
    return f"the kernel still arms {name}, until {until} at the latest; {remedy}"
