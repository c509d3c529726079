"""`enforcer explain ADDRESS`: which registrations cover it, what each window does, and whether the
kernel holds the same. Exit 3 when the flow would be held back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.cli.basis import add_files_argument, broken
from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import (
    Painter,
    both_times,
    fields,
    instant,
    print_json,
    terminal_columns,
    utc_short,
    wrapped,
)
from enforcer.errors import PolicyError
from enforcer.policy.prefix import Prefix, Service, parse_service
from enforcer.ruleset.question import Question, QuestionError, host, verdict_words

if TYPE_CHECKING:
    from enforcer.cli.basis import Read
    from enforcer.policy.model import Activation
    from enforcer.schedule.orders import Orders

EXIT_HELD_BACK = 3


def _address(text: str) -> Prefix:
    try:
        return host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
    add_files_argument(parser)


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.basis import basis
    from enforcer.cli.main import usage_error
    from enforcer.cli.places import orders
    from enforcer.clock import SystemClock
    from enforcer.explaining import Declared, explain
    from enforcer.lookup.planner import plan
    from enforcer.lookup.tree import RadixTree

    try:
        question = Question(args.address, args.to, args.service, args.at)
    except QuestionError as error:
        usage_error("explain", str(error))
    now, standing = SystemClock().now(), orders()
    try:
        found = basis(
            args.config,
            lambda: _read(args.config, now, standing),
            now,
            standing,
            files=args.files,
            registrations=True,
        )
    except PolicyError as error:
        return broken(args, error)
    by = found.now if args.at is None else found.ahead
    assert by.registry is not None, "explain reads it"
    tables = plan(RadixTree.build(by.registry, now.date()), by.policy.registry.kernel_memory_bytes)
    declared = Declared(
        by.policy,
        standing,
        by.registry,
        tables,
        due=lambda: found.asked.due or (),
        in_force=found.in_force,
        remark=found.remark,
    )
    explained = explain(question, declared, now)
    answer = explained.answer
    if args.format == "json":
        print_json(answer)
    else:
        paint = Painter(args)
        # Of another instant the schedule is told.
        sooner = found.asked.lets_go(explained.windows) if args.at is None else {}
        told = _text(answer, explained.windows, explained.at, sooner, paint, terminal_columns())
        print("\n".join(told))
        _warn(args, answer)
    if found.mistake is not None:
        sys.stdout.flush()
        print(found.mistake, file=sys.stderr)
    if found.stale and args.at is None:
        # What a flow meets now is not known: neither yes nor no.
        return EXIT_FAILED
    return EXIT_HELD_BACK if answer["verdict"] == "held_back" else 0


def _read(config: Path, now: datetime, standing: Orders) -> Read:
    from enforcer.cli.basis import Read
    from enforcer.sources.load import load_configuration

    found = load_configuration(config, now, standing)
    return Read(found.policy, found.registry)


_STYLES = {"held_back": "red", "let_in": "green", "marked": "green", "untouched": "dim"}
_MEMBER = {None: "not asked", True: "holds", False: "does not hold it"}


def _text(
    answer: dict[str, Any],
    activations: Sequence[Activation],
    at: datetime,
    sooner: Mapping[str, datetime],
    paint: Painter,
    columns: int | None = None,
) -> list[str]:
    """`sooner`: when the kernel ends windows by itself, before their end."""
    name = answer["verdict"]
    flow = answer["address"]
    flow += f" to {answer['to']}" if answer["to"] else ""
    flow += f", {answer['service']}" if answer["service"] else ""
    rows = [("at", utc_short(at))]
    if answer["remark"]:
        style = "red" if answer["in_force"] is False else "yellow"
        rows.append(("files", paint(answer["remark"], style)))
    rows += [
        (
            "window",
            f"{a.id}: {', '.join(a.window.measure_names)}, {_until(a, sooner)}"
            + (", staged" if a.window.stage else ""),
        )
        for a in activations
    ] or [("window", "none is on")]
    if answer["due"]:
        rows.append(("due", f"{', '.join(answer['due'])}: not in force, and not in this verdict"))
    rows += [("note", paint(note, "yellow")) for note in answer["notes"]]
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
    files = paint(" BY FILES THAT ARE NOT IN FORCE", "red") if answer["in_force"] is False else ""
    first = f"{flow}: {paint(verdict_words(answer), _STYLES[name])}{supposed}{files}"
    return [*wrapped(first, columns), *fields(rows, columns)]


def _until(a: Activation, sooner: Mapping[str, datetime]) -> str:
    from enforcer.cli.arming import by_the_kernel

    ends_at = both_times(a.ends_at, a.window)
    if a.id not in sooner:
        return f"until {ends_at}"
    return by_the_kernel(both_times(sooner[a.id], a.window), ends_at)


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
    if args.files:
        # They need not be loaded: that is what one asks about.
        said = paint("the kernel holds something else than these files tell:", "yellow")
    else:
        said = paint("THE KERNEL DIFFERS from what it should hold now:", "red")
    print(said, file=sys.stderr)
    for difference in answer["differences"]:
        print(f"  {difference}", file=sys.stderr)
    if args.files:
        print("what loading them would change: enforcer plan", file=sys.stderr)
        return
    print("what to change: enforcer plan; whether a daemon runs: enforcer status", file=sys.stderr)
