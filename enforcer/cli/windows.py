"""`enforcer windows`: what is ahead, in the window's zone and in UTC, as table, picture or file."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from enforcer.cli.basis import add_files_argument, broken
from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import (
    Painter,
    both_times,
    cancelled,
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
from enforcer.errors import PolicyError

# Longer than any schedule is worth printing, and short of where dates end.
MOST_DAYS = 3660


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= MOST_DAYS:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of days from 1 to {MOST_DAYS:,}")


if TYPE_CHECKING:
    from enforcer.cli.basis import Basis
    from enforcer.observe.snapshot import Occurrence
    from enforcer.policy.model import Activation
    from enforcer.schedule.agenda import Entry
    from enforcer.schedule.orders import Orders

FORMATS = ("text", "json", "ics")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from",
        dest="after",
        type=instant,
        metavar="T",
        help="first instant, UTC unless it has an offset (default now)",
    )
    add_files_argument(parser)
    parser.add_argument("--days", type=_days, default=30, metavar="N", help="how far (default 30)")


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.arming import armed_of, armed_still, still_arms
    from enforcer.cli.basis import Read, basis
    from enforcer.cli.places import orders
    from enforcer.cli.windows_ics import calendar
    from enforcer.clock import SystemClock
    from enforcer.observe.snapshot import Occurrence
    from enforcer.observe.views import window_views
    from enforcer.schedule.agenda import TooManyError
    from enforcer.sources.files import load_policy

    now, standing = SystemClock().now(), orders()
    try:
        told = basis(
            args.config,
            lambda: Read(load_policy(args.config, now=now, orders=standing)[0]),
            now,
            standing,
            files=args.files,
            registrations=False,
        )
    except PolicyError as error:
        return broken(args, error)
    after = args.after or now
    before = after + timedelta(days=args.days)
    try:
        every = _entries(told, standing, (after, before), now)
    except TooManyError as error:
        print(f"enforcer: {error}", file=sys.stderr)
        return EXIT_FAILED
    on = [e.activation.id for e in every if e.state(now) == "armed"]
    armed, why = armed_of(on, told.asked)
    still = armed_still({e.activation.id for e in every if _shut(e, now)} - set(on), told.asked)
    found = [
        replace(o, state="armed") if _shut(e, now) and o.activation.id in still else o
        for e, o in ((e, Occurrence.of(e, now, armed)) for e in every)
    ]
    sooner = told.asked.lets_go(o.activation for o in found if o.state == "armed")
    if args.format == "json":
        more = {"in_force": False} if told.in_force is False else {}
        views = zip(window_views(found), found, strict=True)
        print_json([{**view, **more, **_kernel_view(o, sooner)} for view, o in views])
    elif args.format == "ics":
        print(calendar(found, told.ahead.policy.gateway.name, now), end="")
    elif not found:
        print(f"no window in {counted(args.days, 'day')} from {utc_short(after)}")
    else:
        _print_text(args, found, (after, before), sooner, still)
    sys.stdout.flush()
    if armed is None and args.format != "ics":
        print(f"{', '.join(on)}: armed by the schedule alone: {why}", file=sys.stderr)
    for window, left in still.items():
        print(f"{window}: closed, {still_arms(now + left)}", file=sys.stderr)
    _say(args, told)
    return 0


def _entries(
    told: Basis, orders: Orders, span: tuple[datetime, datetime], now: datetime
) -> list[Entry]:
    """What is ahead, and of what is on now that which the kernel was given. Raises TooManyError."""
    from enforcer.schedule.agenda import MOST_SHOWN, entries

    (after, before), instant = span, timedelta(microseconds=1)
    every = entries(told.ahead.policy, orders, after, before, MOST_SHOWN)
    if told.now is told.ahead or not after <= now < before:
        return every
    given = set(told.asked.held.armed)
    kept = entries(told.now.policy, orders, now, now + instant)
    ahead = [e for e in every if e.activation.id not in given or not _is_now(e, now)]
    both = ahead + [e for e in kept if e.activation.id in given]
    return sorted(both, key=lambda e: (e.activation.starts_at, e.activation.id))


def _is_now(entry: Entry, now: datetime) -> bool:
    return entry.activation.starts_at <= now < entry.activation.ends_at


def _say(args: argparse.Namespace, told: Basis) -> None:
    """What is to be known of what was told, where standard output has no place for it."""
    paint = Painter(args, sys.stderr)
    if told.remark is not None:
        style = "red" if told.in_force is False else "yellow"
        loud = "NOT IN FORCE: " if told.in_force is False else ""
        print(paint(loud + told.remark, style), file=sys.stderr)
    if told.mistake is not None:
        print(told.mistake, file=sys.stderr)


def _shut(entry: Entry, now: datetime) -> bool:
    """Whether it was closed while it would be on."""
    return entry.state(now) == "closed" and _is_now(entry, now)


def _kernel_view(o: Occurrence, sooner: Mapping[str, datetime]) -> dict[str, str]:
    """`ends_at` stays the end by the schedule, as a daemon that starts would keep it."""
    from enforcer.observe.views import utc_text

    if o.state != "armed" or o.activation.id not in sooner:
        return {}
    return {"kernel_until": utc_text(sooner[o.activation.id])}


def _print_text(
    args: argparse.Namespace,
    found: Sequence[Occurrence],
    span_shown: tuple[datetime, datetime],
    sooner: Mapping[str, datetime],
    still: Collection[str],
) -> None:
    """`sooner`: when the kernel ends windows by itself; `still`: which of them are closed."""
    from enforcer.cli.arming import by_the_kernel
    from enforcer.cli.windows_chart import chart

    paint = Painter(args)
    names = ["window", "state", "opens", "closes", "lasts", "measures"]
    rows = [
        [
            o.activation.id,
            o.state,
            both_times(o.activation.starts_at, o.activation.window),
            *_end(o, sooner),
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
    for o in found:
        if o.state == "armed" and o.activation.id in sooner.keys() - still:
            at = both_times(sooner[o.activation.id], o.activation.window)
            until = by_the_kernel(at, both_times(o.activation.ends_at, o.activation.window))
            print(paint(f"{o.activation.id}: {until}; only a daemon renews it", "yellow"))
    print()
    for line in chart(found, *span_shown, shutil.get_terminal_size((100, 24)).columns):
        print(line)


def _end(o: Occurrence, sooner: Mapping[str, datetime]) -> tuple[str, str]:
    """When it closes, or was closed, and how long it lasts by that. `sooner`: when the kernel ends
    it by itself.
    """
    starts_at, ends_at = o.activation.starts_at, o.activation.ends_at
    if o.state == "armed":
        ends_at = sooner.get(o.activation.id, ends_at)
    if o.state == "closed":
        if o.closed_at is None:
            return "early, not noted when", "-"
        if o.closed_at <= starts_at:
            return cancelled(both_times(o.closed_at, o.activation.window)), "-"
        ends_at = min(ends_at, o.closed_at)
    return both_times(ends_at, o.activation.window), span(ends_at - starts_at)


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
