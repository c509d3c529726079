"""`enforcer check`: everything that is wrong with the configuration, at once."""

from __future__ import annotations

import argparse

from enforcer.cli.main import EXIT_CONFIG
from enforcer.cli.terminal import Painter, counted, print_json
from enforcer.errors import PolicyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import orders
    from enforcer.clock import SystemClock
    from enforcer.sources.load import load_configuration

    try:
        # From now on, as the daemon looks: what is past can break nothing any more.
        config = load_configuration(args.config, SystemClock().now(), orders())
    except PolicyError as error:
        return _refused(args, error)
    if args.format == "json":
        print_json({"ok": True, "errors": []})
    else:
        policy, registry = config.policy, config.registry
        print(
            Painter(args)("valid", "green") + f": {counted(len(policy.windows), 'window')}, "
            f"{counted(len(policy.estates), 'estate')}, "
            f"{counted(len(registry), 'registration')} "
            f"in {counted(len(policy.registry.files), 'file')}"
        )
    return 0


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
