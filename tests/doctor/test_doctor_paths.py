"""Devices and sysctls, judged from values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from enforcer.doctor.findings import Finding
from enforcer.doctor.paths import (
    Sysctl,
    judge_devices,
    judge_forwarding,
    judge_mtu,
    judge_sources,
)
from enforcer.kernel.links import Device
from enforcer.kernel.others import BaseChain, Others
from enforcer.kernel.shaping import Qdisc
from enforcer.policy.model import Gateway, Link, Policy

POLICY = Policy(Gateway("gw", ("wan0",)), (), links=(Link("wan", "wan0", 10**9),))
WAN = Device("wan0")


def numbers(values: Mapping[str, int]) -> Sysctl:
    return values.get


def judged(device: Device) -> list[tuple[str, str]]:
    return [(f.check, f.level) for f in judge_devices(POLICY, {"wan0": device})]


def test_a_device_that_is_not_there_fails_and_names_those_that_are() -> None:
    devices = {"lo": Device("lo"), "eth0": Device("eth0"), "eth1": Device("eth1")}
    assert judge_devices(POLICY, devices) == [
        Finding(
            "device",
            "fail",
            "does not exist, so the daemon does not start",
            "create it, or name one of those there are: eth0, eth1",
            "uplink wan0",
        )
    ]


@pytest.mark.parametrize(
    ("there", "held", "facts"),
    [
        ({}, False, ["nothing is reserved on it", "the daemon does not start"]),
        ({}, True, ["nothing is reserved on it", "nothing that comes in by it is guarded"]),
        (
            {"ppp0": Device("ppp0")},
            False,
            ["nothing is reserved on it", "nothing that comes in by it is guarded"],
        ),
    ],
)
def test_the_daemon_does_not_start_only_without_any_uplink_and_with_nothing_in_force(
    there: dict[str, Device], held: bool, facts: list[str]
) -> None:
    gateway = Gateway("gw", ("wan0", "ppp0") if there else ("wan0",))
    policy = Policy(gateway, (), links=(Link("lan", "lan0", 10**9),))
    found = [f.fact for f in judge_devices(policy, there, held=held) if f.level == "fail"]
    assert found == [f"does not exist, so {fact}" for fact in facts]


def test_a_link_that_is_no_uplink_is_looked_at_too() -> None:
    policy = replace(POLICY, links=(Link("lan", "lan0", 1),))
    assert [f.about for f in judge_devices(policy, {})] == ["link lan0", "uplink wan0"]


@pytest.mark.parametrize(
    ("device", "found"),
    [
        (WAN, [("device", "ok"), ("qdisc", "ok")]),
        (replace(WAN, up=False), [("device", "warning"), ("qdisc", "ok")]),
        (replace(WAN, running=False), [("device", "warning"), ("qdisc", "ok")]),
        (replace(WAN, xdp=True), [("device", "ok"), ("device", "warning"), ("qdisc", "ok")]),
        (
            replace(WAN, features=frozenset({"hw-tc-offload", "rx-gro"})),
            [("device", "ok"), ("offload", "warning"), ("qdisc", "ok")],
        ),
    ],
)
def test_the_state_of_a_device(device: Device, found: list[tuple[str, str]]) -> None:
    assert judged(device) == found


@pytest.mark.parametrize(
    ("root", "level", "words"),
    [
        (Qdisc(1, "htb", 0x10000, 0x20), "fail", "the root qdisc htb 1: is another program's"),
        (Qdisc(1, "cake", 0x80010000, None), "fail", "the root qdisc cake 8001: is another"),
        (Qdisc(1, "htb", 0xE4F00000, 0x20), "ok", "enforcer's own HTB"),
        (Qdisc(1, "mq", 0, None), "warning", "one lock serialises all its queues"),
        (Qdisc(1, "fq_codel", 0, None), "ok", "the kernel's default (fq_codel)"),
        (Qdisc(1, "noqueue", 0, None), "ok", "none; reserve puts its HTB there"),
    ],
)
def test_the_root_qdisc_of_a_link(root: Qdisc, level: str, words: str) -> None:
    found = judge_devices(POLICY, {"wan0": replace(WAN, root=root)})[-1]
    assert (found.check, found.level, found.about) == ("qdisc", level, "link wan (wan0)")
    assert words in found.fact


@pytest.mark.parametrize(
    ("mtu", "other", "level"),
    [(1500, 1500, "ok"), (1492, 1500, "warning"), (1500, 9000, "warning"), (1279, 1500, "fail")],
)
def test_the_mtu_of_an_uplink(mtu: int, other: int, level: str) -> None:
    devices = {"wan0": replace(WAN, mtu=mtu), "lan0": Device("lan0", mtu=other)}
    assert [f.level for f in judge_mtu(POLICY, devices, numbers({}))] == [level]
    asleep = devices | {"down": Device("down", up=False, mtu=65536)}
    assert [f.level for f in judge_mtu(POLICY, asleep, numbers({}))] == [level]


def test_a_machine_that_does_no_path_mtu_discovery_is_told() -> None:
    off = numbers({"net/ipv4/ip_no_pmtu_disc": 1})
    assert [f.level for f in judge_mtu(POLICY, {"wan0": WAN}, off)] == ["ok", "warning"]


@pytest.mark.parametrize(
    ("own", "every", "level", "words"),
    [
        (0, 0, "warning", "IPv4: off: anybody who can send"),
        (2, 0, "warning", "IPv4: loose, which a default route makes worth nothing"),
        (1, 2, "warning", "IPv4: loose"),
        (1, 0, "ok", "IPv4: strict"),
        (0, 1, "ok", "IPv4: strict"),
    ],
)
def test_the_kernel_takes_the_larger_rp_filter(
    own: int, every: int, level: str, words: str
) -> None:
    values = {"net/ipv4/conf/wan0/rp_filter": own, "net/ipv4/conf/all/rp_filter": every}
    found = judge_sources(POLICY, {"wan0": WAN}, numbers(values), Others())
    assert found[0].level == level
    assert found[0].fact.startswith(words)
    assert (found[1].level, found[1].fact[:4]) == ("warning", "IPv6")


def test_strict_with_two_uplinks_is_a_warning_for_asymmetric_routes() -> None:
    policy = replace(POLICY, gateway=Gateway("gw", ("wan0", "wan1")))
    strict = numbers({"net/ipv4/conf/all/rp_filter": 1})
    found = judge_sources(policy, {"wan0": WAN}, strict, Others())
    assert "with several uplinks" in found[0].fact


@pytest.mark.parametrize(
    ("family", "levels"),
    [("inet", ["ok", "ok"]), ("ip6", ["warning", "ok"]), ("ip", ["ok", "warning"])],
)
def test_a_rule_that_asks_the_routes_about_the_source_is_seen(
    family: str, levels: list[str]
) -> None:
    chain = BaseChain(family, "fw", "raw", "filter", "prerouting", -300, checks_source=True)
    found = judge_sources(POLICY, {"wan0": WAN}, numbers({}), Others((chain,)))
    assert [f.level for f in found] == levels
    late = replace(chain, hook="forward")
    assert judge_sources(POLICY, {"wan0": WAN}, numbers({}), Others((late,)))[0].level == "warning"


@pytest.mark.parametrize(
    ("v4", "v6", "here", "levels"),
    [
        (1, 1, False, ["ok", "ok"]),
        (1, 0, False, ["ok", "warning"]),
        (0, 0, False, ["fail", "fail"]),
        (0, 0, True, ["warning", "warning"]),
    ],
)
def test_forwarding(v4: int, v6: int, here: bool, levels: list[str]) -> None:
    values = numbers({"net/ipv4/ip_forward": v4, "net/ipv6/conf/all/forwarding": v6})
    assert [f.level for f in judge_forwarding(POLICY, values, here)] == levels
