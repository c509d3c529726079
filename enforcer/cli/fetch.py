"""`enforcer fetch`: gets registrations from the feeds of the configuration, once or for ever."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.cli.main import EXIT_FAILED, usage_error
from enforcer.cli.terminal import Painter, counted, print_json
from enforcer.cli.waiting import Waiting
from enforcer.policy.words import plain

if TYPE_CHECKING:
    from enforcer.feeds.settings import Settings
    from enforcer.feeds.taking import Taker, Told
    from enforcer.policy.feed import Feed

# Another process may be at the same feed.
_PATIENCE_S = 120.0
# Characters of a line in which a server's words may be.
_MOST_SHOWN = 4000
_LATE = (
    "cryptography.exceptions",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "enforcer.observe.views",
)
_TOKEN = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "feeds", nargs="*", metavar="FEED", help="feeds of the configuration (default: all)"
    )
    parser.add_argument("--once", action="store_true", help="fetch now, say what happened, and end")
    parser.add_argument(
        "--accept-shrink",
        default="",
        metavar="TOKEN",
        help="with --once and one feed: accept that the body of this token takes more than "
        "shrink_limit from a category; the refusal names it",
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        help="form of the log lines (default: that of --format)",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer import log
    from enforcer.feeds.settings import read_settings

    if args.feeds and not args.once:
        usage_error("fetch", "feeds are named with --once; without it all of them are fetched")
    if args.accept_shrink and not (args.once and len(args.feeds) == 1):
        usage_error("fetch", "--accept-shrink goes with --once and the name of one feed")
    if args.accept_shrink and not _TOKEN.fullmatch(args.accept_shrink):
        usage_error("fetch", "--accept-shrink: this is no token; the refusal names it")
    config = args.config.absolute()
    settings = read_settings(config)
    if settings.feeds:
        _become_owner(settings.file(settings.feeds[0]).parent)
    if args.once:
        return _once(args, settings)
    log.configure(args.log_format or args.format, journal="JOURNAL_STREAM" in os.environ)
    _forever(settings, partial(read_settings, config))
    return 0


def _become_owner(folder: Path) -> None:
    """Root leaves what it fetches to the daemon's user, and needs no more rights than that one."""
    # Root may be the only one who can read this program: what comes in late comes in now.
    for module in ("encodings.idna", "encodings.utf_8_sig", "enforcer.feeds.loop", *_LATE):
        importlib.import_module(module)
    while not folder.exists():
        folder = folder.parent
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([owner.st_gid])
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)


def _taker(settings: Settings, pause: Callable[[float], bool]) -> Taker:
    from enforcer.cli.places import run_dir
    from enforcer.clock import SystemClock
    from enforcer.control import ask
    from enforcer.feeds.taking import Taker

    clock = SystemClock()
    return Taker(settings, partial(ask, run_dir()), clock.now, clock.synchronised, pause)


def _forever(settings: Settings, read: Callable[[], Settings]) -> None:
    from enforcer.clock import SystemClock
    from enforcer.feeds.loop import Loop

    stop, poked = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: poked.set())
    clock = SystemClock()
    Loop(settings, read, lambda s: _taker(s, stop.wait), clock.now).run(stop, poked)


def _once(args: argparse.Namespace, settings: Settings) -> int:
    taker = _taker(settings, threading.Event().wait)
    told = []
    for feed in _chosen(args, settings):
        with Waiting(f"fetching {feed.name}"):
            told.append(taker.turn(feed, args.accept_shrink, _PATIENCE_S))
        if args.format == "text":
            for line in _text(Painter(args), told[-1]):
                print(line)
            if told[-1].details:
                for line in told[-1].details.splitlines():
                    print(plain(line, _MOST_SHOWN), file=sys.stderr)
    if args.format == "json":
        print_json({"feeds": list(map(_view, told))})
    elif not told:
        print("no feed is configured; add one to registry.sources")
    return 0 if all(one.good for one in told) else EXIT_FAILED


def _chosen(args: argparse.Namespace, settings: Settings) -> list[Feed]:
    named = {feed.name: feed for feed in settings.feeds}
    for name in args.feeds:
        if name not in named:
            there = ", ".join(named) or "none"
            usage_error("fetch", f"there is no feed {name}; there are: {there}")
    return [named[name] for name in args.feeds] if args.feeds else list(settings.feeds)


_COLOURS = {"accepted": "green", "unchanged": "green", "refused": "red", "failed": "red"}


def _text(paint: Painter, told: Told) -> Iterator[str]:
    accepted = told.state.accepted
    head = f"{told.feed}: {paint(told.result, _COLOURS[told.result])}"
    if told.problem is not None:
        yield f"{head}: {plain(told.problem, _MOST_SHOWN)}"
        if accepted is not None:
            yield f"  the one accepted at {accepted.at:%Y-%m-%d %H:%M:%SZ} stays"
    elif accepted is not None:
        serial = "" if accepted.serial is None else f", serial {accepted.serial}"
        yield f"{head}: {counted(accepted.rows, 'row')}{serial}, from {accepted.url}"
    yield from (f"  {plain(note, _MOST_SHOWN)}" for note in told.notes)


def _view(told: Told) -> dict[str, Any]:
    from enforcer.observe.views import utc_text

    state, accepted = told.state, told.state.accepted
    checked = state.checked_at
    return {
        "feed": told.feed,
        "result": told.result,
        "problem": told.problem,
        "notes": list(told.notes),
        "url": accepted.url if accepted else None,
        "rows": accepted.rows if accepted else None,
        "serial": accepted.serial if accepted else None,
        "accepted_at": utc_text(accepted.at) if accepted else None,
        "checked_at": utc_text(checked) if checked else None,
    }
