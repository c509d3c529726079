"""`enforcer publish`: checks a configuration, signs it as a revision, and gives it to a fleet."""

from __future__ import annotations

import argparse
import getpass
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.fleets import add_file, failed, seconds, settings, store
from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import counted, print_json
from enforcer.cli.waiting import Waiting

if TYPE_CHECKING:
    from enforcer.fleet.publishing import Draft, Published
    from enforcer.fleet.settings import Settings


def add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key",
        type=Path,
        required=True,
        metavar="FILE",
        help="the secret key of minisign to sign with; its passphrase is asked for by minisign",
    )
    parser.add_argument("--note", default="", help="why, in a line, for whoever looks later")
    parser.add_argument(
        "--accept-shrink",
        default="",
        metavar="TOKEN",
        help="the registry of this token may remove more than shrink_limit; the refusal names it",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    add_key(parser)
    parser.add_argument(
        "--canary", action="store_true", help="give it to the gateways of track canary alone"
    )
    parser.add_argument(
        "--promote-after",
        metavar="TIME",
        help="with --canary: wait so long, like 30m, then give it to all if no canary has an error",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.main import usage_error
    from enforcer.fleet.publishing import Draft
    from enforcer.sources.files import read_texts
    from enforcer.sources.load import parse_all

    if args.promote_after is not None and not args.canary:
        usage_error("publish", "--promote-after goes with --canary")
    wait_s = seconds("publish", "--promote-after", args.promote_after)
    where = settings(args.fleet)
    with Waiting("checking the configuration"):
        policy, texts = read_texts(args.config)
        parse_all(texts.registries, policy)
    documents = texts.documents
    files = {**documents.files, **documents.calendars, **texts.registries}
    tracks = ("canary",) if args.canary else ("stable", "canary")
    accepted = args.accept_shrink
    draft = Draft(documents.main, files, who(), args.note, tracks, accepts_shrink=accepted)
    return deliver(args, where, draft, wait_s)


def who() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def deliver(
    args: argparse.Namespace, where: Settings, draft: Draft, wait_s: float | None = None
) -> int:
    """Publishes a draft and tells of it; the exit code."""
    from enforcer.clock import SystemClock
    from enforcer.fleet.etcd import EtcdError
    from enforcer.fleet.publishing import publish, sign_with_minisign
    from enforcer.fleet.store import RefusedError

    try:
        with store(where) as there:
            sign = sign_with_minisign(args.key)
            done = publish(there, draft, where.public_keys, SystemClock().now(), sign)
            there.prune(where.public_keys)
            _tell(args, where, draft, done)
            if wait_s is not None:
                return _promote(args, where, done.revision.number, wait_s)
    except (EtcdError, RefusedError) as error:
        return failed(error)
    return 0


def _tell(args: argparse.Namespace, where: Settings, draft: Draft, done: Published) -> None:
    number = done.revision.number
    if args.format == "json":
        print_json(
            {
                "fleet": where.fleet,
                "revision": number,
                "tracks": list(draft.tracks),
                "changed": list(done.changed),
                "sent_bytes": done.sent,
            }
        )
        return
    changed = ", ".join(done.changed[:5]) + (", …" if len(done.changed) > 5 else "")
    what = f"{counted(len(done.changed), 'file')} changed ({changed})" if changed else "no change"
    print(f"revision {number} of {where.fleet}: {what}, {done.sent:,} bytes sent to etcd")
    if "stable" in draft.tracks:
        print("all gateways take it now; see: enforcer fleet")
    else:
        print("gateways of track canary take it now; for all: enforcer fleet promote")


def _promote(args: argparse.Namespace, where: Settings, number: int, wait_s: float) -> int:
    """Looks at the canaries for the whole time, and gives the revision to all if none errs."""
    from enforcer.cli.fleet import promote
    from enforcer.fleet.publishing import wrong_for

    until = time.monotonic() + wait_s
    with store(where) as there, Waiting("watching the canaries"):
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(2.0, left))
            if (
                wrong := wrong_for(there.reports(), number, "canary", late=left <= 2.0)
            ) is not None:
                print(f"enforcer: not promoted: {wrong}", file=sys.stderr)
                return EXIT_FAILED
        return promote(args, where, there, number, force=False)
