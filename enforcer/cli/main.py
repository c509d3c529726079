"""The command line: global options, the verbs, and exit codes.

Exit codes: 0 done · 1 failed · 2 `plan` or `registry diff` found changes · 3 `explain` says
held back · 64 wrong usage · 78 bad configuration. Each verb is a module with `add_arguments` and
`run`; it is imported when it is asked for, so that `enforcer --help` and the daemon start at once.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from enforcer import __version__
from enforcer.errors import KernelError, PolicyError, PromiseError

EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG = 1, 64, 78
DEFAULT_CONFIG = Path("/etc/enforcer/enforcer.yaml")

# In the order of `enforcer --help`.
VERBS = {
    "run": "run the daemon",
    "check": "check the configuration and say what is wrong with it",
    "plan": "show what would change in the kernel, now or at an instant",
    "status": "show what is armed, until when, and how the daemon is",
    "explain": "tell what happens to an address, and why",
    "replay": "tell what would happen to the packets of a capture",
    "watch": "show what passes, as it passes: rates, and sampled headers by service",
    "windows": "list the windows ahead",
    "declare": "write a window for now or soon, load it, and arm it",
    "confirm": "let a provisional window open, or one on trial stay",
    "close": "end an armed window early, or cancel its next occurrence",
    "reload": "have the daemon read its files anew, and say what it made of them",
    "disarm": "end every armed window at once, with or without the daemon",
    "fetch": "get registrations from the feeds of the configuration, once or for ever",
    "registry": "read, check, compare and write registry files of other forms",
    "export": "write the registered set in the language of a router",
    "report": "tell the public what was done in a period, and to how much traffic",
    "audit": "check that the record of what was done is whole",
    "doctor": "look whether this gateway can do it, and what stands in the way",
    "init": "write a commented configuration to begin from",
    "completion": "print the completion script of a shell",
    "follow": "keep this gateway at its fleet's revision, and report what it holds",
    "publish": "sign a configuration as a revision and give it to a fleet",
    "rollback": "give a fleet the files of an earlier revision again",
    "fleet": "show which gateway of a fleet holds what, and which lag",
    "schema": "print the JSON schema of the configuration, for editors",
    "lab": "show the whole product at work on real packets, in namespaces of its own",
}

# What systemd runs: unless a person started it, what they say goes to the journal.
SERVICES = frozenset({"run", "fetch", "follow"})

# What `--format` may say; the third only where a verb's module lists it in FORMATS.
FORMATS = ("text", "json", "ics")


class _Parser(argparse.ArgumentParser):
    """Wrong usage is exit 64, and options are never abbreviated: scripts outlive short names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """A slip of the finger is answered with what was meant, and not with the whole list."""
        from difflib import get_close_matches

        if action.choices is not None and value not in action.choices:
            near = get_close_matches(str(value), map(str, action.choices), 1)
            if near:
                raise argparse.ArgumentError(
                    action, f"{value!r} is not known; did you mean {near[0]}"
                )
        super()._check_value(action, value)


class _VerbParser(_Parser):
    """Takes its arguments from the verb's module once the verb turns out to be the one."""

    verb: str | None = None

    # The signature is overloaded in argparse; only this form is used by it and by us.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self.verb is not None:
            verb_module(self.verb).add_arguments(self)
            self.verb = None
        return super().parse_known_args(args, namespace)


def formats_of(verb: str) -> tuple[str, ...]:
    """What `--format` may say of a verb."""
    return tuple(getattr(verb_module(verb), "FORMATS", FORMATS[:2]))


def verb_module(verb: str) -> Any:
    return importlib.import_module(f"enforcer.cli.{verb}")


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
        choices=FORMATS,
        default=default("text"),
        help="text for people, JSON with stable keys for programs",
    )
    parser.add_argument(
        "--color",
        choices=("auto", "never"),
        default=default("auto"),
        help="colours on a terminal, or never",
    )


def build_parser() -> argparse.ArgumentParser:
    """Each verb's own arguments are added when it is the one that is asked for."""
    parser = _Parser(
        prog="enforcer",
        description="Keeps registered VPN traffic flowing while the network is disrupted.",
        epilog="Exit codes: 0 done, 1 failed, 2 plan or registry diff found changes, "
        "3 explain says held back, 64 wrong usage, 78 bad configuration.",
    )
    parser.add_argument("--version", action="version", version=f"enforcer {__version__}")
    _globals(parser, defaults=True)
    verbs = parser.add_subparsers(
        dest="verb", metavar="VERB", required=True, parser_class=_VerbParser
    )
    for name, text in VERBS.items():
        sub = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        _globals(sub, defaults=False)
        sub.verb = name
    return parser


def subverbs(
    parser: argparse.ArgumentParser, acts: Mapping[str, str]
) -> dict[str, argparse.ArgumentParser]:
    """A parser for each act of a verb (`args.act`), with the global options."""
    made = parser.add_subparsers(dest="act", metavar="ACT", required=True, parser_class=_Parser)
    found: dict[str, argparse.ArgumentParser] = {}
    for name, text in acts.items():
        found[name] = made.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        _globals(found[name], defaults=False)
    return found


def main(argv: list[str] | None = None) -> int:
    """Runs one command; its exit code. Raises SystemExit for `--help` and wrong usage."""
    parser = build_parser()
    given = sys.argv[1:] if argv is None else argv
    for number, argument in enumerate(given, 1):
        # Bytes that are no text come as surrogates, which no file and no record would take.
        if not _is_text(argument):
            parser.error(f"argument {number}: {argument!r} is not UTF-8; write it in UTF-8")
    args = parser.parse_args(given)
    if args.format not in formats_of(args.verb):
        parser.error(f"argument --format: {args.verb} has no form {args.format}")
    try:
        code = int(verb_module(args.verb).run(args))
        # What is still in the buffer may meet a closed pipe or a full disk: here, not at exit.
        sys.stdout.flush()
    except PolicyError as error:
        whole = args.verb not in SERVICES or sys.stderr.isatty()
        return failed(args, str(error if whole else error.for_all), EXIT_CONFIG)
    except (KernelError, PromiseError) as error:
        return failed(args, f"enforcer: {error}", EXIT_FAILED)
    except BrokenPipeError:
        # `enforcer windows | head`: the reader has seen enough.
        _silence_stdout()
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # `enforcer plan > file`, on a disk that is full.
        if error.errno != errno.ENOSPC:
            raise
        print(f"enforcer: standard output: {error.strerror}", file=sys.stderr)
        _silence_stdout()
        return EXIT_FAILED
    return code


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def usage_error(verb: str, message: str) -> NoReturn:
    """For what argparse cannot see: arguments that do not fit together. Exits 64."""
    print(f"enforcer {verb}: {message}; see enforcer {verb} --help", file=sys.stderr)
    raise SystemExit(EXIT_USAGE)


def failed(args: argparse.Namespace, why: str, code: int) -> int:
    """Why nothing came of it: for people on standard error, for programs as an answer."""
    if args.format == "json" and args.verb not in SERVICES:
        from enforcer.cli.terminal import print_json

        print_json({"error": why})
    else:
        print(why, file=sys.stderr)
    return code


def _silence_stdout() -> None:
    """The interpreter flushes standard output once more when it ends; let that succeed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def entry() -> NoReturn:
    sys.exit(main())
