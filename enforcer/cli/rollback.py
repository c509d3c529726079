"""`enforcer rollback N`: the files of an earlier revision again, as a new one with a new number."""

from __future__ import annotations

import argparse

from enforcer.cli.fleets import add_file, settings
from enforcer.cli.publish import add_key, deliver, who


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "number", type=_number, metavar="NUMBER", help="the revision whose files to go back to"
    )
    add_file(parser)
    add_key(parser)


def _number(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:18]) > 0:
        return int(text[:18])
    raise argparse.ArgumentTypeError(f"{text!r} is no revision; `publish` told its number")


def run(args: argparse.Namespace) -> int:
    from enforcer.fleet.publishing import Draft

    note = args.note or f"back to revision {args.number}"
    both = ("stable", "canary")
    draft = Draft("", None, who(), note, both, args.number, args.accept_shrink)
    return deliver(args, settings(args.fleet), draft)
