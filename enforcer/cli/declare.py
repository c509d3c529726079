"""`enforcer declare`: writes a windows file, but only one that the whole configuration accepts, and
has the daemon load it. A refused one leaves no file.
"""

from __future__ import annotations

import argparse
import getpass
import os
import socket
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.deciding import (
    Answer,
    UnreachableError,
    ask_daemon,
    decided,
    seconds,
    show,
    span,
)
from enforcer.cli.main import EXIT_CONFIG, EXIT_FAILED, EXIT_USAGE
from enforcer.cli.terminal import instant_with_zone, print_json

if TYPE_CHECKING:
    from enforcer.cli.declaring import Declaration
    from enforcer.errors import Problem
    from enforcer.policy.model import Policy
    from enforcer.schedule.orders import Orders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--for", dest="lasts", required=True, metavar="SPAN", help="how long, like 90m or 2h"
    )
    parser.add_argument(
        "--start",
        type=instant_with_zone,
        metavar="T",
        help="when it opens, with Z or an offset (default now)",
    )
    parser.add_argument(
        "--measure",
        action="append",
        required=True,
        metavar="M",
        help="guard=ESTATE, mark=0x51, mark=0x51,cs5 or reserve=LINK:40%%; may be repeated",
    )
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the record")
    parser.add_argument("--reference", required=True, metavar="TEXT", help="ticket or order")
    parser.add_argument("--declared-by", metavar="TEXT", help="who answers for it (default: you)")
    parser.add_argument("--id", metavar="ID", help="the window's id (default: by its opening)")
    parser.add_argument("--stage", action="store_true", help="guard counts and holds back nothing")
    parser.add_argument(
        "--lease",
        choices=("gateway", "until-end"),
        default="gateway",
        help="until-end: stay armed to the end even when the daemon is gone (default gateway)",
    )
    parser.add_argument(
        "--confirm-within",
        type=span,
        metavar="SPAN",
        help="close by itself so long after opening unless `enforcer confirm ID` comes",
    )
    parser.add_argument("--dry-run", action="store_true", help="check and print it; write nothing")


_NOTHING = "nothing is declared, and what is in force stays"
_NOT_OVER_OTHERS = "correct what is named, or move its file out of windows.d, and declare again"


def run(args: argparse.Namespace) -> int:
    from enforcer.errors import PolicyError

    try:
        return _run(args)
    except PolicyError as error:
        if args.format != "json":
            raise
        _refused(args, str(error))
        return EXIT_CONFIG


def _refused(args: argparse.Namespace, why: str) -> int:
    """Nothing is declared: for people on standard error, for programs as an answer like others."""
    if args.format == "json":
        print_json({"error": why, "warning": None, "windows": [], "occurrence": None})
    else:
        print(f"enforcer: {why}", file=sys.stderr)
    return EXIT_FAILED


def _run(args: argparse.Namespace) -> int:
    from enforcer.cli.declaring import end_first, free_id, whole_seconds, windows_file
    from enforcer.cli.places import orders, past
    from enforcer.clock import SystemClock
    from enforcer.errors import PolicyError
    from enforcer.sources.files import WINDOWS_FOLDER, local_windows, policy_alone

    now, standing = SystemClock().now(), orders()
    starts_at = whole_seconds(args.start or now)
    if _over_before_confirmed(args, starts_at, now):
        print(
            "enforcer declare: --confirm-within: the window is over before the time to confirm it "
            "is; give less, or a longer --for",
            file=sys.stderr,
        )
        return EXIT_USAGE
    try:
        present, _ = policy_alone(args.config, now, standing)
    except PolicyError as error:
        # It is not in the files, and nothing is to be moved.
        unknown = standing.unread is not None and set(error.problems) == {standing.unread}
        said = _NOTHING if unknown else f"{_NOTHING}; {_NOT_OVER_OTHERS}"
        if args.format == "json":
            _refused(args, f"{error}\n{said}")
        else:
            print(f"{error}\nenforcer: {said}", file=sys.stderr)
        return EXIT_CONFIG
    window_id = args.id or free_id(starts_at, [w.id for w in present.windows])
    declared = _declaration(args, window_id, starts_at)
    try:
        text = windows_file(declared)
    except ValueError as error:
        print(f"enforcer declare: --measure: {error}", file=sys.stderr)
        return EXIT_USAGE
    # As the id will be a file's name: what `policy` would refuse must not become a path first.
    safe = "".join(c for c in window_id if c.isascii() and (c.isalnum() or c in "_-"))
    # No id is longer, and no name of a file may be as long as an argument.
    # What was written into a fleet's revision, the next one would take away.
    folder = local_windows(args.config.parent) or WINDOWS_FOLDER
    name = f"{folder}/{safe[:64] or 'window'}.yaml"
    path = args.config.parent / name
    if path.exists():
        end = end_first(present, standing, now, window_id)
        return _refused(args, f"{path} exists; choose another --id, or {end or 'remove it'}")
    more = {name: text.encode()}
    try:
        policy, _ = policy_alone(args.config, now, standing, more, past=past(now))
    except PolicyError as error:
        told = [_of_this(p, name, standing) for p in error.problems]
        raise PolicyError(told, error.count) from error
    if (refused := _refused_trial(args, policy, standing, now, window_id)) is not None:
        return _refused(args, refused)
    if args.dry_run:
        shown = {"error": None, "file": str(path), "text": text}
        print_json(shown) if args.format == "json" else print(f"# {path}\n{text}", end="")
        return 0
    return _declare(args, path, text, window_id)


def _of_this(problem: Problem, name: str, standing: Orders) -> Problem:
    """A mistake in the file `name`, which is not written; or that nobody here knows whether it fits
    beside other windows.
    """
    from enforcer.cli.declaring import of_options

    if problem.file == name:
        return of_options(problem)
    if problem == standing.unread:
        return replace(problem, message=f"{problem.message}; nothing is declared")
    return problem


def _over_before_confirmed(args: argparse.Namespace, starts_at: datetime, now: datetime) -> bool:
    """Whether a trial would outlast its window: nothing would be left to confirm."""
    from enforcer.policy.times import duration

    if args.confirm_within is None:
        return False
    try:
        ends_at = starts_at + duration(args.lasts)
        return bool(max(starts_at, now) + args.confirm_within > ends_at > now)
    except (ValueError, OverflowError):
        # The policy says what is wrong with it.
        return False


def _declaration(args: argparse.Namespace, window_id: str, starts_at: datetime) -> Declaration:
    from enforcer.cli.declaring import Declaration

    # Behind sudo it is the person who counts.
    person = os.environ.get("SUDO_USER") or getpass.getuser()
    return Declaration(
        id=window_id,
        starts_at=starts_at,
        lasts=args.lasts,
        measures=tuple(args.measure),
        reason=args.reason,
        reference=args.reference,
        declared_by=args.declared_by or f"{person}@{socket.gethostname()}",
        stage=args.stage,
        until_end=args.lease == "until-end",
        on_trial=args.confirm_within is not None,
    )


def _declare(args: argparse.Namespace, path: Path, text: str, window_id: str) -> int:
    from enforcer import decisions
    from enforcer.cli.places import past
    from enforcer.errors import PolicyError
    from enforcer.sources.files import local_windows

    try:
        write_new(path, text)
    except OSError as error:
        return _refused(args, f"{path}: {error.strerror}; nothing is declared")
    within = args.confirm_within
    answer: Answer
    try:
        answer = decided(
            args,
            "declared",
            lambda policy, orders, now, who: decisions.declare(
                policy, orders, now, window_id, who, within, past(now)
            ),
            id=window_id,
            within_s=seconds(within),
        )
    except (UnreachableError, PolicyError) as error:
        answer = {"error": str(error)}
    if answer["error"] and not answer.get("windows"):
        answer = {**answer, "error": f"{answer['error']}\n{_take_back(path)}"}
    if answer.get("daemon") is False and not answer["error"]:
        answer = {**answer, "warning": _without_registry(args, answer["warning"])}
    code = show(args, {**answer, "file": str(path)}, "declared")
    if code == 0 and args.format != "json" and local_windows(args.config.parent) is not None:
        print("on this gateway alone, whatever its fleet publishes; for all: enforcer publish")
    return code


def _without_registry(args: argparse.Namespace, warning: str) -> str:
    """Without a daemon: what may keep one from starting, and the window from opening."""
    from enforcer.cli.startable import registry_refused
    from enforcer.clock import SystemClock

    refused = registry_refused(args.config, SystemClock().now())
    if refused is None:
        return warning
    return (
        f"{warning}\nthe registry files are refused: a daemon that is started goes by the "
        "registrations of before where these are in the kernel yet, and else does not start; mend "
        f"them first: {refused}"
    )


def _take_back(path: Path) -> str:
    """Removes a refused file, and lets a daemon that has read it forget it."""

    try:
        path.unlink()
        ask_daemon("reload")
    except OSError as error:
        return f"{path} could not be removed again ({error.strerror}); remove it"
    except UnreachableError as error:
        return f"nothing is declared, and {path} is removed again; but {error}"
    return f"nothing is declared, and {path} is removed again"


def write_new(path: Path, text: str) -> None:
    """Writes a file whole and synced, in the place of none. Raises OSError (EEXIST)."""
    from enforcer.cli.init import make_folder
    from enforcer.disk import sync_directory

    make_folder(path.parent)
    # Files that begin with a dot are not read as windows.
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("x", encoding="utf-8") as file:
            # Whatever the umask is, the daemon's user has to read it; the folder keeps others out.
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    sync_directory(path.parent)


def _refused_trial(
    args: argparse.Namespace, policy: Policy, orders: Orders, now: datetime, window_id: str
) -> str | None:
    """What would be refused of a trial: its ceilings count as if it were confirmed."""
    from enforcer.cli.places import past
    from enforcer.decisions import RefusedError, declare

    try:
        declare(policy, orders, now, window_id, "", args.confirm_within, past(now))
    except RefusedError as refused:
        return str(refused)
    return None
