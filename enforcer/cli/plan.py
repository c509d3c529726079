"""`enforcer plan`: what would change in the kernel, in nft syntax; exit 2 when something would."""

from __future__ import annotations

import argparse
import sys

from enforcer.cli.terminal import Painter, instant, print_json

EXIT_CHANGES = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--at", type=instant, metavar="T", help="the instant (default now)")
    parser.add_argument("--ruleset", action="store_true", help="print that instant's whole ruleset")
    parser.add_argument(
        "--explain-lookup", action="store_true", help="say which hash stages were chosen, and why"
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import orders
    from enforcer.clock import SystemClock
    from enforcer.kernel.nft import NftKernel
    from enforcer.lookup.planner import explain_plan, plan
    from enforcer.lookup.tree import RadixTree
    from enforcer.observe.views import utc_text
    from enforcer.ruleset import promises, render
    from enforcer.ruleset.compiler import compile_ruleset, epoch_ns
    from enforcer.ruleset.diff import diff
    from enforcer.schedule.agenda import armed_at
    from enforcer.sources.load import load_configuration

    config = load_configuration(args.config)
    policy = config.policy
    at = args.at or SystemClock().now()
    tables = plan(RadixTree.build(config.registry, at.date()), policy.registry.kernel_memory_bytes)
    if args.explain_lookup:
        lines = explain_plan(tables, policy.registry.kernel_memory_bytes)
        print_json({"lookup": lines}) if args.format == "json" else print("\n".join(lines))
        return 0
    activations = armed_at(policy, orders(), at)
    seen_ns = SystemClock().now_ns() if args.at is None else epoch_ns(at)
    state = NftKernel().read()
    desired = compile_ruleset(
        policy, activations, tables, devices=state.devices, unshapeable=state.foreign_qdiscs
    )
    promises.check(desired, policy, activations, tables)
    if args.ruleset:
        print(render.ruleset(desired, now_ns=epoch_ns(at)), end="")
        return 0
    change = diff(desired, state, seen_ns)
    texts = [render.operation(op) for op in change.operations] if change else []
    removed = [t for t in texts if t.startswith(("delete", "flush", "# delete"))]
    added = [t for t in texts if t not in removed]
    missing = sorted({*policy.gateway.uplinks} - state.devices)
    if missing:
        print(f"uplinks not there: {', '.join(missing)}; left out of the plan", file=sys.stderr)
    if args.format == "json":
        print_json({"changes": len(texts), "add": added, "remove": removed, "at": utc_text(at)})
    else:
        _print_text(args, texts, removed, utc_text(at), [a.id for a in activations])
    return EXIT_CHANGES if texts else 0


def _print_text(
    args: argparse.Namespace, texts: list[str], removed: list[str], at: str, armed: list[str]
) -> None:
    paint = Painter(args)
    print(f"at {at}: armed {', '.join(armed) or 'nothing'}")
    if not texts:
        print("nothing to do: the kernel holds just this")
        return
    gone = set(removed)
    for text in texts:
        sign, style = ("-", "red") if text in gone else ("+", "green")
        for line in text.splitlines():
            print(paint(f"{sign} {line}", style))
    print(f"{len(texts)} changes")
