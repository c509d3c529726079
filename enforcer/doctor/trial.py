"""Tries on this kernel all that the configuration could ask of it, in a namespace of its own.

In: a configuration. Out: findings. A thread goes into a fresh namespace and ends there, and with it
the namespace and all that was loaded. The kernel may load modules meanwhile, the same that a window
would need; nothing else outside changes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from datetime import timezone as fixed_zone

from enforcer.doctor.findings import Finding, fail, ok, warning
from enforcer.drift import needed
from enforcer.errors import KernelError, PromiseError
from enforcer.kernel import shaping
from enforcer.kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink
from enforcer.kernel.nft import NftKernel
from enforcer.kernel.parking import Parking
from enforcer.kernel.probe import logs_to_user_space
from enforcer.kernel.remedies import kernel_error
from enforcer.lookup.tables import Tables
from enforcer.policy.limits import RESERVE_SHARE
from enforcer.policy.model import Activation, Guard, Mark, Once, Policy, Reserve, Window
from enforcer.ruleset import promises, render
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.compiler import compile_ruleset, epoch_ns
from enforcer.ruleset.diff import diff, teardown

_CLONE_NEWNET = 0x40000000
_PATIENCE_S = 120.0
_PROBED_LINK = "lo"
_libc = ctypes.CDLL(None, use_errno=True)


def try_out(policy: Policy, tables: Tables, now: datetime) -> list[Finding]:
    """Loads every measure on every estate and link at once, with the whole registry."""
    activations = everything(policy, now)
    try:
        desired = compile_ruleset(policy, activations, tables, devices=needed(policy))
        promises.check(desired, policy, activations, tables)
    except PromiseError as error:
        remedy = "this is a fault of enforcer's: report it, with the configuration"
        return [fail("kernel", f"a ruleset that breaks a promise was compiled: {error}", remedy)]
    found: list[Finding] = []

    def inside() -> None:
        with closing(NftKernel()) as kernel:
            found.append(judge_rules(kernel, desired, tables, epoch_ns(now)))
        with (
            closing(Netlink(NETLINK_ROUTE)) as route,
            closing(Netlink(NETLINK_NETFILTER)) as netfilter,
        ):
            found.extend(_shape(route, shaper) for shaper in desired.shapers)
            if desired.shapers:
                found.append(_judge_parking(Parking(netfilter, route, []).refusal()))
            found.append(_judge_log(logs_to_user_space(netfilter)))

    try:
        _in_namespace_of_its_own(inside)
    except (OSError, KernelError) as error:
        remedy = "run it as root, outside a container"
        fact = f"nothing could be tried in a namespace: {os.strerror(error.errno or errno.EIO)}"
        found.append(warning("kernel", fact, remedy))
    return found


def everything(policy: Policy, now: datetime) -> tuple[Activation, ...]:
    """Windows that ask for all that windows of this configuration could: guard for each estate, a
    mark of both kinds, and on each link what `reserve` may take at most.
    """
    windows = [
        _window(f"guard-{number}", now, guard=Guard(estate.name))
        for number, estate in enumerate(policy.estates, 1)
    ]
    windows.append(_window("mark", now, mark=Mark(fwmark=1, dscp=40)))
    windows += [
        _window(f"reserve-{number}", now, reserve=Reserve(link.name, RESERVE_SHARE))
        for number, link in enumerate(policy.links, 1)
    ]
    return tuple(Activation(now, now + timedelta(hours=1), window) for window in windows)


def _window(
    name: str,
    now: datetime,
    *,
    guard: Guard | None = None,
    mark: Mark | None = None,
    reserve: Reserve | None = None,
) -> Window:
    form = Once(now, now + timedelta(hours=1))
    utc = fixed_zone(timedelta(0))
    words = "trial", "enforcer doctor", "none"
    return Window(name, *words, form, utc, "UTC", mark, reserve, guard)


def judge_rules(kernel: t.Kernel, desired: v.Ruleset, tables: Tables, now_ns: int) -> Finding:
    """Loads it and reads it back, in an empty kernel that is left empty."""
    rules = replace(desired, shapers=())
    try:
        change = diff(rules, kernel.read(), now_ns)
        assert change is not None
        kernel.commit(change, now_ns)
        left = diff(rules, kernel.read(), now_ns)
    except KernelError as error:
        lacking = "; ".join(refused(kernel, rules, now_ns))
        fact = f"refuses the rules of this configuration ({error.operation}: "
        fact += f"{os.strerror(error.errno)})" + (f"; it lacks: {lacking}" if lacking else "")
        return fail(
            "kernel", fact, "use Linux 5.10 or later with all of nf_tables, as Debian's has"
        )
    # What is left of a timeout moves on while we look.
    wrong = [op for op in left.operations if not isinstance(op, t.Arm)] if left else []
    if wrong:
        what = ", ".join(sorted({type(op).__name__ for op in wrong}))
        fact = f"holds something else than what it was given ({what})"
        return fail("kernel", fact, "this kernel's nf_tables does not work right; try another")
    count = sum(number for _, _, number in tables.prefixes)
    return ok(
        "kernel",
        f"{os.uname().release} takes the whole ruleset of all measures: {len(rules.chains)} "
        f"chains, {len(rules.containers)} sets and maps, {count:,} prefixes",
    )


def refused(kernel: t.Kernel, rules: v.Ruleset, now_ns: int) -> list[str]:
    """What of it the kernel refuses when it is tried alone, as nft writes it."""
    found = []
    for name, alone in _parts(rules):
        try:
            clear = teardown(kernel.read())
            if clear is not None:
                kernel.commit(clear, now_ns)
            change = diff(alone, kernel.read(), now_ns)
            if change is not None:
                kernel.commit(change, now_ns)
        except KernelError:
            found.append(name)
    return found


_LEADS_ON = (v.Goto, v.Jump, v.ByClass)
_KIND: dict[type, str] = {
    v.SmallSet: "hash sets",
    v.ArmingSet: "sets with timeouts",
    v.RegisteredMap: "maps of addresses",
    v.FrontSet: "bitmap sets",
}


def _parts(rules: v.Ruleset) -> Iterator[tuple[str, v.Ruleset]]:
    """One of each kind of set, of hook and of statement, alone with the sets that it needs."""
    kinds = {type(c): c for c in rules.containers if not isinstance(c, v.ClassMap)}
    for kind, container in kinds.items():
        yield _KIND[kind], v.Ruleset((container,))
    hooks = {c.hook.name: c.hook for c in rules.chains if c.hook is not None}
    for hook in hooks.values():
        yield f"hook {hook.name}", v.Ruleset(chains=(v.Chain("probe", (), hook),))
    every = (s for chain in rules.chains for rule in chain.rules for s in rule.statements)
    statements = {(type(s), getattr(s, "family", None)): s for s in every}
    for statement in statements.values():
        if isinstance(statement, _LEADS_ON):
            continue
        alone = tuple(c for c in rules.containers if c.name in _needs(statement))
        counters = (statement.counter,) if isinstance(statement, v.Count) else ()
        chain = v.Chain("probe", (v.Rule((statement,)),))
        yield render.statement(statement), v.Ruleset(alone, (chain,), counters)


def _needs(statement: v.Statement) -> set[str]:
    found = {getattr(statement, "set_name", None), getattr(statement, "map_name", None)}
    window = getattr(statement, "window", None)
    if isinstance(statement, v.FrontIn):
        found.add(v.FRONT)
    if window is not None:
        found.add(v.armed_set(window))
    return {name for name in found if isinstance(name, str)}


def _shape(route: Netlink, shaper: v.Shaper) -> Finding:
    """Our HTB, on the loopback of the namespace."""
    about = f"HTB for {shaper.device}"
    index = next(i for i, name in shaping.read_devices(route).items() if name == _PROBED_LINK)
    tried = replace(shaper, device=_PROBED_LINK)
    try:
        shaping.put(route, tried, index, "reserve", _bare)
        root = next(r for r in shaping.read_roots(route) if r.device_index == index)
        held = shaping.read_shaper(route, root, _PROBED_LINK)
        shaping.remove(route, _PROBED_LINK, index, _bare)
    except KernelError as error:
        fact, _, _ = str(error).partition("; ")
        return fail("kernel", fact, "enable CONFIG_NET_SCH_HTB, or load the module sch_htb", about)
    if held != tried:
        fact = f"holds other rates than it was given: {held.rate_bps:,} bit/s"
        return fail("kernel", fact, "give another rate to the link, or try another kernel", about)
    return ok("kernel", f"works at {shaper.rate_bps:,} bit/s", about)


def _bare(device: str, rate_bps: int) -> AbstractContextManager[None]:
    return nullcontext()


def _judge_parking(refusal: int | None) -> Finding:
    about = "HTB without loss"
    if refusal is None:
        return ok("kernel", "packets are parked while a root qdisc is exchanged", about)
    return warning(
        "kernel",
        f"cannot park packets: {kernel_error('park', refusal)}".partition("; ")[0],
        "enable CONFIG_NETFILTER_EGRESS, NFT_FWD_NETDEV and VETH (Linux 5.17 or later), or load "
        "nft_fwd_netdev and veth; without, each edge of a reserve window loses some milliseconds "
        "of its link's packets",
        about,
    )


def _judge_log(refusal: int | None) -> Finding:
    if refusal is None:
        return ok("kernel", "headers can be sampled (NFLOG)", "nfnetlink_log")
    return warning(
        "kernel",
        f"no packet can be sampled: {kernel_error('log', refusal)}".partition("; ")[0],
        "enable CONFIG_NETFILTER_NETLINK_LOG and NFT_LOG, or load nfnetlink_log and nft_log; "
        "windows work without",
        "nfnetlink_log",
    )


def _in_namespace_of_its_own(work: Callable[[], None]) -> None:
    """Runs `work` in a thread with a fresh network namespace. Raises what it raises, and OSError
    where this process may not make one.
    """
    raised: list[BaseException] = []

    def thread() -> None:
        try:
            if _libc.unshare(_CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            work()
        except BaseException as error:
            raised.append(error)

    worker = threading.Thread(target=thread, name="trial", daemon=True)
    worker.start()
    worker.join(_PATIENCE_S)
    if worker.is_alive():
        raise TimeoutError(f"the kernel took more than {_PATIENCE_S:.0f} s")
    if raised:
        raise raised[0]
