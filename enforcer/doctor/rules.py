"""Judges what other programs do to the packets that enforcer lets through, marks or reserves for.

In: the policy, and base chains, flowtables and counts as they were read. Out: findings. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from enforcer.doctor.findings import Finding, fail, ok, warning
from enforcer.drift import needed
from enforcer.kernel.others import BaseChain, Others
from enforcer.policy.model import Policy
from enforcer.policy.prefix import BITS, Family
from enforcer.ruleset import guard, mark
from enforcer.ruleset.vocabulary import TABLE

Addresses = frozenset[tuple[Family, int]]


@dataclass(frozen=True, slots=True)
class LegacyTable:
    """A table of iptables-legacy in use. `chains`: (name, policy drops, rules that drop) of those
    that are hooked; None when its rules could not be read.
    """

    program: str
    name: str
    chains: tuple[tuple[str, bool, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Conntrack:
    """Entries in the connection table of this namespace, and how many it takes."""

    count: int
    most: int


def judge_others(policy: Policy, others: Others, addresses: Addresses) -> list[Finding]:
    local = estate_is_here(policy, addresses)
    met = [c for c in others.chains if _is_met(c, policy, local)]
    found = [_dropping(c) for c in met if c.closed or c.drops]
    if not found:
        found = [ok("chains", f"none of {len(met)} base chains on the way drops anything")]
    tagging = any(w.mark and w.mark.fwmark is not None for w in policy.windows)
    found += [_overwriting(c) for c in met if tagging and _marks_after(c)]
    return [*found, *_judge_flowtables(policy, others)]


def estate_is_here(policy: Policy, addresses: Addresses) -> bool:
    """Whether an estate's address is this machine's own."""
    return any(
        prefix.family == family and (number ^ prefix.network) >> (BITS[family] - prefix.length) == 0
        for estate in policy.estates
        for prefix in estate.prefixes
        for family, number in addresses
    )


def _is_met(chain: BaseChain, policy: Policy, local: bool) -> bool:
    """Whether traffic that enforcer acts on passes the chain."""
    if (chain.family, chain.table) == ("inet", TABLE) or chain.family == "arp":
        return False
    if chain.hook in ("ingress", "egress"):
        return bool(needed(policy) & set(chain.devices))
    return chain.hook in ("prerouting", "forward", "postrouting") or (
        local and chain.hook == "input"
    )


def _where(chain: BaseChain) -> str:
    if chain.hook == "ingress" or (
        chain.hook == "prerouting" and chain.priority < guard.HOOK.priority
    ):
        order = "before enforcer, which never sees what it drops"
    else:
        order = "after enforcer, whose letting in does not bind it"
    return f"hook {chain.hook}, priority {chain.priority}, {order}"


def _named(chain: BaseChain) -> str:
    return f"{chain.family} {chain.table} {chain.name}"


def _dropping(chain: BaseChain) -> Finding:
    if chain.closed:
        does = "drops all that no rule of it accepts"
    else:
        does = f"{_rules(chain.drops)} of it or behind it may drop"
    return warning(
        "chains",
        f"{does} ({_where(chain)})",
        "see that registered traffic and the services of your estates get through: "
        f"nft list chain {_named(chain)}",
        _named(chain),
    )


def _rules(number: int) -> str:
    return "1 rule" if number == 1 else f"{number:,} rules"


def _marks_after(chain: BaseChain) -> bool:
    late = chain.hook != "prerouting" or chain.priority >= mark.HOOK.priority
    return bool(chain.marks) and late and chain.hook != "ingress"


def _overwriting(chain: BaseChain) -> Finding:
    return warning(
        "marks",
        f"{_rules(chain.marks)} of it or behind it set the packet mark after enforcer did "
        f"(hook {chain.hook}, priority {chain.priority})",
        "have it leave marked packets alone (meta mark 0), or mark with dscp: "
        f"nft list chain {_named(chain)}",
        _named(chain),
    )


def _judge_flowtables(policy: Policy, others: Others) -> list[Finding]:
    ours = needed(policy)
    found = []
    for table in others.flowtables:
        shared = sorted(ours & set(table.devices))
        if not shared:
            continue
        how = "in the network card" if table.hardware else "past every chain"
        found.append(
            fail(
                "flowtable",
                f"flows that it holds go {how}: mark and reserve do not see them on "
                f"{', '.join(shared)}, and guard not all of them",
                f"take {', '.join(shared)} out of it: nft list flowtable "
                f"{table.family} {table.table} {table.name}",
                f"{table.family} {table.table} {table.name}",
            )
        )
    return found or [ok("flowtable", "no flowtable takes packets past the rules")]


def judge_legacy(tables: Iterable[LegacyTable], local: bool) -> list[Finding]:
    """iptables-legacy runs beside nf_tables, at the same hooks; what either drops is dropped."""
    hooked = {"PREROUTING", "FORWARD", "POSTROUTING"} | ({"INPUT"} if local else set())
    found = []
    for table in tables:
        about = f"{table.program} {table.name}"
        look = f"{table.program} -t {table.name} -S"
        if table.chains is None:
            found.append(
                warning(
                    "legacy",
                    "its rules are in force and could not be read here",
                    f"see that it drops nothing that is to get through: {look}",
                    about,
                )
            )
            continue
        for name, closed, drops in table.chains:
            if name in hooked and (closed or drops):
                does = "drops all that no rule of it accepts" if closed else "has rules that drop"
                found.append(
                    warning(
                        "legacy",
                        f"{does}, whatever enforcer lets in",
                        f"see that registered traffic gets through: {look}",
                        f"{about} {name}",
                    )
                )
    return found


_FULL = 0.8


def judge_conntrack(conntrack: Conntrack | None, others: Others) -> Finding:
    """Its table overflows in a flood of new flows; then the kernel drops everybody's."""
    tracked = any(chain.tracks for chain in others.chains)
    if conntrack is None or (not tracked and not conntrack.count):
        return ok("conntrack", "not in use: its table cannot overflow")
    fact = f"{conntrack.count:,} of {conntrack.most:,} entries in use"
    if conntrack.count < _FULL * conntrack.most:
        return ok("conntrack", fact)
    return warning(
        "conntrack",
        f"{fact}; when it is full the kernel drops every new flow, registered or not",
        "raise net.netfilter.nf_conntrack_max, or let the estates' traffic pass untracked "
        "(notrack in a raw prerouting chain)",
    )


@dataclass(frozen=True, slots=True)
class Listener:
    """Whoever listens to changes of nf_tables: a process (None: not seen) and its program's name;
    `here`: in this network namespace.
    """

    process: int | None
    program: str
    here: bool


def judge_listeners(listeners: Sequence[Listener]) -> list[Finding]:
    """The kernel builds a message for each element of a load as soon as anybody listens."""
    if not listeners:
        return [ok("listeners", "nobody else listens to changes of nf_tables")]
    return [_listening(each) for each in listeners]


def _listening(listener: Listener) -> Finding:
    who = f"process {listener.process}" if listener.process is not None else "somebody"
    program = f" ({listener.program})" if listener.program else ""
    where = "" if listener.here else " of another network namespace"
    end = (
        f"kill {listener.process}"
        if listener.process is not None
        else "lsof -n | grep NETFILTER tells who"
    )
    return warning(
        "listeners",
        f"{who}{program}{where} listens to changes of nf_tables: the kernel builds a message for "
        "each element that is loaded, and a million prefixes take half a minute and gigabytes of "
        "memory instead of two seconds",
        f"end it when it is not needed: {end}; a program that must listen should not do so while a "
        "registry is loaded",
    )
