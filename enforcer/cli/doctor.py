"""`enforcer doctor`: whether this machine can do what the configuration asks, one line a fact, each
with its remedy. Exit 1 when something fails. It changes nothing.
"""

from __future__ import annotations

import argparse
import errno
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import Painter, counted, print_json, wrapped
from enforcer.cli.waiting import Waiting

if TYPE_CHECKING:
    from enforcer.doctor.findings import Finding
    from enforcer.policy.model import Policy
    from enforcer.sources.load import Configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-trial",
        action="store_true",
        help="do not load the ruleset in a network namespace of its own",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer.doctor.machine import sorted_as_read

    with Waiting("looking at this gateway"):
        findings = sorted_as_read(list(_examine(args)))
    failed = any(finding.level == "fail" for finding in findings)
    if args.format == "json":
        print_json(view(findings))
    else:
        width = shutil.get_terminal_size((100, 24)).columns
        print("\n".join(text(findings, Painter(args), width)))
    return EXIT_FAILED if failed else 0


def _examine(args: argparse.Namespace) -> list[Finding]:
    from enforcer import __version__
    from enforcer.cli.places import orders_unsaid, run_dir, state_dir
    from enforcer.clock import SystemClock
    from enforcer.doctor import look, machine
    from enforcer.doctor.feeds import judge_feeds, judge_keys
    from enforcer.doctor.findings import fail
    from enforcer.errors import KernelError, PolicyError
    from enforcer.feedlooks import FeedLooks
    from enforcer.policy.model import Gateway, Policy
    from enforcer.sources.load import load_configuration
    from enforcer.synchronised import socket_path

    clock = SystemClock()
    now = clock.now()
    findings: list[Finding] = []
    config: Configuration | None = None
    try:
        config = load_configuration(args.config, now, orders_unsaid())
    except PolicyError as error:
        told = counted(error.count, "mistake")
        fact = f"{args.config}: {told}, the first: {error.problems[0].for_all}"
        findings.append(fail("config", fact, f"see all: enforcer check --config {args.config}"))
    policy = config.policy if config else Policy(Gateway("", ()), ())
    findings += machine.judge_rights(look.effective_capabilities())
    if config is not None:
        findings += _judge_config(args, config)
        looks = FeedLooks(args.config.absolute().parent).now(policy.registry.feeds)
        findings += judge_feeds(looks, now) + judge_keys(policy.registry.feeds, looks)
    foreign = None
    try:
        found, foreign = _ask_kernel(policy)
        findings += found
    except (KernelError, OSError) as error:
        fact = f"cannot be read: {os.strerror(error.errno or errno.EIO)}"
        findings.append(fail("kernel", fact, "run it as root, in the gateway's namespace"))
    required = policy.gateway.require_synchronised_clock
    facts = look.clock(clock.synchronised(), socket_path())
    findings += machine.judge_clock(facts, required)
    user = look.user()
    findings += machine.judge_folder("state", look.folder(state_dir()), user)
    findings += machine.judge_files("state", look.files(look.state_files(state_dir()), user), user)
    read = look.config_files(args.config, policy.registry.files)
    findings += machine.judge_files("config", look.files(read, user), user)
    findings += machine.judge_folder("run", look.folder(run_dir()), user)
    findings += machine.judge_daemons(look.daemons(run_dir(), foreign), __version__)
    findings += machine.judge_units(look.units())
    findings.append(machine.judge_zones(look.zone_database(), now.year))
    return findings


def _judge_config(args: argparse.Namespace, config: Configuration) -> list[Finding]:
    from enforcer.clock import SystemClock
    from enforcer.doctor.findings import ok
    from enforcer.doctor.machine import judge_registered
    from enforcer.doctor.trial import try_out
    from enforcer.lookup.planner import plan
    from enforcer.lookup.tree import RadixTree

    now, policy = SystemClock().now(), config.policy
    tables = plan(RadixTree.build(config.registry, now.date()), policy.registry.kernel_memory_bytes)
    valid = sum(count for _, _, count in tables.prefixes)
    windows, estates = (
        counted(len(policy.windows), "window"),
        counted(len(policy.estates), "estate"),
    )
    findings = [
        ok("config", f"{args.config}: {windows}, {estates}"),
        judge_registered(len(config.registry), valid),
    ]
    return findings if args.no_trial else findings + try_out(policy, tables, now)


def _ask_kernel(policy: Policy) -> tuple[list[Finding], str | None]:
    """What the kernel of this namespace has, judged; why the table of our name is not ours."""
    from enforcer.doctor import look, paths, rules
    from enforcer.drift import needed
    from enforcer.kernel.links import read_addresses, read_links
    from enforcer.kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink
    from enforcer.kernel.nft import NftKernel
    from enforcer.kernel.others import read_others

    with closing(Netlink(NETLINK_ROUTE)) as route:
        devices = read_links(route, needed(policy))
        addresses = read_addresses(route)
    with closing(Netlink(NETLINK_NETFILTER)) as netfilter:
        others = read_others(netfilter)
    with closing(NftKernel()) as kernel:
        state = kernel.read()
    here = rules.estate_is_here(policy, addresses)
    foreign = state.foreign
    held = state.exists and foreign is None
    findings = paths.judge_devices(policy, devices, held=held)
    findings += paths.judge_mtu(policy, devices, look.sysctl)
    findings += rules.judge_others(policy, others, addresses)
    findings += rules.judge_legacy(look.legacy_tables(), here)
    findings += paths.judge_sources(policy, devices, look.sysctl, others)
    findings += paths.judge_forwarding(policy, look.sysctl, here)
    findings.append(rules.judge_conntrack(look.conntrack(), others))
    findings += rules.judge_listeners(look.listeners())
    return findings, foreign


def view(findings: Sequence[Finding]) -> dict[str, Any]:
    from enforcer.doctor.findings import counts

    levels = counts(findings)
    listed = [
        {
            "check": f.check,
            "about": f.about or None,
            "level": f.level,
            "fact": f.fact,
            "remedy": f.remedy or None,
        }
        for f in findings
    ]
    return {"ok": not levels["fail"], "counts": levels, "findings": listed}


_STYLES = {"ok": "green", "warning": "yellow", "fail": "red"}


def text(findings: Sequence[Finding], paint: Painter, width: int) -> list[str]:
    """A fact a line, wrapped to the terminal; below it what to do."""
    from enforcer.doctor.findings import counts

    margin = max(len(f.check) for f in findings) + 11
    room = max(width - margin, 40)
    lines = []
    for f in findings:
        fact = f"{f.about}: {f.fact}" if f.about else f.fact
        first, *more = wrapped(fact, room)
        head = paint(f.level.ljust(7), _STYLES[f.level]) + f"  {f.check}".ljust(margin - 7)
        lines.append(head + first)
        lines += [" " * margin + line for line in more]
        if f.remedy:
            lines += [" " * margin + paint(line, "dim") for line in wrapped(f"→ {f.remedy}", room)]
    levels = counts(findings)
    lines.append("")
    lines.append(
        f"{levels['ok']} ok, {counted(levels['warning'], 'warning')}, {levels['fail']} failed"
    )
    return lines
