"""What is named and not there, from values."""

from __future__ import annotations

from datetime import UTC, datetime

from enforcer.absent import elsewhere, missing_devices, places, unguarded, warned
from enforcer.policy.model import Gateway, Guard, Link, Mark, Once, Policy, Window

AT = datetime(2026, 12, 1, 8, tzinfo=UTC)
GUARDS = Window("ddos", "r", "d", "f", Once(AT, AT), UTC, "UTC", guard=Guard("e"))
MARKS = Window("exam", "r", "d", "f", Once(AT, AT), UTC, "UTC", mark=Mark(1))
POLICY = Policy(
    Gateway("gw", ("wan0", "wan1")),
    (),
    links=(Link("up", "wan0", 10**9), Link("lan", "lan0", 10**9)),
    windows=(GUARDS, MARKS),
)


def test_uplinks_come_first_and_each_device_once() -> None:
    assert missing_devices(POLICY, {"wan1"}) == ("wan0", "lan0")
    assert places(POLICY, ["wan0", "lan0"]) == [
        "gateway.uplinks: wan0",
        "links.up.device: wan0",
        "links.lan.device: lan0",
    ]


def test_whoever_loads_is_warned_of_each() -> None:
    assert warned(POLICY, ()) is None
    assert warned(POLICY, ("wan1",)) == (
        "uplink wan1 is not there: nothing that comes in by it is guarded; see: ip link"
    )
    assert warned(POLICY, ("lan0",)) == (
        "link lan: lan0 is not there: nothing is reserved on it; see: ip link"
    )
    assert len((warned(POLICY, ("wan0", "wan1", "lan0")) or "").splitlines()) == 4


def test_guard_without_any_uplink_is_a_problem_and_no_other_measure() -> None:
    on = ["ddos", "exam"]
    assert unguarded(POLICY, {"lan0"}, on) == (
        "no uplink is there (wan0, wan1), so guard holds back nothing: ddos; see: ip link"
    )
    assert unguarded(POLICY, {"wan1"}, on) is None
    assert unguarded(POLICY, (), ["exam"]) is None
    assert unguarded(POLICY, (), []) is None


def test_files_of_another_machine_name_no_uplink_of_this_one() -> None:
    assert elsewhere(POLICY, ("lo", "wan1")) is None
    assert elsewhere(POLICY, ()) is None, "nothing is known"
    fact = "gateway.uplinks: none of wan0, wan1 is on this machine; interfaces that are: "
    remedy = "; correct the name, unless the files are for another machine"
    assert elsewhere(POLICY, ("lo",)) == f"{fact}none{remedy}"
    many = ("eth9", *(f"eth{n}" for n in range(7)), "lo")
    assert elsewhere(POLICY, many) == f"{fact}eth9, eth0, eth1, eth2, eth3 and 3 more{remedy}"
