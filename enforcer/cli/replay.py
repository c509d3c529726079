"""`enforcer replay FILE`: what armed windows do, or would do, to the packets of a capture."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.terminal import Painter, counted, instant, print_json

if TYPE_CHECKING:
    from enforcer.cli.replaying import Outcome, PcapWriter, Taken
    from enforcer.ruleset.moments import Moments
    from enforcer.sources.capture import Capture
    from enforcer.sources.load import Configuration

_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5}", re.ASCII)


def _mac(text: str) -> int:
    if not _MAC.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no MAC address; write 02:00:00:00:00:01")
    return int(re.sub("[:-]", "", text), 16)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="a pcap or pcapng capture, plain or gzip; - for standard input"
    )
    parser.add_argument(
        "--at",
        type=instant,
        metavar="T",
        help="judge every packet as at this instant, UTC unless it has an offset "
        "(default: each at its own time)",
    )
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="the gateway's interface that it was captured on "
        "(default: what a pcapng says, else supposed an uplink and every link)",
    )
    parser.add_argument("--only", metavar="NAME", help="only this interface of a pcapng")
    side = parser.add_mutually_exclusive_group()
    side.add_argument(
        "--direction", choices=("in", "out"), help="all packets came in, or went out, there"
    )
    side.add_argument(
        "--mac",
        type=_mac,
        action="append",
        metavar="MAC",
        help="an Ethernet address of the gateway's interface: tells what came in from what went "
        "out (repeatable)",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="save what guard would hold back, as pcap"
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import orders
    from enforcer.cli.replaying import PcapWriter, WriteError
    from enforcer.clock import SystemClock
    from enforcer.ruleset.moments import Moments
    from enforcer.sources.capture import open_capture
    from enforcer.sources.load import load_configuration

    _check_usage(args)
    standing = orders()
    config = load_configuration(args.config, SystemClock().now(), standing)
    moments = Moments(config.policy, standing, config.registry, args.at)
    writer: PcapWriter | None = None
    try:
        capture = open_capture(args.file)
    except OSError as error:
        print(f"enforcer: {args.file}: {error.strerror}", file=sys.stderr)
        return 1
    try:
        if args.write is not None:
            writer = PcapWriter(args.write)
        return _replay(args, config, moments, capture, writer)
    except WriteError as error:
        print(f"enforcer: {capture.name}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        # Of the reading or of the writing: the error names the file where it knows it.
        name = error.filename or capture.name
        print(f"enforcer: {name}: {error.strerror}", file=sys.stderr)
        return 1
    finally:
        capture.close()
        if writer is not None:
            writer.abandon()


def _check_usage(args: argparse.Namespace) -> None:
    from enforcer.cli.main import usage_error

    if args.file == "-" and sys.stdin.isatty():
        usage_error("replay", "standard input is a terminal; pipe a capture into it")
    try:
        same = args.write is not None and args.write.samefile(args.file)
    except OSError:
        same = False
    if same:
        usage_error("replay", f"--write {args.write} is the capture itself; name another file")


def _replay(
    args: argparse.Namespace,
    config: Configuration,
    moments: Moments,
    capture: Capture,
    writer: PcapWriter | None,
) -> int:
    from enforcer.cli.progress import Progress
    from enforcer.cli.replay_text import Told, text, view
    from enforcer.cli.replaying import replay

    policy = config.policy
    bar = Progress(_size(args.file))
    outcome = replay(
        capture,
        moments,
        _taken(args),
        frozenset({*policy.gateway.uplinks, *(link.device for link in policy.links)}),
        writer,
        own_times=args.at is None,
        progress=lambda done, packets: bar.update(done, f"{packets:,} packets"),
    )
    bar.close()
    if writer is not None and not _nothing_read(outcome):
        writer.finish()
    if _nothing_read(outcome):
        print(f"enforcer: {capture.name}: {_problem(outcome)}", file=sys.stderr)
        return 1
    told = Told(
        capture.name,
        outcome,
        moments,
        policy,
        args.at,
        _taken(args),
        (str(args.write), writer.packets) if writer is not None else None,
    )
    if args.format == "json":
        print_json(view(told))
    else:
        print("\n".join(text(told, Painter(args))))
    if outcome.error is None:
        return 0
    sys.stdout.flush()
    are = "is" if outcome.packets == 1 else "are"
    read = f"the {counted(outcome.packets, 'packet')} before it {are} judged"
    print(f"enforcer: {capture.name}: {outcome.error}; {read}", file=sys.stderr)
    return 130 if outcome.interrupted else 1


def _nothing_read(outcome: Outcome) -> bool:
    """No answer can be given: nothing is told but why."""
    return outcome.unread or (outcome.packets == 0 and outcome.error is not None)


def _problem(outcome: Outcome) -> str:
    from enforcer.sources.frames import LINK_NAMES

    if outcome.other_devices and outcome.unread and not outcome.other_links:
        names = ", ".join(name or "one without a name" for name in sorted(outcome.other_devices))
        return f"has no packet of the interface of --only; its interfaces are {names}"
    if outcome.unread:
        kinds = ", ".join(
            f"{link} ({LINK_NAMES[link]})" if link in LINK_NAMES else str(link)
            for link in sorted(outcome.other_links)
        )
        return (
            f"link type {kinds} is not read; capture on an Ethernet, cooked (-i any), raw IP or "
            "loopback interface of the gateway"
        )
    return str(outcome.error)


def _taken(args: argparse.Namespace) -> Taken:
    from enforcer.cli.replaying import Taken
    from enforcer.ruleset.packets import IN, OUT

    direction = {None: None, "in": IN, "out": OUT}[args.direction]
    return Taken(args.device, args.only, frozenset(args.mac or ()), direction)


def _size(file: str) -> int | None:
    """The bytes of a regular file; None for what has no size."""
    if file == "-":
        return None
    return os.stat(file).st_size or None
