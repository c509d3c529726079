"""`enforcer windows`: what is ahead, in the window's zone and in UTC."""

from __future__ import annotations

import argparse
from datetime import timedelta

from enforcer.cli.terminal import Painter, both_times, instant, print_json, span, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="after", type=instant, metavar="T", help="first instant (default now)"
    )
    parser.add_argument("--days", type=int, default=30, metavar="N", help="how far (default 30)")


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import orders
    from enforcer.clock import SystemClock
    from enforcer.observe.snapshot import Occurrence
    from enforcer.observe.views import window_views
    from enforcer.schedule.agenda import entries
    from enforcer.sources.files import load_policy

    policy, _ = load_policy(args.config)
    now = SystemClock().now()
    after = args.after or now
    before = after + timedelta(days=args.days)
    found = [Occurrence.of(e, now) for e in entries(policy, orders(), after, before)]
    if args.format == "json":
        print_json(window_views(found))
        return 0
    if not found:
        print(f"no window in the {args.days} days ahead")
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
    for line, occurrence in zip(lines, found, strict=True):
        print(paint(line, "green") if occurrence.state == "armed" else line)
    return 0
