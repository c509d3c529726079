"""`enforcer audit verify [FILE…]`: is the record whole, and which record is the first that is not.

It needs no daemon and no configuration, and works on a copy of the files on another machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import (
    Painter,
    counted,
    fields,
    print_json,
    terminal_columns,
    utc_short,
)
from enforcer.cli.waiting import Waiting

if TYPE_CHECKING:
    from enforcer.observe.audit_chain import Record
    from enforcer.observe.audit_verify import Verified


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("act", choices=("verify",), help="check the chain of the record")
    parser.add_argument(
        "files",
        nargs="*",
        # Without a default argparse calls it required, when the other one is missing.
        default=[],
        type=Path,
        metavar="FILE",
        help="files of the record, or one directory with them (default: the state directory)",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import state_dir
    from enforcer.observe.audit_verify import verify_directory, verify_files

    paths: list[Path] = args.files or [state_dir()]
    try:
        one = len(paths) == 1 and paths[0].is_dir()
        with Waiting("reading the record"):
            told = verify_directory(paths[0]) if one else verify_files(paths)
    except OSError as error:
        place = error.filename or ", ".join(map(str, paths))
        fact = f"{place}: cannot be read: {error.strerror or error}"
        remedy = "name the files of the record, or run as root or the daemon's user"
        print(f"enforcer: {fact}; {remedy}", file=sys.stderr)
        return EXIT_FAILED
    if args.format == "json":
        print_json(view(told))
    else:
        print("\n".join(text(told, Painter(args), terminal_columns())))
        if told.broken is not None:
            print(f"enforcer: {told.broken}", file=sys.stderr)
    return 0 if told.ok else EXIT_FAILED


def view(told: Verified) -> dict[str, Any]:
    broken = told.broken
    return {
        "ok": told.ok,
        "records": told.records,
        "first": _link(told.begins),
        "newest": _link(told.newest),
        "files": [
            {"file": read.file, "records": read.records, "first": read.first, "last": read.last}
            for read in told.files
        ],
        "broken": broken
        and {
            "file": broken.file,
            "line": broken.line,
            "seq": broken.seq,
            "expected": broken.expected,
            "found": broken.found,
            "remedy": broken.remedy,
        },
        "notes": told.notes,
    }


def _link(record: Record | None) -> dict[str, Any] | None:
    from enforcer.observe.views import utc_text

    if record is None:
        return None
    return {"seq": record.seq, "digest": record.digest, "at": utc_text(record.at)}


def text(told: Verified, paint: Painter, columns: int | None = None) -> list[str]:
    chain = paint("whole", "green") if told.ok else paint("broken", "red")
    size = f"{counted(told.records, 'record')} in {counted(len(told.files), 'file')}"
    rows = [("chain", f"{chain}, {size}")]
    if told.begins is not None and told.newest is not None:
        rows += [
            ("first", f"record {told.begins.seq}, {utc_short(told.begins.at)}"),
            ("newest", f"record {told.newest.seq}, {utc_short(told.newest.at)}"),
            ("digest", told.newest.digest),
        ]
    rows += [("note", note) for note in told.notes]
    return fields(rows, columns)
