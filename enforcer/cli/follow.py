"""`enforcer follow`: keeps a gateway at its fleet's revision, and reports what it holds."""

from __future__ import annotations

import argparse
import os
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.fleets import add_file, failed, settings, store
from enforcer.errors import PolicyError

if TYPE_CHECKING:
    from enforcer.fleet.follower import Follower
    from enforcer.fleet.settings import Settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    parser.add_argument(
        "--once", action="store_true", help="take the revision that is due, report, and end"
    )
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="form of the log lines"
    )


def run(args: argparse.Namespace) -> int:
    from enforcer import log
    from enforcer.cli.places import run_dir, state_dir
    from enforcer.clock import SystemClock
    from enforcer.control import ask
    from enforcer.fleet.follower import Follower
    from enforcer.fleet.spool import Spool
    from enforcer.fleet.troubles import EtcdError

    log.configure(args.log_format, journal="JOURNAL_STREAM" in os.environ)
    where = settings(args.fleet, follows=True)
    spool = Spool(state_dir() / "fleet")
    try:
        with store(where) as there:
            follower = Follower(
                where, spool, there, partial(ask, run_dir()), _check, SystemClock().now
            )
            if args.once:
                if follower.turn() is None:
                    log.info("no_revision", track=where.track, remedy="enforcer publish")
                return 0 if follower.holds_what_is_due else 1
            _run(args.fleet, follower)
            return 0
    except EtcdError as error:
        return failed(error)


def _check(main: Path) -> None:
    from enforcer.cli.places import orders_unsaid
    from enforcer.clock import SystemClock
    from enforcer.sources.load import load_configuration

    load_configuration(main, SystemClock().now(), orders_unsaid())


def _run(path: Path, follower: Follower) -> None:
    from enforcer import log
    from enforcer.fleet.poke import Poke

    poke, asked = Poke(), False

    def reload(*_: object) -> None:
        nonlocal asked
        asked = True
        poke.now()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: poke.end())
    signal.signal(signal.SIGHUP, reload)

    def new_settings() -> Settings | None:
        nonlocal asked
        if not asked:
            return None
        asked = False
        try:
            return settings(path, follows=True)
        except PolicyError as error:
            log.error("settings_refused", error=str(error), done="the old ones stay")
            return None

    follower.run(poke, new_settings)
    follower.leave()
