"""`enforcer completion SHELL`: has a shell complete verbs, options, files and windows.

`enforcer completion windows` prints the ids that the scripts ask for, one a line, and nothing where
the configuration cannot be read: a person who presses a key wants no message.
"""

from __future__ import annotations

import argparse
from datetime import timedelta

from enforcer.cli.terminal import print_json

SHELLS = ("bash", "zsh", "fish")
_AHEAD = timedelta(days=400)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shell",
        choices=(*SHELLS, "windows"),
        help="for the script of a shell: source <(enforcer completion bash); "
        "enforcer completion fish | source. `windows` prints what the scripts ask for: the ids of "
        "windows that are on or ahead, and not closed",
    )


def run(args: argparse.Namespace) -> int:
    if args.shell == "windows":
        ids = _window_ids(args)
        print_json(ids) if args.format == "json" else print("\n".join(ids))
        return 0
    from enforcer.cli import shells
    from enforcer.cli.grammar import read_grammar

    script = shells.SCRIPTS[args.shell](read_grammar())
    print_json({"shell": args.shell, "script": script}) if args.format == "json" else print(
        script, end=""
    )
    return 0


def _window_ids(args: argparse.Namespace) -> list[str]:
    from enforcer.cli.places import orders_unsaid
    from enforcer.clock import SystemClock
    from enforcer.errors import PolicyError
    from enforcer.schedule.agenda import entries
    from enforcer.sources.files import load_policy

    now, orders = SystemClock().now(), orders_unsaid()
    try:
        policy, _ = load_policy(args.config, now=now, orders=orders)
    except PolicyError:
        return []
    found = entries(policy, orders, now, now + _AHEAD)
    # One that was closed stays so: nothing is left to close or to confirm.
    open_ = (entry for entry in found if entry.state(now) != "closed")
    return list(dict.fromkeys(entry.activation.id for entry in open_))
