"""`enforcer windows`: what is ahead, in the window's zone and in UTC."""

from __future__ import annotations

import argparse
from datetime import timedelta

from enforcer.cli.terminal import (
    Painter,
    both_times,
    counted,
    instant,
    print_json,
    span,
    table,
    utc_short,
)

# Longer than any schedule is worth printing, and short of where dates end.
MOST_DAYS = 3660


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= MOST_DAYS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to {MOST_DAYS:,}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="after", type=instant, metavar="T", help="first instant (default now)"
    )
    parser.add_argument("--days", type=_days, default=30, metavar="N", help="how far (default 30)")


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import closures
    from enforcer.clock import SystemClock
    from enforcer.daemon import occurrence_state
    from enforcer.observe.snapshot import Occurrence
    from enforcer.observe.views import window_views
    from enforcer.schedule.timeline import coming
    from enforcer.sources.files import load_policy

    policy, _ = load_policy(args.config)
    now = SystemClock().now()
    after = args.after or now
    closed = closures()
    found = [
        Occurrence(a, occurrence_state(a, now, closed))
        for a in coming(policy, after, after + timedelta(days=args.days))
    ]
    if args.format == "json":
        print_json(window_views(found))
        return 0
    if not found:
        print(f"no window in {counted(args.days, 'day')} from {utc_short(after)}")
        return 0
    paint = Painter(args)
    rows = [
        (
            o.activation.id,
            o.state,
            both_times(o.activation.starts_at, o.activation.window),
            both_times(o.activation.ends_at, o.activation.window),
            span(o.activation.ends_at - o.activation.starts_at),
            ", ".join(o.activation.window.measure_names),
        )
        for o in found
    ]
    head, *lines = table(rows, ("window", "state", "opens", "closes", "lasts", "measures"))
    print(paint(head, "bold"))
    styles = {"armed": "green", "closed": "dim", "past": "dim", "provisional": "yellow"}
    for line, occurrence in zip(lines, found, strict=True):
        style = styles.get(occurrence.state)
        print(paint(line, style) if style else line)
    return 0
