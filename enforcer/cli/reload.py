"""`enforcer reload`: has the daemon read its files anew, and says what it made of them."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from enforcer.cli.main import EXIT_CONFIG, EXIT_FAILED
from enforcer.cli.terminal import Painter, print_json
from enforcer.cli.waiting import Waiting

BUSY = "the daemon is busy, with another load, say; waiting for up to {:.0f} s"
_TOKEN = re.compile(r"[0-9a-f]{8,16}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept-shrink",
        type=_token,
        metavar="TOKEN",
        help="accept that the update of this token takes more than shrink_limit from a category; "
        "the refusal in the log and in `enforcer status` names it",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import run_dir
    from enforcer.control import LOAD_S, DeniedError, NoDaemonError, ask

    try:
        with Waiting("the daemon is at it", once=BUSY.format(LOAD_S)):
            answer = ask(run_dir(), "reload", wait_s=LOAD_S, accept_shrink=args.accept_shrink)
    except DeniedError as error:
        return _failed(args, str(error))
    except NoDaemonError as error:
        return _failed(args, f"{error}; {error.remedy}")
    said = answer.get("error")
    # As ExecReload it speaks to the journal.
    details = answer.pop("details", said)
    if args.format == "json":
        print_json(answer)
    elif said:
        print(details if sys.stderr.isatty() else said, file=sys.stderr)
        if answer.get("refused"):
            print("refused; what was loaded before stays in force", file=sys.stderr)
    else:
        _show(args, answer)
    if not said:
        return 0
    return EXIT_CONFIG if answer.get("refused") else EXIT_FAILED


def _show(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    paint = Painter(args, sys.stdout)
    print(paint("loaded", "green") + "; `enforcer status` shows what is in force")
    if "armed" in answer:
        print("armed now: " + (paint(", ".join(answer["armed"]), "green") or "nothing"))
    if answer.get("ended"):
        print("ended: " + paint(", ".join(answer["ended"]), "yellow"))
    if answer.get("warning"):
        sys.stdout.flush()
        print(answer["warning"], file=sys.stderr)


def _failed(args: argparse.Namespace, reason: str) -> int:
    if args.format == "json":
        print_json({"error": reason})
    else:
        print(f"enforcer: {reason}", file=sys.stderr)
    return EXIT_FAILED


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no token; the refusal in `enforcer status` names it"
        )
    return text
