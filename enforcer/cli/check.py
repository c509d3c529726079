"""`enforcer check`: what is wrong with the configuration: all of enforcer.yaml and the windows at
once, and then, for it takes them to read it, all of the registry.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from enforcer.cli.main import EXIT_CONFIG
from enforcer.cli.terminal import Painter, counted, print_json
from enforcer.cli.waiting import Waiting
from enforcer.errors import PolicyError

if TYPE_CHECKING:
    from datetime import datetime

    from enforcer.policy.model import Policy
    from enforcer.schedule.orders import Orders

# Of windows that are over, the last ones are named.
_NAMED = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import orders, past
    from enforcer.cli.startable import require_tls
    from enforcer.clock import SystemClock
    from enforcer.sources.load import load_configuration

    try:
        # From now on, as the daemon looks: what is past can break nothing any more.
        with Waiting("reading the configuration"):
            now, standing = SystemClock().now(), orders()
            config = load_configuration(args.config, now, standing, past(now))
        require_tls(config.policy.metrics.tls, args.config)
    except PolicyError as error:
        return _refused(args, error)
    policy, registry = config.policy, config.registry
    over, notes = _over(policy, standing, now), _missing(policy)
    if args.format == "json":
        notes = [*([f"windows: {over}"] if over else []), *notes]
        print_json({"ok": True, "errors": [], **({"notes": notes} if notes else {})})
    else:
        paint = Painter(args)
        print(
            paint("valid", "green") + f": {counted(len(policy.windows), 'window')}"
            f"{f' ({over})' if over else ''}, "
            f"{counted(len(policy.estates), 'estate')}, "
            f"{counted(len(registry), 'registration')} "
            f"in {counted(len(policy.registry.files), 'file')}"
        )
        for note in notes:
            print(paint(f"note: {note}", "yellow"))
    return 0


def _missing(policy: Policy) -> list[str]:
    """What of the files is not on this machine, as far as that can be seen."""
    from enforcer.absent import elsewhere, missing_devices, warned
    from enforcer.uplinks import devices_here

    if not (devices := devices_here()):
        return []
    if (nowhere := elsewhere(policy, devices)) is not None:
        return [nowhere]
    return (warned(policy, missing_devices(policy, devices)) or "").splitlines()


def _over(policy: Policy, standing: Orders, now: datetime) -> str:
    """A window of the wrong year is right in every other way: how many will do nothing any more."""
    from enforcer.schedule.spans import END
    from enforcer.schedule.timeline import occurrences

    ahead = {order.window for order in standing.every if order.forgettable_at > now}
    over = [
        w.id
        for w in policy.windows
        if w.id not in ahead and next(occurrences(w, now, END), None) is None
    ]
    before = "…, " if len(over) > _NAMED else ""
    return f"{len(over):,} over: {before}{', '.join(over[-_NAMED:])}" if over else ""


def _refused(args: argparse.Namespace, error: PolicyError) -> int:
    if args.format == "json":
        problems = [
            {
                "file": p.file,
                "line": p.line,
                "column": p.column,
                "path": p.path,
                "message": p.message,
            }
            for p in error.problems
        ]
        print_json({"ok": False, "count": error.count, "errors": problems})
    else:
        print(error)
    return EXIT_CONFIG
