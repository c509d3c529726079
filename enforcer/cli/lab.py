"""`enforcer lab`: the main job on real packets, in namespaces of its own. `make run` calls it.

In: the parsed arguments. Out: the exit code. It never touches the host's network.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

REGISTRY_SIZE, LARGEST_REGISTRY = 20_000, 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Builds a gateway with subscribers, an estate and an Internet from network namespaces, "
        "runs the daemon in it, opens and closes windows, and shows what passed. Needs root; "
        "takes about 40 seconds; cleans up always."
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave it running, and say how to look into it"
    )
    parser.add_argument(
        "--clean", action="store_true", help="remove what kept or broken labs left, and end"
    )
    parser.add_argument(
        "--registry-size",
        type=_size,
        default=REGISTRY_SIZE,
        metavar="N",
        help=f"registered prefixes to generate (default {REGISTRY_SIZE})",
    )


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= LARGEST_REGISTRY:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {LARGEST_REGISTRY}")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """0: all was what the promises say (or all is cleaned); 1: not, or it could not be run."""
    from enforcer.lab.machine import LabError

    if args.clean:
        from enforcer.lab.footprint import clean

        if os.geteuid() != 0:
            print(
                "lab: cleaning up needs root; run it again with sudo, or as root", file=sys.stderr
            )
            return 1
        try:
            lines = clean()
        except LabError as failure:
            print(failure, file=sys.stderr)
            return 1
        print("\n".join(lines or ["nothing of a lab is left"]))
        return 0

    from enforcer.cli.terminal import Painter
    from enforcer.lab.run import run_lab
    from enforcer.lab.screen import Screen
    from enforcer.lab.table import HEIGHT, WIDTH

    as_json = args.format == "json"
    terminal = (sys.stderr if as_json else sys.stdout).isatty()
    size = shutil.get_terminal_size()
    # A table that wraps or scrolls off cannot be drawn over.
    fits = as_json or (size.columns >= WIDTH and size.lines > HEIGHT)
    screen = Screen(json=as_json, color=Painter(args, sys.stdout).on, live=terminal and fits)
    return run_lab(args.registry_size, args.keep, screen)
