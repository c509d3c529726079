"""`enforcer plan`: what would change in the kernel, in nft syntax; exit 2 when something would."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enforcer.cli.terminal import Painter, counted, instant, print_json
from enforcer.cli.waiting import Waiting

if TYPE_CHECKING:
    from enforcer.policy.model import Policy
    from enforcer.ruleset.sampling import Sampling
    from enforcer.ruleset.transaction import KernelState, Transaction
    from enforcer.ruleset.vocabulary import Ruleset

EXIT_CHANGES = 2
_REMOVALS = ("delete", "flush", "# delete")


@dataclass(frozen=True, slots=True)
class Summary:
    """`lines`: every line of the plan with its sign, in the order of the transaction. `add` and
    `remove` are the same without signs; `kept` counts sets and chains that stay as they are.
    """

    lines: tuple[tuple[str, str], ...] = ()
    kept: int = 0

    @property
    def add(self) -> list[str]:
        return [line for sign, line in self.lines if sign == "+"]

    @property
    def remove(self) -> list[str]:
        return [line for sign, line in self.lines if sign == "-"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--at",
        type=instant,
        metavar="T",
        help="the instant, UTC unless it has an offset (default now)",
    )
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

    with Waiting("reading the configuration"):
        now, standing = SystemClock().now(), orders()
        config = load_configuration(args.config, now, standing)
        policy = config.policy
        # Everything begins and ends at a whole second; a fraction only makes it hard to read.
        at = args.at or now.replace(microsecond=0)
        tree = RadixTree.build(config.registry, at.date())
        tables = plan(tree, policy.registry.kernel_memory_bytes)
    if args.explain_lookup:
        lines = explain_plan(tables, policy.registry.kernel_memory_bytes)
        print_json({"lookup": lines}) if args.format == "json" else print("\n".join(lines))
        return 0
    activations = armed_at(policy, standing, at)
    kernel = NftKernel()
    try:
        seen_ns = SystemClock().now_ns() if args.at is None else epoch_ns(at)
        state = kernel.read()
    finally:
        kernel.close()
    desired = compile_ruleset(
        policy,
        activations,
        tables,
        devices=state.devices,
        unshapeable=state.foreign_qdiscs,
        sampling=sampling(policy, state),
    )
    promises.check(desired, policy, activations, tables)
    if args.ruleset:
        whole = render.ruleset(desired, now_ns=epoch_ns(at))
        print_json({"ruleset": whole}) if args.format == "json" else print(whole, end="")
        return 0
    change = diff(desired, state, seen_ns)
    if args.at is not None and change is not None:
        change = without_renewals(change, state)
    there = len(state.sets.keys() | state.chains.keys())
    found = summary(desired, change, there)
    missing = sorted({*policy.gateway.uplinks} - state.devices)
    registry, refused, unknown = _registry(args.config, at.date())
    answer = {
        "changes": len(change.operations) if change else 0,
        "add": found.add,
        "remove": found.remove,
        "kept": found.kept,
        "at": utc_text(at),
        "armed": [a.id for a in activations],
        "registry": registry,
        "reload_refused": refused,
        "missing_uplinks": missing,
    }
    if args.format == "json":
        print_json(answer)
    else:
        print("\n".join(text(answer, found, Painter(args))))
        sys.stdout.flush()
        if refused:
            print(f"`enforcer reload` will refuse these files:\n{refused}", file=sys.stderr)
        if missing:
            print(f"uplinks not there: {', '.join(missing)}; left out of the plan", file=sys.stderr)
        if unknown and change:
            print(f"registrations are not compared with those in force: {unknown}", file=sys.stderr)
    # What `reload` will refuse is not to be taken for nothing to do.
    return EXIT_CHANGES if change or refused else 0


def sampling(policy: Policy, state: KernelState) -> Sampling:
    """As the policy says; none where windows act without: that gateway cannot sample."""
    from enforcer.ruleset.sampling import NO_SAMPLES, Sampling

    rules = [rule for chain in state.chains.values() for rule in chain.rules]
    sampled = any(expression[0] == "log" for rule in rules for expression in rule)
    hooked = any(chain.hook for chain in state.chains.values())
    return NO_SAMPLES if hooked and not sampled else Sampling(policy.observe.sample)


def without_renewals(change: Transaction, state: KernelState) -> Transaction | None:
    """Another instant has other timeouts; for a window that is armed already that is no change."""
    from enforcer.held import armed_windows
    from enforcer.ruleset.transaction import Arm

    armed = armed_windows(state)
    left = tuple(
        op for op in change.operations if not (isinstance(op, Arm) and op.target.window in armed)
    )
    return replace(change, operations=left) if left else None


def summary(desired: Ruleset, change: Transaction | None, there: int) -> Summary:
    """`there`: how many sets and chains the kernel has now."""
    from enforcer.ruleset import render
    from enforcer.ruleset import transaction as t

    if change is None:
        return Summary((), there)
    lines: list[tuple[str, str]] = []
    touched: set[str] = set()
    for op in change.operations:
        for line in render.operation(op).splitlines():
            lines.append(("-" if line.startswith(_REMOVALS) else "+", line))
        if isinstance(op, t.AddSet):
            touched.add(op.container.name)
        elif isinstance(op, t.SetRules):
            touched.add(op.chain.name)
        elif isinstance(op, t.Load | t.Change | t.Arm | t.PutElements | t.TakeElements):
            touched.add(op.target.name)
        elif isinstance(op, t.AddChain):
            touched.add(op.name)
    names = {c.name for c in desired.containers} | {c.name for c in desired.chains}
    return Summary(tuple(lines), len(names - touched))


def _registry(
    config: Path, day: date
) -> tuple[list[dict[str, Any]] | None, str | None, str | None]:
    """What the daemon has in force against the files: a row a category that changes, or None; why
    it would refuse them for what they remove; why nothing is known. Only the daemon knows: the
    kernel's maps hold expanded addresses, not prefixes.
    """
    from enforcer.cli.places import run_dir
    from enforcer.control import DeniedError, NoDaemonError, ask

    try:
        answer = ask(run_dir(), "compare", config=str(config.absolute()), day=day.isoformat())
    except (NoDaemonError, DeniedError) as error:
        return None, None, str(error)
    if answer.get("error"):
        return None, None, str(answer["error"])
    # A daemon from before an upgrade does not tell the second.
    return list(answer["categories"]), answer.get("refused"), None


def text(answer: dict[str, Any], found: Summary, paint: Painter) -> list[str]:
    lines = [f"at {answer['at']}: armed {', '.join(answer['armed']) or 'nothing'}"]
    for row in answer["registry"] or ():
        # A daemon from before an upgrade does not tell it.
        narrow = row.get("narrow", 0)
        lines.append(
            f"category {row['category']}: "
            + paint(f"+{row['appear']:,}", "green")
            + ", "
            + paint(f"-{row['vanish']:,}", "red")
            + f" prefixes, {row['now']:,} then"
            + (f"; {paint(f'{narrow:,}', 'red')} of these lose services" if narrow else "")
        )
    if not answer["changes"]:
        return [*lines, f"nothing to do: the kernel holds just this ({found.kept} sets and chains)"]
    styles = {"+": "green", "-": "red"}
    lines += [paint(f"{sign} {line}", styles[sign]) for sign, line in found.lines]
    total = f"{len(found.add)} lines to add, {len(found.remove)} to remove"
    lines.append(
        f"{counted(answer['changes'], 'change')}: {total}, {found.kept} sets and chains kept"
    )
    return lines
