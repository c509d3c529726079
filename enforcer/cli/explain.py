"""`enforcer explain ADDRESS`: which registrations cover it, what each window does, and whether the
kernel holds the same. Exit 3 when the flow would be held back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from enforcer.cli.terminal import (
    Painter,
    both_times,
    fields,
    instant,
    print_json,
    utc_short,
)
from enforcer.cli.waiting import Waiting
from enforcer.policy.prefix import (
    BITS,
    Prefix,
    Service,
    format_address,
    parse_address,
    parse_service,
)

if TYPE_CHECKING:
    from enforcer.cli.held import EndHeld, Held
    from enforcer.lookup.tables import Tables
    from enforcer.policy.model import Activation
    from enforcer.policy.registry import Registration
    from enforcer.ruleset.transaction import Kernel

EXIT_HELD_BACK = 3


def _address(text: str) -> Prefix:
    try:
        family, number = parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Prefix(family, number, BITS[family])


def _service(text: str) -> Service:
    try:
        return parse_service(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("address", type=_address, metavar="ADDRESS", help="where the flow is from")
    parser.add_argument("--to", type=_address, metavar="A", help="where it goes")
    parser.add_argument("--service", type=_service, metavar="S", help="like udp/51820 or esp")
    parser.add_argument(
        "--at",
        type=instant,
        metavar="T",
        help="the instant, UTC unless it has an offset (default now)",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.main import usage_error
    from enforcer.cli.places import orders
    from enforcer.clock import SystemClock
    from enforcer.lookup.planner import plan
    from enforcer.lookup.tree import RadixTree
    from enforcer.ruleset.verdict import Flow, terms_of, verdict
    from enforcer.schedule.agenda import armed_at
    from enforcer.sources.load import load_configuration

    source: Prefix = args.address
    to: Prefix | None = args.to
    if to is not None and to.family != source.family:
        usage_error("explain", f"{_text_of(source)} and {_text_of(to)} are of two families")
    with Waiting("reading the configuration"):
        config = load_configuration(args.config)
    now = SystemClock().now()
    at = args.at or now
    standing = orders()

    def on(instant: datetime) -> tuple[Activation, ...]:
        return armed_at(config.policy, standing, instant)

    activations = on(at)
    tree = RadixTree.build(config.registry, at.date())
    rows, to_rows = (
        list(dict.fromkeys(config.registry.row(i) for i in tree.covering(end))) if end else []
        for end in (source, to)
    )
    flow = Flow(
        (source.family, source.network), (to.family, to.network) if to else None, args.service
    )
    found = verdict(config.policy, activations, flow, terms_of(rows), terms_of(to_rows))
    # The kernel is asked about now, whatever the instant that is explained.
    today = tree if at.date() == now.date() else RadixTree.build(config.registry, now.date())
    tables = plan(today, config.policy.registry.kernel_memory_bytes)
    kernel = _ask_kernel(tables, source, to, on(now))
    answer = {
        "address": _text_of(source),
        "to": _text_of(to) if to else None,
        "service": str(args.service) if args.service else None,
        "at": f"{at:%Y-%m-%dT%H:%M:%S}Z",
        "registrations": [_view(row) for row in rows],
        "to_registrations": [_view(row) for row in to_rows],
        "windows": list(found.windows),
        "verdict": found.name,
        "steps": list(found.steps),
        **kernel,
    }
    if args.format == "json":
        print_json(answer)
    else:
        print("\n".join(_text(answer, activations, at, Painter(args))))
        _warn(args, answer)
    return EXIT_HELD_BACK if found.name == "held_back" else 0


def _ask_kernel(
    tables: Tables, source: Prefix, to: Prefix | None, on: Sequence[Activation]
) -> dict[str, Any]:
    from enforcer.cli.held import Held, armed_differences, read_held
    from enforcer.errors import KernelError
    from enforcer.kernel.nft import NftKernel

    schedule = [(a.id, a.ends_at) for a in on]
    try:
        kernel = NftKernel()
    except KernelError as error:
        return kernel_view(None, Held(None, str(error)), tables, source, to, [])
    try:
        held = read_held(kernel)
        return kernel_view(kernel, held, tables, source, to, armed_differences(held, schedule))
    finally:
        kernel.close()


def kernel_view(
    kernel: Kernel | None,
    held: Held,
    tables: Tables,
    source: Prefix,
    to: Prefix | None,
    differences: list[str],
) -> dict[str, Any]:
    """The keys `kernel`, `agrees` and `differences` of the answer."""
    from enforcer.cli.held import EndHeld, end_held

    ends: list[EndHeld | None] = [
        None
        if end is None
        else EndHeld(None)
        if kernel is None
        else end_held(kernel, held, tables, _text_of(end), end)
        for end in (source, to)
    ]
    first, second = ends
    assert first is not None
    found = [end.difference for end in ends if end is not None and end.difference is not None]
    found += differences
    reason = held.reason
    if reason is None and held.state is not None and not held.state.exists:
        reason = "nothing of enforcer is loaded"
    return {
        "kernel": {
            **_end_view(first),
            "to": _end_view(second) if second else None,
            "armed": list(held.armed) if held.state is not None else None,
            "reason": reason,
        },
        "agrees": not found,
        "differences": found,
    }


def _end_view(end: EndHeld) -> dict[str, Any]:
    class_id = None if end.class_id is None else f"{end.class_id:#010x}"
    return {"member": end.member, "class": class_id, "means": end.means}


def _text_of(address: Prefix) -> str:
    return format_address(address.family, address.network)


def _view(row: Registration) -> dict[str, Any]:
    return {
        "id": row.id,
        "prefix": str(row.prefix),
        "category": row.category,
        "valid_from": row.valid_from.isoformat() if row.valid_from else None,
        "valid_until": row.valid_until.isoformat() if row.valid_until else None,
        "services": [str(service) for service in row.services],
    }


_STYLES = {"held_back": "red", "let_in": "green", "marked": "green", "untouched": "dim"}
_MEMBER = {None: "not asked", True: "holds", False: "does not hold it"}


def _text(
    answer: dict[str, Any], activations: Sequence[Activation], at: datetime, paint: Painter
) -> list[str]:
    name = answer["verdict"]
    flow = answer["address"]
    flow += f" to {answer['to']}" if answer["to"] else ""
    flow += f", {answer['service']}" if answer["service"] else ""
    rows = [("at", utc_short(at))]
    rows += [
        (
            "window",
            f"{a.id}: {', '.join(a.window.measure_names)}, until {both_times(a.ends_at, a.window)}"
            + (", staged" if a.window.stage else ""),
        )
        for a in activations
    ] or [("window", "none is on")]
    rows.append(("registered", _registrations(answer["registrations"])))
    if answer["to"]:
        rows.append(("target", _registrations(answer["to_registrations"])))
    steps = [f"{number}. {step}" for number, step in enumerate(answer["steps"], 1)]
    rows.append(("path", "\n".join(steps)))
    kernel = answer["kernel"]
    rows.append(("kernel", _kernel_text(answer["address"], kernel, kernel["reason"])))
    if answer["to"]:
        rows.append(("", _kernel_text(answer["to"], kernel["to"], kernel["reason"])))
    # Without a destination guard is judged as if the flow went to the estate: say so up here.
    asked = " (as a new flow to the estate; name another end with --to)"
    supposed = asked if not answer["to"] and name in {"held_back", "let_in"} else ""
    return [f"{flow}: {paint(name.replace('_', ' '), _STYLES[name])}{supposed}", *fields(rows)]


def _kernel_text(address: str, end: dict[str, Any], reason: str | None) -> str:
    text = f"{address}: {_MEMBER[end['member']]}"
    if end["member"]:
        return f"{text} {end['means']} (class {end['class']})"
    return text + (f" ({reason})" if end["member"] is None and reason else "")


def _registrations(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "no"
    lines = []
    for r in rows:
        services = " ".join(r["services"]) or "any service"
        since, until = r["valid_from"], r["valid_until"]
        dates = f", {since or '…'} to {until or '…'}" if since or until else ""
        lines.append(f"{r['prefix']}: {r['id']}, {r['category']}, {services}{dates}")
    return "\n".join(lines)


def _warn(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    if answer["agrees"]:
        return
    sys.stdout.flush()
    paint = Painter(args, sys.stderr)
    print(paint("THE KERNEL DIFFERS from what it should hold now:", "red"), file=sys.stderr)
    for difference in answer["differences"]:
        print(f"  {difference}", file=sys.stderr)
    print("what to change: enforcer plan; whether a daemon runs: enforcer status", file=sys.stderr)
