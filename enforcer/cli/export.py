"""`enforcer export bird|frr|junos|eos`: the registered set for the marking measure, for routers.

Guard is never exported: what it needs (its end in the kernel, its few destinations, its checks) no
router promises.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.cli.main import EXIT_FAILED, usage_error
from enforcer.cli.registries import STDOUT, require_writable, say, write
from enforcer.cli.terminal import instant, print_json, utc_short

if TYPE_CHECKING:
    from enforcer.policy.model import Policy

# Further than any window that is worth preparing a router for.
_AHEAD = timedelta(days=366)
ROUTERS = ("bird", "frr", "junos", "eos")
_NOT_EXPORTED = {
    "guard": "guard is not exported: it drops, and only the gateway checks what and ends it in the "
    "kernel; export mark",
    "reserve": "reserve is not exported: a link's queues are the router's own; export mark, and "
    "give the DSCP its share there",
}


def _dscp(text: str) -> int:
    from enforcer.policy.values import dscp

    try:
        return dscp(int(text) if text.isascii() and text.isdigit() else text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _name(text: str) -> str:
    from enforcer.routers.languages import NAME

    if NAME.fullmatch(text):
        return text
    raise argparse.ArgumentTypeError(
        f"{text!r} is no name for routers; write a letter, then up to 30 letters, digits, - and _"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("router", choices=ROUTERS, help="whose language")
    parser.add_argument(
        "--measure",
        choices=("mark", "reserve", "guard"),
        default="mark",
        help="only mark is exported; the others say why not",
    )
    parser.add_argument(
        "--name",
        type=_name,
        default="ENFORCER",
        metavar="NAME",
        help="begins the names of all lists (default ENFORCER)",
    )
    parser.add_argument("--dscp", type=_dscp, metavar="D", help="DSCP to set, like cs5")
    parser.add_argument("--window", metavar="ID", help="take the DSCP of this window's mark")
    parser.add_argument(
        "--at", type=instant, metavar="T", help="whose day's registrations (default now)"
    )
    parser.add_argument(
        "--output", type=Path, default=STDOUT, metavar="FILE", help="(default standard output)"
    )
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import orders_unsaid
    from enforcer.clock import SystemClock
    from enforcer.routers import bird, eos, frr, junos
    from enforcer.routers.languages import ExportError, Order, Render
    from enforcer.routers.selection import select
    from enforcer.sources.load import load_configuration

    if args.measure != "mark":
        print(f"enforcer export: {_NOT_EXPORTED[args.measure]}", file=sys.stderr)
        return EXIT_FAILED
    if args.dscp is not None and args.window is not None:
        usage_error("export", "--dscp and --window both say the DSCP; give one of them")
    require_writable(args.output, args.force)
    now = SystemClock().now()
    config = load_configuration(args.config, now, orders_unsaid())
    at: datetime = args.at or now
    about = [f"gateway {config.policy.gateway.name}"]
    dscp = args.dscp
    if args.window is not None:
        dscp, lines = _of_window(config.policy, args.window, at)
        about += lines
    selection = select(config.registry, at.astimezone(UTC).date())
    renders: dict[str, Render] = {
        "bird": bird.render,
        "frr": frr.render,
        "junos": junos.render,
        "eos": eos.render,
    }
    order = Order(args.name, dscp, tuple(about))
    try:
        lines = list(renders[args.router](selection, order))
    except ExportError as error:
        print(f"enforcer export: {args.router}: {error}", file=sys.stderr)
        return EXIT_FAILED
    written = (f"{line}\n".encode() for line in lines)
    counts = {"ipv4": selection.count(4), "ipv6": selection.count(6)}
    last = selection.last_day.isoformat() if selection.last_day else None
    if args.format == "json":
        if args.output != STDOUT:
            write(args.output, written)
        print_json(
            {
                "router": args.router,
                "registry": selection.digest,
                "day": selection.day.isoformat(),
                "last_day": last,
                "dscp": dscp,
                "prefixes": counts,
                "output": None if args.output == STDOUT else str(args.output),
                "lines": lines if args.output == STDOUT else None,
            }
        )
        return 0
    write(args.output, written)
    if args.output != STDOUT:
        until = f", valid to {last} UTC" if last else ""
        said = f"{counts['ipv4']:,} IPv4 and {counts['ipv6']:,} IPv6 prefixes for {args.router}"
        say(args.output, [f"{args.output}: {said}{until}; guard is not exported"])
    return 0


def _of_window(policy: Policy, name: str, at: datetime) -> tuple[int, list[str]]:
    """The DSCP of a window's mark, and what the heading says of the window."""
    from enforcer.cli.places import orders
    from enforcer.policy.words import pick
    from enforcer.schedule.agenda import entries

    window = policy.window(name)
    if window is None:
        known = pick(name, (w.id for w in policy.windows), "declare one")
        usage_error("export", f"there is no window {name!r}; {known}")
    if window.mark is None or window.mark.dscp is None:
        usage_error("export", f"window {name} sets no DSCP; give it mark: {{dscp: …}}, or --dscp")
    lines = [f"window {name}: {window.reason}"]
    for entry in entries(policy, orders(), at, at + _AHEAD):
        if entry.activation.id == name and entry.opens:
            opens, ends = map(utc_short, (entry.activation.starts_at, entry.activation.ends_at))
            lines.append(f"window {name} is on from {opens} to {ends}")
            break
    if window.guard is not None:
        lines.append(f"window {name} also guards: that stays on the gateway")
    return window.mark.dscp, lines
