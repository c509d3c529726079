"""`enforcer explain ADDRESS`: which registrations cover it, what each window does, and whether the
kernel holds the same. Exit 3 when the flow would be held back.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from enforcer.cli.terminal import Painter, instant, print_json
from enforcer.errors import KernelError
from enforcer.policy.prefix import (
    BITS,
    Prefix,
    Service,
    format_address,
    parse_address,
    parse_service,
)

if TYPE_CHECKING:
    from enforcer.lookup.tables import Tables
    from enforcer.policy.registry import Registration

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
    parser.add_argument("--at", type=instant, metavar="T", help="the instant (default now)")


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import orders
    from enforcer.clock import SystemClock
    from enforcer.lookup.planner import plan
    from enforcer.lookup.tree import RadixTree
    from enforcer.ruleset.verdict import Flow, terms_of, verdict
    from enforcer.schedule.agenda import armed_at
    from enforcer.sources.load import load_configuration

    config = load_configuration(args.config)
    at = args.at or SystemClock().now()
    activations = armed_at(config.policy, orders(), at)
    tree = RadixTree.build(config.registry, at.date())
    source: Prefix = args.address
    to: Prefix | None = args.to
    rows = [config.registry.row(i) for i in tree.covering(source)]
    to_rows = [config.registry.row(i) for i in tree.covering(to)] if to else []
    flow = Flow(
        (source.family, source.network), (to.family, to.network) if to else None, args.service
    )
    found = verdict(config.policy, activations, flow, terms_of(rows), terms_of(to_rows))
    tables = plan(tree, config.policy.registry.kernel_memory_bytes)
    member = _kernel_member(tables, source)
    agrees = member is None or member == bool(rows)
    answer = {
        "address": format_address(source.family, source.network),
        "registrations": [_view(row) for row in rows],
        "windows": list(found.windows),
        "verdict": found.name,
        "steps": list(found.steps),
        "kernel": {"member": member},
        "agrees": agrees,
    }
    if args.format == "json":
        print_json(answer)
    else:
        _print_text(args, answer)
    if not agrees:
        print("the kernel and the registry DIFFER; run: enforcer plan", file=sys.stderr)
    return EXIT_HELD_BACK if found.name == "held_back" else 0


def _kernel_member(tables: Tables, source: Prefix) -> bool | None:
    """Whether the kernel's maps hold the address; None when it cannot be asked."""
    from enforcer.kernel.nft import NftKernel
    from enforcer.ruleset.vocabulary import RegisteredMap

    try:
        kernel = NftKernel()
        held = kernel.read().sets
        maps = [RegisteredMap(stage) for stage in tables.of_family(source.family)]
        if not any(s.kind == "registered" for s in held.values()):
            return None
        for m in maps:
            if m.name not in held:
                continue
            masked = source.network & _mask(source, m.stage.length)
            key = Prefix(source.family, masked, m.stage.length).packed
            if kernel.elements(m.name, [key]):
                return True
    except KernelError:
        return None
    return False


def _mask(source: Prefix, length: int) -> int:
    bits = BITS[source.family]
    return ((1 << bits) - 1) ^ ((1 << (bits - length)) - 1)


def _view(row: Registration) -> dict[str, Any]:
    return {
        "id": row.id,
        "prefix": str(row.prefix),
        "category": row.category,
        "valid_from": row.valid_from.isoformat() if row.valid_from else None,
        "valid_until": row.valid_until.isoformat() if row.valid_until else None,
        "services": [str(service) for service in row.services],
    }


def _print_text(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    paint = Painter(args)
    name = answer["verdict"]
    style = {"held_back": "red", "let_in": "green", "marked": "green"}.get(name, "dim")
    print(f"{answer['address']}: {paint(name.replace('_', ' '), style)}")
    if not answer["registrations"]:
        print("  not registered")
    for r in answer["registrations"]:
        services = " ".join(r["services"]) or "any service"
        dates = f"{r['valid_from'] or '…'} to {r['valid_until'] or '…'}"
        print(f"  registered by {r['prefix']}: {r['id']}, {r['category']}, {services}, {dates}")
    for step in answer["steps"]:
        print(f"  {step}")
    member = {None: "not asked (no rights, or nothing loaded)", True: "holds it", False: "does not"}
    print(f"  kernel: {member[answer['kernel']['member']]}")
