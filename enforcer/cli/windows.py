"""`enforcer windows`: what is ahead, in the window's zone and in UTC, as table, picture or file."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import (
    Painter,
    both_times,
    counted,
    fitted,
    instant,
    measures_text,
    print_json,
    span,
    terminal_columns,
    unless_confirmed,
    utc_short,
)
from enforcer.cli.waiting import Waiting

# Longer than any schedule is worth printing, and short of where dates end.
MOST_DAYS = 3660


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= MOST_DAYS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to {MOST_DAYS:,}")


if TYPE_CHECKING:
    from enforcer.observe.snapshot import Occurrence
    from enforcer.policy.model import Activation
    from enforcer.schedule.agenda import Entry

FORMATS = ("text", "json", "ics")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="after",
        type=instant,
        metavar="T",
        help="first instant, UTC unless it has an offset (default now)",
    )
    parser.add_argument("--days", type=_days, default=30, metavar="N", help="how far (default 30)")


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.arming import armed_of, armed_still, still_arms
    from enforcer.cli.places import orders
    from enforcer.cli.windows_ics import calendar
    from enforcer.clock import SystemClock
    from enforcer.observe.snapshot import Occurrence
    from enforcer.observe.views import window_views
    from enforcer.schedule.agenda import MOST_SHOWN, TooManyError, entries
    from enforcer.sources.files import load_policy

    now, standing = SystemClock().now(), orders()
    with Waiting("reading the configuration"):
        policy, _ = load_policy(args.config, now=now, orders=standing)
    after = args.after or now
    before = after + timedelta(days=args.days)
    try:
        every = entries(policy, standing, after, before, MOST_SHOWN)
    except TooManyError as error:
        print(f"enforcer: {error}", file=sys.stderr)
        return EXIT_FAILED
    on = [e.activation.id for e in every if e.state(now) == "armed"]
    armed, why = armed_of(on)
    still = armed_still({e.activation.id for e in every if _shut(e, now)} - set(on))
    found = [
        replace(o, state="armed") if _shut(e, now) and o.activation.id in still else o
        for e, o in ((e, Occurrence.of(e, now, armed)) for e in every)
    ]
    if args.format == "json":
        print_json(window_views(found))
    elif args.format == "ics":
        print(calendar(found, policy.gateway.name, now), end="")
    elif not found:
        print(f"no window in {counted(args.days, 'day')} from {utc_short(after)}")
    else:
        _print_text(args, found, after, before)
    if armed is None and args.format != "ics":
        sys.stdout.flush()
        print(f"{', '.join(on)}: armed by the schedule alone: {why}", file=sys.stderr)
    for window, left in still.items():
        sys.stdout.flush()
        print(f"{window}: closed, {still_arms(now + left)}", file=sys.stderr)
    return 0


def _shut(entry: Entry, now: datetime) -> bool:
    """Whether it was closed while it would be on."""
    shut = entry.state(now) == "closed"
    return shut and entry.activation.starts_at <= now < entry.activation.ends_at


def _print_text(
    args: argparse.Namespace, found: Sequence[Occurrence], after: datetime, before: datetime
) -> None:
    from enforcer.cli.windows_chart import chart

    paint = Painter(args)
    names = ["window", "state", "opens", "closes", "lasts", "measures"]
    rows = [
        [
            o.activation.id,
            o.state,
            both_times(o.activation.starts_at, o.activation.window),
            both_times(o.activation.ends_at, o.activation.window),
            span(o.activation.ends_at - o.activation.starts_at),
            measures_text(o.activation.window.measure_names, stage=o.activation.window.stage),
        ]
        for o in found
    ]
    dates = [_hijri_date(o.activation) for o in found]
    if any(dates):
        names.insert(2, "Hijri date")
        for row, date in zip(rows, dates, strict=True):
            row.insert(2, date)
    head, blocks = fitted(rows, names, terminal_columns())
    for line in head:
        print(paint(line, "bold"))
    styles = {"armed": "green", "closed": "dim", "past": "dim"}
    styles |= {"provisional": "yellow", "due": "yellow"}
    for block, occurrence in zip(blocks, found, strict=True):
        style = styles.get(occurrence.state)
        for line in block:
            print(paint(line, style) if style else line)
    for o in found:
        if o.confirm_by is not None and o.state not in ("closed", "past"):
            until = both_times(o.confirm_by, o.activation.window)
            told = unless_confirmed(o.activation.id, until)
            print(paint(f"{o.activation.id}: on trial, {told}", "yellow"))
    print()
    for line in chart(found, after, before, shutil.get_terminal_size((100, 24)).columns):
        print(line)


def _hijri_date(activation: Activation) -> str:
    """The day as the window counts it, with its sightings; empty for other forms."""
    from enforcer.policy.model import Hijri
    from enforcer.policy.times import MONTHS
    from enforcer.schedule.hijri import hijri_day

    form = activation.window.form
    if not isinstance(form, Hijri):
        return ""
    day = hijri_day(form, activation.starts_at.astimezone(activation.window.zone).date())
    return "" if day is None else f"{day.day} {MONTHS[day.month - 1]} {day.year}"
