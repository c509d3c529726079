"""`enforcer publish`: checks a configuration, signs it as a revision, and gives it to a fleet."""

from __future__ import annotations

import argparse
import getpass
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.cli.fleets import add_file, failed, seconds, settings, store
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
        help="the registry of this token may take more than shrink_limit; the refusal names it",
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

    if args.promote_after is not None and not args.canary:
        usage_error("publish", "--promote-after goes with --canary")
    wait_s = seconds("publish", "--promote-after", args.promote_after)
    where = settings(args.fleet)
    with Waiting("reading the configuration"):
        _, texts = read_texts(args.config)
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
    from enforcer.fleet.publishing import promote_after, publish, sign_with_minisign
    from enforcer.fleet.store import RefusedError
    from enforcer.fleet.troubles import EtcdError

    try:
        with store(where) as there:
            sign = sign_with_minisign(args.key)
            done = publish(there, draft, where.public_keys, SystemClock().now(), sign)
            there.prune(where.public_keys)
            if args.format == "text":
                print("\n".join(_text(where, draft, done)))
            if wait_s is not None:
                with Waiting("watching the canaries"):
                    promote_after(there, done.revision.number, wait_s)
                if args.format == "text":
                    print("no canary errs; all gateways take it now")
    except (EtcdError, RefusedError) as error:
        return failed(error)
    if args.format == "json":
        print_json(_view(where, draft, done, promoted=wait_s is not None))
    return 0


def _view(where: Settings, draft: Draft, done: Published, *, promoted: bool) -> dict[str, Any]:
    return {
        "fleet": where.fleet,
        "revision": done.revision.number,
        "tracks": ["stable", "canary"] if promoted else list(draft.tracks),
        "changed": list(done.changed),
        "sent_bytes": done.sent,
        "uncounted": done.uncounted,
    }


def _text(where: Settings, draft: Draft, done: Published) -> Iterator[str]:
    changed = ", ".join(done.changed[:5]) + (", …" if len(done.changed) > 5 else "")
    what = f"{counted(len(done.changed), 'file')} changed ({changed})" if changed else "no change"
    number, sent = done.revision.number, f"{done.sent:,} bytes sent to etcd"
    yield f"revision {number} of {where.fleet}: {what}, {sent}"
    if done.uncounted is not None:
        yield f"what the registry loses was not counted here, gateways will: {done.uncounted}"
    if "stable" in draft.tracks:
        yield "all gateways take it now; see: enforcer fleet"
    else:
        yield "gateways of track canary take it now; for all: enforcer fleet promote"
