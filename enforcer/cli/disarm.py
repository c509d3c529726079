"""`enforcer disarm`: ends every armed window at once. The daemon does it when there is one;
otherwise everything of ours is taken out of the kernel here and now.
"""

from __future__ import annotations

import argparse
import getpass
import sys

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import print_json
from enforcer.errors import KernelError, PolicyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import run_dir
    from enforcer.control import NoDaemonError, ask

    try:
        answer = ask(run_dir(), "disarm")
    except NoDaemonError:
        return _without_daemon(args)
    if args.format == "json":
        print_json(answer)
    elif answer["error"]:
        print(f"enforcer: {answer['error']}", file=sys.stderr)
    else:
        closed = ", ".join(answer["windows"]) or "nothing was armed"
        print(f"disarmed: {closed}")
        if answer["warning"]:
            print(answer["warning"], file=sys.stderr)
    return EXIT_FAILED if answer["error"] else 0


def _without_daemon(args: argparse.Namespace) -> int:
    from enforcer.clock import SystemClock
    from enforcer.kernel.nft import NftKernel
    from enforcer.ruleset.diff import teardown

    kernel = NftKernel()
    clock = SystemClock()
    # Another program's transaction may come between the read and ours: read again.
    for attempt in range(5):
        change = teardown(kernel.read())
        if change is None:
            break
        try:
            kernel.commit(change, clock.now_ns())
        except KernelError:
            if attempt == 4:
                raise
    warning = _remember(args)
    if args.format == "json":
        print_json({"error": None, "daemon": False, "warning": warning})
    else:
        print("disarmed: no daemon runs; everything of enforcer is out of the kernel")
        if warning:
            print(warning, file=sys.stderr)
    return 0


def _remember(args: argparse.Namespace) -> str | None:
    """Notes the occurrences that are on, so that a daemon started later leaves them closed."""
    from enforcer.cli.places import orders, state_dir
    from enforcer.clock import SystemClock
    from enforcer.decisions import close_all, keep
    from enforcer.schedule.agenda import on_at
    from enforcer.sources.files import load_policy

    now = SystemClock().now()
    before = orders()
    try:
        policy, _ = load_policy(args.config)
    except PolicyError:
        later = "a daemon started now would arm them again: edit their windows first"
        return f"{args.config} cannot be read, so the windows that are on are not noted; {later}"
    decision = close_all(before, now, on_at(policy, before, now), getpass.getuser())
    return keep(state_dir(), before, decision)
