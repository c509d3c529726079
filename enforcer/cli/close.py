"""`enforcer close`: ends an armed window early, or cancels an occurrence that is ahead."""

from __future__ import annotations

import argparse
import sys

from enforcer.cli.deciding import UnreachableError, decided, iso, show
from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import instant


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the window")
    parser.add_argument(
        "--at",
        type=instant,
        metavar="T",
        help="the first occurrence from then on (default: the one that is armed, else the next)",
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
        print(f"enforcer: {error}; `enforcer disarm` works without it", file=sys.stderr)
        return EXIT_FAILED
    # An answer with an occurrence names the windows that were ended by it.
    already = answer.get("occurrence") and not answer.get("windows")
    return show(args, answer, "already closed" if already else "closed")
