"""`enforcer confirm`: a provisional window may open, or one declared on trial may stay."""

from __future__ import annotations

import argparse

from enforcer.cli.deciding import (
    UnreachableError,
    decided,
    iso,
    let_values_be_negative,
    refused_here,
    seconds,
    show,
    signed_span,
)
from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import instant, utc_short
from enforcer.errors import PolicyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    let_values_be_negative(parser)
    parser.add_argument("id", metavar="ID", help="the window")
    parser.add_argument(
        "--shift",
        type=signed_span,
        metavar="SPAN",
        help="move the occurrence, like 1d or -1d (default: where it is declared)",
    )
    parser.add_argument(
        "--at",
        type=instant,
        metavar="T",
        help="the first occurrence from then on (default: the first that is not over)",
    )


def run(args: argparse.Namespace) -> int:
    import sys

    from enforcer import decisions
    from enforcer.cli.places import past

    try:
        answer = decided(
            args,
            "confirm",
            lambda policy, orders, now, who: decisions.confirm(
                policy, orders, now, args.id, who, args.shift, args.at, past(now)
            ),
            id=args.id,
            shift_s=seconds(args.shift),
            at=iso(args.at),
        )
    except UnreachableError as error:
        print(f"enforcer: {error}", file=sys.stderr)
        return EXIT_FAILED
    except PolicyError as error:
        fact = f"nothing is confirmed: no daemon runs, and {args.config} is refused"
        remedy = "mend the file, and confirm it again"
        return refused_here(args, error, f"{fact}; {_goes_on(args.id)}; {remedy}")
    return show(args, answer, "confirmed")


def _goes_on(window: str) -> str:
    """Whether there is still something to confirm, and for how long."""
    from enforcer.cli.arming import held_now
    from enforcer.clock import SystemClock
    from enforcer.policy.words import shown

    held, now = held_now(), SystemClock().now()
    name = shown(window)
    if held.state is None:
        return f"whether the kernel arms {name} is not known ({held.reason})"
    if window not in held.armed:
        return f"the kernel does not arm {name}"
    until = utc_short(now + held.armed[window])
    return f"the kernel arms {name} until {until} at the latest"
