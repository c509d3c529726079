"""`enforcer fleet`: which gateways hold what they have to, and which lag; `promote` and `forget`
beside it.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from enforcer.cli.fleets import add_file, failed, seconds, settings, store
from enforcer.cli.main import EXIT_FAILED, usage_error
from enforcer.cli.terminal import Painter, counted, fitted, print_json, terminal_columns
from enforcer.policy.words import shown

if TYPE_CHECKING:
    from enforcer.fleet.reports import Report
    from enforcer.fleet.settings import Settings
    from enforcer.fleet.store import Store

TRACKS = ("stable", "canary")
# What a person reads through; programs are given all.
MOST_LISTED = 40
# What the summary counts: how it is called there, and in a row.
_COUNTED = (
    ("armed", "armed"),
    ("windows of their own", "local"),
    ("refused", "refused"),
    ("version", "version"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "act",
        nargs="?",
        choices=("status", "promote", "forget"),
        default="status",
        help="status: who holds what (default); promote: give the canaries' revision to all; "
        "forget: take a gateway that is gone off the list",
    )
    parser.add_argument("name", nargs="?", help="with promote a revision, with forget a gateway")
    add_file(parser)
    parser.add_argument(
        "--wait", metavar="TIME", help="wait so long, like 30s, for all to hold their revision"
    )
    parser.add_argument(
        "--all", action="store_true", help="list every gateway, and not those alone that lag"
    )
    parser.add_argument(
        "--force", action="store_true", help="promote although a canary has not taken it well"
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.fleet.publishing import promote
    from enforcer.fleet.store import RefusedError
    from enforcer.fleet.troubles import EtcdError

    wait_s = seconds("fleet", "--wait", args.wait)
    where = settings(args.fleet)
    try:
        with store(where) as there:
            if args.act == "forget":
                return _forget(args, there)
            if args.act == "promote":
                named = _number(args.name)
                number = there.head("canary")[0] if named is None else named
                promote(there, number, force=args.force)
                _promoted(args, where, number)
                return 0
            return _status(args, where, there, wait_s or 0.0)
    except (EtcdError, RefusedError) as error:
        return failed(error)


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text) > 0):
        usage_error("fleet", f"promote {shown(text)}: a revision is a number, like 42")
    return int(text)


def _forget(args: argparse.Namespace, there: Store) -> int:
    if args.name is None:
        usage_error("fleet", "forget which gateway? name it")
    reports = there.reports()
    if args.name not in reports:
        return failed(f"no gateway {args.name} in the fleet; there are: {', '.join(reports)}")
    if reports[args.name] is not None:
        return failed(f"{args.name} reports still; stop enforcer follow there first")
    there.forget(args.name)
    return 0


def _promoted(args: argparse.Namespace, where: Settings, number: int) -> None:
    if args.format == "json":
        print_json({"fleet": where.fleet, "promoted": number})
    else:
        print(f"revision {number} of {where.fleet} goes to all gateways now")


def _status(args: argparse.Namespace, where: Settings, there: Store, wait_s: float) -> int:
    until = time.monotonic() + wait_s
    while True:
        heads, wrong = _heads(there)
        tracks = there.roster()
        rows = [
            _row(name, report, tracks.get(name, ""), heads)
            for name, report in there.reports(tracks).items()
        ]
        converged = not wrong and all(row["converged"] for row in rows)
        if converged or time.monotonic() >= until:
            break
        time.sleep(0.2)
    if args.format == "json":
        print_json(
            {
                "fleet": where.fleet,
                "heads": {track: number or None for track, number in heads.items()},
                "problems": wrong,
                "converged": converged,
                "gateways": rows,
            }
        )
    else:
        listed = rows if args.all else [row for row in rows if not row["converged"]]
        most = len(rows) if args.all else MOST_LISTED
        print("\n".join((*_summary(where.fleet, heads, rows), *wrong, "")))
        print("\n".join((*_listed(listed, most), *_verdict(rows, converged, Painter(args)))))
    return 0 if converged else EXIT_FAILED


def _heads(there: Store) -> tuple[dict[str, int], list[str]]:
    """Track → the number that its gateways have to hold (0: none), and what is no number."""
    from enforcer.fleet.store import RefusedError

    heads, wrong = dict.fromkeys(TRACKS, 0), []
    for track in TRACKS:
        try:
            heads[track] = there.head(track)[0]
        except RefusedError as error:
            wrong.append(f"track {track}: {error}")
    return heads, wrong


def _row(name: str, report: Report | None, track: str, heads: dict[str, int]) -> dict[str, Any]:
    """`track`: the one that it was of when it reported last."""
    if report is None:
        why = "does not report; look whether enforcer follow runs there"
        silent = {"gateway": name, "converged": False, "reports": False, "problem": why}
        return {**silent, "track": track} if track else silent
    wanted = heads.get(report.track, 0)
    return {
        "gateway": name,
        "reports": True,
        "track": report.track,
        "revision": report.revision,
        "wanted": wanted or None,
        "refused": report.refused,
        "armed": list(report.armed),
        "local": list(report.local),
        "problem": report.problem,
        "version": report.version,
        "labels": dict(report.labels),
        "since": report.at,
        "converged": report.healthy and report.revision == (wanted or None),
    }


def _summary(fleet: str, heads: dict[str, int], rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"fleet {fleet}: {counted(len(rows), 'gateway')}"
    for track, number in heads.items():
        of_track = [row for row in rows if row.get("track") == track]
        hold = sum(row.get("revision", 0) == (number or None) for row in of_track)
        yield f"  {track}: revision {number or 'none'}, held by {hold:,} of {len(of_track):,}"
    if silent := sum(not row["reports"] for row in rows):
        yield f"  silent: {silent:,}"
    for what, key in _COUNTED:
        found = Counter(_each(row.get(key)) for row in rows)
        del found[""]
        if found and (what != "version" or len(found) > 1):
            counts = ", ".join(f"{name} ({number:,})" for name, number in found.most_common(5))
            yield f"  {what}: {counts}{', …' if len(found) > 5 else ''}"


def _each(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _listed(rows: list[dict[str, Any]], most: int) -> Iterator[str]:
    cells = [
        (
            row["gateway"],
            row.get("track", "-"),
            str(row.get("revision") or "-"),
            _each(row.get("armed")) or "-",
            _own(row) if row["converged"] else str(_first_line(row)),
        )
        for row in rows[:most]
    ]
    if cells:
        header = ("gateway", "track", "revision", "armed", "state")
        head, blocks = fitted(cells, header, terminal_columns())
        yield from chain(head, *blocks)
        if len(rows) > most:
            yield f"… and {len(rows) - most:,} more; for every gateway: --all, or --format json"
        yield ""


def _verdict(rows: list[dict[str, Any]], converged: bool, paint: Painter) -> Iterator[str]:
    behind = sum(not row["converged"] for row in rows)
    if not rows:
        yield "no gateway has reported yet; run on each: enforcer follow"
    elif behind:
        yield paint(f"{behind:,} of {counted(len(rows), 'gateway')} not converged", "red")
    elif converged:
        yield paint("converged", "green")


def _first_line(row: dict[str, Any]) -> str:
    if row.get("refused") is not None:
        return f"refuses {row['refused']}: {_line(row['problem'])}"
    if row["problem"] is not None:
        return _line(row["problem"])
    return f"behind: {row['wanted'] or 'none'} is wanted"


def _own(row: dict[str, Any]) -> str:
    local = _each(row.get("local"))
    return f"ok; declared there: {local}" if local else "ok"


def _line(text: str | None) -> str:
    return text.splitlines()[0] if text else "no reason given"
