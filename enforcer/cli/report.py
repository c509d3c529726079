"""`enforcer report`: what was done in a period, for the public, as text, JSON or one HTML file.

It reads the record alone, needs no daemon, and works on a copy of it (ENFORCER_STATE_DIR).
"""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.main import EXIT_FAILED, usage_error
from enforcer.cli.terminal import instant, terminal_columns

if TYPE_CHECKING:
    from enforcer.observe.report import Report

_PERIOD = timedelta(days=30)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="begins",
        type=instant,
        metavar="T",
        help="first instant or day, UTC unless it has an offset (default: 30 days before the end)",
    )
    parser.add_argument(
        "--to", dest="ends", type=instant, metavar="T", help="where it ends (default now)"
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write it there as one page for a browser, which loads nothing from anywhere",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import state_dir
    from enforcer.clock import SystemClock
    from enforcer.observe.audit_files import records
    from enforcer.observe.audit_verify import verify_directory
    from enforcer.observe.report import build

    now = SystemClock().now()
    ends = args.ends or now
    begins = args.begins or ends - _PERIOD
    if begins >= ends:
        fault = "--from is not before --to" if args.ends else "--from is not in the past; give --to"
        usage_error("report", fault)
    directory = state_dir()
    try:
        verified = verify_directory(directory)
        report = build(records(directory), verified, begins, ends, now)
    except OSError as error:
        place = error.filename or directory
        fact = f"{place}: cannot be read: {error.strerror or error}"
        remedy = "run as root or the daemon's user"
        if isinstance(error, FileNotFoundError):
            remedy = "no daemon has kept a record there; ENFORCER_STATE_DIR names another directory"
        print(f"enforcer: {fact}; {remedy}", file=sys.stderr)
        return EXIT_FAILED
    if args.html is not None:
        code = _write(args.html, rendered(report, "html"))
    else:
        print(rendered(report, args.format), end="")
        code = 0
    return _warn(report) or code


def rendered(report: Report, form: str) -> str:
    if form == "html":
        from enforcer.observe.report_html import page

        return page(report)
    if form == "json":
        import json

        from enforcer.observe.report import view

        return json.dumps(view(report), indent=2, ensure_ascii=False) + "\n"
    from enforcer.observe.report_text import lines

    return "\n".join(lines(report, terminal_columns())) + "\n"


def _write(path: Path, text: str) -> int:
    from enforcer.disk import write_synced

    try:
        # For the public: unlike what the daemon keeps, everybody may read it.
        write_synced(path, [text.encode("utf-8", "backslashreplace")], 0o644)
    except OSError as error:
        print(f"enforcer: {path}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def _warn(report: Report) -> int:
    """A report out of a broken record is given, and said to be one."""
    if report.chain_ok:
        return 0
    print(f"enforcer: {report.chain}", file=sys.stderr)
    return EXIT_FAILED
