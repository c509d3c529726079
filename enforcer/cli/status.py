"""`enforcer status`: what the daemon says of itself; without one, what the kernel still holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import (
    Painter,
    cancelled,
    counted,
    fields,
    fitted,
    measures_text,
    print_json,
    span,
    terminal_columns,
    unless_confirmed,
    utc_short,
)
from enforcer.errors import KernelError

if TYPE_CHECKING:
    from enforcer.held import Held


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import run_dir
    from enforcer.clock import SystemClock
    from enforcer.control import DeniedError, NoDaemonError, TurnedAwayError, ask

    try:
        answer = ask(run_dir(), "status")
    except DeniedError as error:
        return _unanswered(args, str(error), denied=not isinstance(error, TurnedAwayError))
    except NoDaemonError as error:
        return _unanswered(args, str(error), remedy=error.remedy)
    if args.format == "json":
        print_json(answer)
    elif "gateway" not in answer:
        raise KernelError("status", 0, str(answer.get("error", "the answer is not of enforcer")))
    else:
        print("\n".join(text(answer, SystemClock().now(), Painter(args), terminal_columns())))
    return 0


def _unanswered(
    args: argparse.Namespace, reason: str, *, remedy: str = "", denied: bool = False
) -> int:
    """What the kernel does comes first: of large files it takes seconds to tell the remedy."""
    from enforcer.cli.arming import held_now
    from enforcer.clock import SystemClock

    held = held_now()
    now = SystemClock().now()
    if args.format != "json":
        paint, columns = Painter(args), terminal_columns()
        print("\n".join(unanswered_text(reason, held, now, paint, columns, denied=denied)))
        sys.stdout.flush()
    if remedy:
        reason += _first_mended(args, now, held) + remedy
    if args.format == "json":
        print_json(unanswered_view(reason, held, now, denied=denied))
    else:
        print(f"enforcer: {reason}", file=sys.stderr)
    return EXIT_FAILED


def _first_mended(args: argparse.Namespace, now: datetime, held: Held) -> str:
    """What is said between a daemon that does not answer and the advice to start one: where that
    would be refused, what is to be mended first.
    """
    from enforcer.cli.startable import why_not

    refused = why_not(args.config, now, held)
    if refused is None:
        return "; "
    told = f"{counted(refused.count, 'mistake')}, the first: {refused.problems[0].for_all}"
    return (
        f"; a start with {args.config} would be refused:\n{told}\nmend that first, told in full by "
        f"enforcer check --config {args.config}; then "
    )


def unanswered_view(
    reason: str, held: Held, now: datetime, *, denied: bool = False
) -> dict[str, Any]:
    """`armed` is None when the kernel cannot be asked, and `daemon` when this user must not ask
    one: unknown is not the same as nothing.
    """
    from enforcer.observe.views import utc_text

    windows = [
        {"id": w, "remaining_s": round(left.total_seconds(), 3), "until": utc_text(now + left)}
        for w, left in held.armed.items()
    ]
    known = held.state is not None
    return {
        "error": reason,
        "daemon": None if denied else False,
        "armed": list(held.armed) if known else None,
        "kernel": {"windows": windows if known else None, "reason": held.reason},
    }


def unanswered_text(
    reason: str,
    held: Held,
    now: datetime,
    paint: Painter,
    columns: int | None = None,
    *,
    denied: bool = False,
) -> list[str]:
    """What the kernel does by itself, and for how long. `denied`: there may be a daemon, which this
    user must not ask.
    """
    if held.state is None:
        kernel = f"unknown ({held.reason})"
    elif held.reason is not None:
        kernel = f"not ours ({held.reason})"
    elif held.armed:
        kernel = "\n".join(
            paint(window, "yellow")
            + f" for {span(left)} more, until {utc_short(now + left)} at the latest, "
            "then the kernel disarms it by itself"
            for window, left in held.armed.items()
        )
        kernel += "\nto end it now: enforcer disarm"
    else:
        kernel = "nothing" + _left_behind(held)
    silent = (
        paint("not known: no permission to ask it", "yellow")
        if denied
        else paint("does not answer", "red")
    )
    return fields([("daemon", silent), ("armed", kernel)], columns)


def _left_behind(held: Held) -> str:
    """What a window that ended without the daemon leaves: chains that do nothing, and its HTB."""
    state = held.state
    hooked = sum(chain.hook is not None for chain in state.chains.values()) if state else 0
    shaped = sorted(s.device for s in state.shapers) if state else []
    chains = (
        "1 hooked chain that does nothing"
        if hooked == 1
        else f"{hooked} hooked chains that do nothing"
    )
    left = [chains] if hooked else []
    left += [f"the HTB of {device}, which shapes it to its rate" for device in shaped]
    if not left:
        return "; traffic passes as if enforcer were not there"
    return f"; of ended windows there is left {' and '.join(left)}: enforcer disarm takes it out"


def text(s: dict[str, Any], now: datetime, paint: Painter, columns: int | None = None) -> list[str]:
    """The daemon's answer for people. What needs a hand comes first. `columns`: a table that is
    wider becomes blocks.
    """
    config = s["config"]
    rows = [
        ("gateway", f"{s['gateway']}, enforcer {s['version']}"),
        ("armed", _armed(s, now, paint)),
    ]
    if s.get("due"):
        rows.append(("due", paint(f"{', '.join(s['due'])}: not armed{_why(s)}", "yellow")))
    if s["missing_devices"]:
        missing = ", ".join(s["missing_devices"])
        rows.append(("missing", paint(f"{missing}: armed again when back", "yellow")))
    if not config["ok"]:
        refused = paint("refused; what was loaded before stays in force:", "red")
        rows.append(("reload", f"{refused}\n{config['error']}"))
    if s["problem"]:
        rows.append(("problem", paint(s["problem"], "red")))
    if (s.get("last_good") or {}).get("problem"):
        rows.append(("state", paint(s["last_good"]["problem"], "red")))
    if s.get("audit", {}).get("problem"):
        rows.append(("record", paint(s["audit"]["problem"], "red")))
    rows += [("feed", line) for line in _feeds(s, now, paint)]
    clock = "synchronised" if s["clock"]["synchronised"] else paint("not synchronised", "yellow")
    rows += [
        ("clock", clock),
        ("prefixes", f"{s['prefixes']['ipv4']:,} IPv4, {s['prefixes']['ipv6']:,} IPv6"),
        ("loaded", _ago(config["loaded_at"], now)),
        (
            "drift",
            f"repaired {counted(s['drift_repairs'], 'time')}" if s["drift_repairs"] else "none",
        ),
    ]
    if (sampled := _sampled(s.get("samples"), paint)) is not None:
        rows.append(("sampled", sampled))
    if "audit" in s:
        newest = f"{counted(s['audit']['records'], 'record')}, newest {s['audit']['digest'][:16]}"
        rows.append(("audit", newest))
    lines = fields(rows, columns)
    if s["windows"]:
        shown = [
            (
                w["id"],
                w["state"],
                _both(w, "starts_at"),
                _closes(w),
                measures_text(w["measures"], stage=w.get("stage", False)),
            )
            for w in s["windows"]
        ]
        head, blocks = fitted(shown, ("window", "state", "opens", "closes", "measures"), columns)
        lines += ["", *(paint(line, "bold") for line in head), *chain.from_iterable(blocks)]
    return lines


def _why(s: dict[str, Any]) -> str:
    """Why what is due is not in force; nothing where the line of the problem says it."""
    waits = s["waiting_for_clock"] and not s["clock"]["synchronised"]
    return " until the clock is right" if waits else ""


def _feeds(s: dict[str, Any], now: datetime, paint: Painter) -> Iterator[str]:
    """A line for each feed: how old what is in force may be at most, and what is wrong."""
    from enforcer.policy.words import plain

    for feed in s.get("feeds", ()):
        checked = feed["checked_at"]
        line = f"{feed['feed']}: newest as of {_ago(checked, now)}" if checked else feed["feed"]
        if feed["serial"] is not None:
            line += f", serial {feed['serial']}"
        problem = plain(feed["problem"] or "", 4000)
        yield f"{line}\n{paint(problem, 'yellow')}" if problem else line


def _sampled(samples: dict[str, Any] | None, paint: Painter) -> str | None:
    """What the self-check has found; None when there is nothing to tell of."""
    if samples is None or not (samples["problem"] or samples["judged"]):
        return None
    if samples["problem"]:
        return paint(f"none: {samples['problem']}", "yellow")
    judged = f"{counted(samples['judged'], 'packet')} judged again"
    if not samples["mismatches"]:
        return f"{judged}, none otherwise than the registry"
    return paint(f"{judged}, {samples['mismatches']:,} otherwise than the registry", "red")


def _armed(s: dict[str, Any], now: datetime, paint: Painter) -> str:
    if not s["armed"]:
        return "nothing"
    ends = {w["id"]: w for w in reversed(s["windows"]) if w["state"] == "armed"}
    lines = []
    for window in s["armed"]:
        line = paint(window, "green")
        if window in ends:
            view = ends[window]
            left, end = datetime.fromisoformat(view["ends_at"]) - now, _both(view, "ends_at")
            until = unless_confirmed(window, end) if view.get("confirm_by") else f"until {end}"
            staged = ", guard (staged)" if view.get("stage") else ""
            line += f"{staged}, {span(left)} more, {until}"
        lines.append(line)
    return "\n".join(lines)


def _closes(window: dict[str, Any]) -> str:
    """When it closes; of what is closed, when that was, as far as the daemon tells."""
    if "closed_at" not in window:
        return _both(window, "ends_at")
    at = _both(window, "closed_at")
    begins, closed = (datetime.fromisoformat(window[k]) for k in ("starts_at", "closed_at"))
    return cancelled(at) if closed <= begins else at


def _both(window: dict[str, Any], key: str) -> str:
    """The instant in the window's zone and in UTC; once where the two are one."""
    local = datetime.fromisoformat(window[f"{key}_local"])
    name = window["timezone"]
    if name == "UTC":
        return utc_short(local)
    try:
        zone = f"{local.astimezone(ZoneInfo(name)):%Z}"
    except (ValueError, ZoneInfoNotFoundError):
        # An offset, or a zone that only the daemon's machine has.
        zone = name
    return f"{local:%Y-%m-%d %H:%M:%S} {zone} ({utc_short(local)})"


def _ago(instant: str, now: datetime) -> str:
    then = datetime.fromisoformat(instant)
    return f"{utc_short(then)}, {span(now - then)} ago"
