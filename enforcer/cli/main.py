"""The command line: global options, the verbs, and exit codes.

Exit codes: 0 done · 1 failed · 2 `plan` found changes · 3 `explain` says held back · 64 wrong
usage · 78 bad configuration. Each verb is a module with `HELP`, `add_arguments` and `run`; it is
imported when it is asked for, so that `enforcer --help` and the daemon start at once.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import NoReturn

from enforcer import __version__
from enforcer.errors import KernelError, PolicyError

EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG = 1, 64, 78
DEFAULT_CONFIG = Path("/etc/enforcer/enforcer.yaml")

# In the order of `enforcer --help`.
VERBS = {
    "run": "run the daemon",
    "check": "check the configuration and say everything that is wrong with it",
    "plan": "show what would change in the kernel, now or at an instant",
    "status": "show what is armed, until when, and how the daemon is",
    "explain": "tell what happens to an address, and why",
    "windows": "list the windows ahead",
    "declare": "write a window for now or soon, load it, and arm it",
    "confirm": "let a provisional window open, or one on trial stay",
    "close": "end an armed window early, or cancel its next occurrence",
    "disarm": "end every armed window at once, with or without the daemon",
    "schema": "print the JSON schema of the configuration, for editors",
    "lab": "show the whole product at work on real packets, in namespaces of its own",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _globals(parser: argparse.ArgumentParser, *, defaults: bool) -> None:
    """Global options stand before or after the verb; only the outer parser has defaults."""

    def default(value: object) -> object:
        return value if defaults else argparse.SUPPRESS

    parser.add_argument(
        "--config",
        type=Path,
        default=default(DEFAULT_CONFIG),
        metavar="FILE",
        help=f"configuration file (default {DEFAULT_CONFIG})",
    )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default=default("text"),
        help="text for people, JSON with stable keys for programs",
    )
    parser.add_argument(
        "--color",
        choices=("auto", "never"),
        default=default("auto"),
        help="colours on a terminal, or never",
    )


def _parser(verb: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="enforcer",
        description="Keeps registered VPN traffic flowing while the network is disrupted.",
        epilog="Exit codes: 0 done, 1 failed, 2 plan found changes, 3 explain says held back, "
        "64 wrong usage, 78 bad configuration.",
    )
    parser.add_argument("--version", action="version", version=f"enforcer {__version__}")
    _globals(parser, defaults=True)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for name, text in VERBS.items():
        sub = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        _globals(sub, defaults=False)
        if name == verb:
            importlib.import_module(f"enforcer.cli.{name}").add_arguments(sub)
    return parser


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    verb = next((a for a in arguments if a in VERBS), None)
    args = _parser(verb).parse_args(arguments)
    try:
        return int(importlib.import_module(f"enforcer.cli.{args.verb}").run(args))
    except PolicyError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except KernelError as error:
        print(f"enforcer: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:
        # `enforcer windows | head`: the reader has seen enough.
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


def entry() -> NoReturn:
    sys.exit(main())
