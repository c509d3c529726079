"""What other programs do to packets that enforcer lets through, judged from values."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from enforcer.doctor.findings import Finding, fail, ok, warning
from enforcer.doctor.rules import (
    Conntrack,
    LegacyTable,
    Listener,
    estate_is_here,
    judge_conntrack,
    judge_legacy,
    judge_listeners,
    judge_others,
)
from enforcer.kernel.others import BaseChain, Flowtable, Others, read_others
from enforcer.kernel.wire import Message, Reply, attribute, be32, nested, text
from enforcer.policy.model import Estate, Gateway, Link, Mark, Policy
from enforcer.policy.prefix import Family, parse_prefix
from tests.ruleset.builders import window

POLICY = Policy(
    Gateway("gw", ("wan0",)),
    ("software-house",),
    estates=(Estate("vpn", (parse_prefix("203.0.113.0/28"),), ()),),
    links=(Link("lan", "lan0", 10**9),),
)
NOWHERE: frozenset[tuple[Family, int]] = frozenset()
INSIDE: frozenset[tuple[Family, int]] = frozenset({(4, 0xCB007105)})
DROPS = BaseChain("inet", "fw", "forward", "filter", "forward", 0, closed=True)


def levels(chain: BaseChain, addresses: frozenset[tuple[Family, int]] = NOWHERE) -> list[str]:
    return [f.level for f in judge_others(POLICY, Others((chain,)), addresses)]


def test_a_forward_chain_with_policy_drop_is_a_warning_with_the_command_that_shows_it() -> None:
    found = judge_others(POLICY, Others((DROPS,)), NOWHERE)
    assert found[0] == Finding(
        "chains",
        "warning",
        "drops all that no rule of it accepts (hook forward, priority 0, after enforcer, whose "
        "letting in does not bind it)",
        "see that registered traffic and the services of your estates get through: "
        "nft list chain inet fw forward",
        "inet fw forward",
    )


@pytest.mark.parametrize(
    ("hook", "priority", "words"),
    [
        ("prerouting", -301, "before enforcer, which never sees what it drops"),
        ("prerouting", -300, "after enforcer"),
        ("postrouting", 0, "after enforcer"),
    ],
)
def test_before_or_after_ours_is_told(hook: str, priority: int, words: str) -> None:
    chain = replace(DROPS, hook=hook, priority=priority, closed=False, drops=2)
    (first, *_) = judge_others(POLICY, Others((chain,)), NOWHERE)
    assert first.fact.startswith("2 rules of it or behind it may drop")
    assert words in first.fact


def test_chains_that_registered_traffic_never_meets_are_left_out() -> None:
    for chain in (
        replace(DROPS, hook="output"),
        replace(DROPS, hook="input"),
        replace(DROPS, table="enforcer"),
        replace(DROPS, family="netdev", hook="ingress", devices=("eth9",)),
        replace(DROPS, closed=False),
    ):
        assert levels(chain) == ["ok", "ok"], chain


def test_input_counts_where_an_estate_is_this_machine_and_ingress_on_our_devices() -> None:
    assert levels(replace(DROPS, hook="input"), INSIDE) == ["warning", "ok"]
    assert levels(replace(DROPS, family="netdev", hook="ingress", devices=("lan0",)))[0] == (
        "warning"
    )
    assert estate_is_here(POLICY, INSIDE)
    assert not estate_is_here(POLICY, frozenset({(4, 0xCB007110), (6, 0xCB007105)}))


def test_a_mark_set_after_ours_is_told_only_where_windows_mark() -> None:
    late = replace(DROPS, closed=False, marks=1)
    marking = replace(POLICY, windows=(window("tag", mark=Mark(fwmark=7)),))
    assert [f.check for f in judge_others(POLICY, Others((late,)), NOWHERE)] == [
        "chains",
        "flowtable",
    ]
    (_, found, _) = judge_others(marking, Others((late,)), NOWHERE)
    assert (found.check, found.level) == ("marks", "warning")
    assert "1 rule of it or behind it set the packet mark after enforcer did" in found.fact
    early = replace(late, hook="prerouting", priority=-151)
    assert len(judge_others(marking, Others((early,)), NOWHERE)) == 2


@pytest.mark.parametrize("hardware", [False, True])
def test_a_flowtable_on_a_link_fails_and_one_elsewhere_does_not(hardware: bool) -> None:
    table = Flowtable("inet", "fw", "fast", ("lan0", "eth7"), hardware)
    (_, found) = judge_others(POLICY, Others(flowtables=(table,)), NOWHERE)
    how = "in the network card" if hardware else "past every chain"
    assert found == fail(
        "flowtable",
        f"flows that it holds go {how}: mark and reserve do not see them on lan0, and guard not "
        "all of them",
        "take lan0 out of it: nft list flowtable inet fw fast",
        "inet fw fast",
    )
    elsewhere = replace(table, devices=("eth7",))
    assert levels_of_flowtable(elsewhere) == "ok"


def levels_of_flowtable(table: Flowtable) -> str:
    return judge_others(POLICY, Others(flowtables=(table,)), NOWHERE)[-1].level


class AnsweringSocket:
    """Dumps as a kernel with flowtables would answer them; this machine's may have none."""

    def dump(self, message: Message) -> list[Reply]:
        if message.nft_kind != 23:
            return []
        devices = nested(3, text(1, "wan0"), text(1, "lan0"))
        hook = nested(3, be32(1, 0), be32(2, 0), devices)
        attrs = text(1, "fw") + text(2, "fast") + hook + be32(7, 1)
        body = struct.pack(">BBH", 1, 0, 0) + attrs + attribute(5, bytes(8))
        return [Reply(0xA16, 0, 1, memoryview(body))]


def test_a_flowtable_is_read_as_the_kernel_dumps_it() -> None:
    others = read_others(AnsweringSocket())  # type: ignore[arg-type]
    assert others == Others((), (Flowtable("inet", "fw", "fast", ("wan0", "lan0"), True),))


def test_legacy_tables_are_judged_beside_nftables() -> None:
    filtering = LegacyTable(
        "iptables-legacy",
        "filter",
        (("INPUT", True, 0), ("FORWARD", True, 0), ("OUTPUT", True, 3)),
    )
    assert [f.about for f in judge_legacy([filtering], False)] == ["iptables-legacy filter FORWARD"]
    assert len(judge_legacy([filtering], True)) == 2
    (unread,) = judge_legacy([LegacyTable("ip6tables-legacy", "raw")], False)
    assert unread.remedy.endswith("ip6tables-legacy -t raw -S")
    assert (
        judge_legacy([LegacyTable("iptables-legacy", "nat", (("PREROUTING", False, 0),))], True)
        == []
    )


@pytest.mark.parametrize(
    ("conntrack", "tracks", "found"),
    [
        (None, True, ok("conntrack", "not in use: its table cannot overflow")),
        (Conntrack(0, 100), False, ok("conntrack", "not in use: its table cannot overflow")),
        (Conntrack(79, 100), True, ok("conntrack", "79 of 100 entries in use")),
        (
            Conntrack(80, 100),
            True,
            warning(
                "conntrack",
                "80 of 100 entries in use; when it is full the kernel drops every new flow, "
                "registered or not",
                "raise net.netfilter.nf_conntrack_max, or let the estates' traffic pass untracked "
                "(notrack in a raw prerouting chain)",
            ),
        ),
    ],
)
def test_a_connection_table_that_fills_is_a_warning(
    conntrack: Conntrack | None, tracks: bool, found: Finding
) -> None:
    assert judge_conntrack(conntrack, Others((replace(DROPS, tracks=tracks),))) == found


def test_whoever_listens_is_named_with_what_it_costs() -> None:
    assert [f.level for f in judge_listeners([])] == ["ok"]
    near, far, unseen = judge_listeners(
        [Listener(7, "nft", True), Listener(8, "agent", False), Listener(None, "", True)]
    )
    assert {f.level for f in (near, far, unseen)} == {"warning"}
    assert near.fact.startswith("process 7 (nft) listens to changes of nf_tables: ")
    assert far.fact.startswith("process 8 (agent) of another network namespace listens to ")
    assert unseen.fact.startswith("somebody listens to changes of nf_tables: ")
    assert "kill 7;" in near.remedy
    assert "lsof" in unseen.remedy
