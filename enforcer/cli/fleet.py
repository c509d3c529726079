"""`enforcer fleet`: which gateway holds what, and which lag; `promote` and `forget` beside it."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from enforcer.cli.fleets import add_file, failed, seconds, settings, store
from enforcer.cli.main import EXIT_FAILED, usage_error
from enforcer.cli.terminal import Painter, counted, print_json, table

if TYPE_CHECKING:
    from enforcer.fleet.settings import Settings
    from enforcer.fleet.store import Report, Store


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
        "--force", action="store_true", help="promote although a canary has not taken it well"
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.fleet.etcd import EtcdError
    from enforcer.fleet.publishing import promote
    from enforcer.fleet.store import RefusedError

    wait_s = seconds("fleet", "--wait", args.wait)
    where = settings(args.fleet)
    try:
        with store(where) as there:
            if args.act == "forget":
                return _forget(args, there)
            if args.act == "promote":
                number = _number(args.name) or there.head("canary")[0]
                promote(there, number, force=args.force)
                _promoted(args, where, number)
                return 0
            return _status(args, where, there, wait_s or 0.0)
    except (EtcdError, RefusedError) as error:
        return failed(error)


def _number(text: str | None) -> int | None:
    if text is not None and not (text.isascii() and text.isdigit()):
        usage_error("fleet", f"promote {text}: a revision is a number, like 42")
    return None if text is None else int(text)


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
        heads = {track: there.head(track)[0] for track in ("stable", "canary")}
        rows = [_row(name, report, heads) for name, report in there.reports().items()]
        converged = all(row["converged"] for row in rows)
        if converged or time.monotonic() >= until:
            break
        time.sleep(0.2)
    if args.format == "json":
        heads_json = {track: number or None for track, number in heads.items()}
        print_json(
            {"fleet": where.fleet, "heads": heads_json, "converged": converged, "gateways": rows}
        )
    else:
        print("\n".join(_text(where.fleet, heads, rows, Painter(args))))
    return 0 if converged else EXIT_FAILED


def _row(name: str, report: Report | None, heads: dict[str, int]) -> dict[str, Any]:
    if report is None:
        why = "does not report; look whether enforcer follow runs there"
        return {"gateway": name, "converged": False, "reports": False, "problem": why}
    wanted = heads.get(report.track, 0)
    return {
        "gateway": name,
        "reports": True,
        "track": report.track,
        "revision": report.revision,
        "wanted": wanted or None,
        "refused": report.refused,
        "armed": list(report.armed),
        "problem": report.problem,
        "version": report.version,
        "labels": dict(report.labels),
        "since": report.at,
        "converged": report.healthy and report.revision == (wanted or None),
    }


def _text(
    fleet: str, heads: dict[str, int], rows: list[dict[str, Any]], paint: Painter
) -> list[str]:
    named = ", ".join(f"{track} {number or 'none'}" for track, number in heads.items())
    behind = sum(not row["converged"] for row in rows)
    lines = [f"fleet {fleet}: {counted(len(rows), 'gateway')}; revisions: {named}", ""]
    cells = [
        (
            row["gateway"],
            row.get("track", "-"),
            str(row.get("revision") or "-"),
            ", ".join(row.get("armed", ())) or "-",
            "ok" if row["converged"] else str(_first_line(row)),
        )
        for row in rows
    ]
    if cells:
        header = ("gateway", "track", "revision", "armed", "state")
        lines += [*table(cells, header), ""]
    if not rows:
        lines.append("no gateway has reported yet; run on each: enforcer follow")
    elif behind:
        lines.append(paint(f"{behind} of {counted(len(rows), 'gateway')} not converged", "red"))
    else:
        lines.append(paint("converged", "green"))
    return lines


def _first_line(row: dict[str, Any]) -> str:
    if row.get("refused") is not None:
        return f"refuses {row['refused']}: {_line(row['problem'])}"
    if row["problem"] is not None:
        return _line(row["problem"])
    return f"behind: {row['wanted'] or 'none'} is wanted"


def _line(text: str | None) -> str:
    return text.splitlines()[0] if text else "no reason given"
