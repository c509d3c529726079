"""Shapers: one contract for both kernels, and packets in the real one's classes."""

from __future__ import annotations

import errno
import re
import socket
from dataclasses import replace

import pytest

from enforcer.errors import KernelError
from enforcer.kernel.namespace import in_namespace
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from tests.kernel.slowness import patient
from tests.kernel.worlds import RealWorld, World, commit, refused

SHAPER = v.Shaper("wan0", 1_000_000_000, 400_000_000)


def test_a_shaper_is_added_changed_and_deleted(world: World) -> None:
    assert commit(world, t.AddShaper(SHAPER)).shapers == {SHAPER}
    faster = v.Shaper("wan0", 400_000_000_000, 8_000_000_008)
    other = v.Shaper("lan0", 1_000_000, 400_000)
    assert commit(world, t.AddShaper(faster), t.AddShaper(other)).shapers == {faster, other}
    assert commit(world, t.DeleteShaper("wan0")).shapers == {other}
    state = commit(world, t.DeleteShaper("lan0"), t.DeleteShaper("wan0"))
    assert state == t.KernelState(state.generation, devices=state.devices)


def test_a_qdisc_of_somebody_else_is_never_replaced(world: World) -> None:
    world.make_foreign_qdisc("wan0")
    assert world.kernel.read().foreign_qdiscs == {"wan0"}
    before = world.untouched()
    assert refused(world, t.CreateTable(), t.AddShaper(SHAPER)) == errno.EBUSY
    commit(world, t.DeleteShaper("wan0"))
    assert world.untouched() == before


def test_a_shaper_needs_its_device(world: World) -> None:
    assert refused(world, t.AddShaper(replace(SHAPER, device="nope0"))) == errno.ENODEV


def test_a_device_that_is_gone_takes_its_shaper_along(world: World) -> None:
    commit(world, t.CreateTable(), t.AddShaper(SHAPER))
    world.delete_device("wan0")
    state = world.kernel.read()
    assert "wan0" not in state.devices
    assert state.shapers == frozenset()
    commit(world, t.DeleteShaper("wan0"))


def test_a_shaper_stays_for_the_next_diff_when_the_batch_is_refused(world: World) -> None:
    commit(world, t.CreateTable())
    with pytest.raises(KernelError):
        commit(world, t.AddShaper(SHAPER), t.DeleteChain("nope"))
    assert world.kernel.read().shapers == {SHAPER}


def test_rates_are_rounded_down_to_whole_bytes_as_the_kernel_counts() -> None:
    assert v.Shaper("wan0", 1_000_007, 400_001) == v.Shaper("wan0", 1_000_000, 400_000)


@pytest.mark.kernel
def test_a_priority_leads_straight_to_its_class(real_world: RealWorld) -> None:
    """What no rule of ours touches goes to the class of the rest, by default."""
    registered = v.Rule(
        (
            v.OifName("wan0"),
            v.PortIn("dport", 7001, 7001),
            v.SetPriority(v.SHAPER_MAJOR, v.REGISTERED_MINOR),
        )
    )
    chain = v.Chain("reserve", (registered,), v.Hook("postrouting", 100))
    commit(
        real_world,
        t.AddShaper(SHAPER),
        t.CreateTable(),
        t.AddChain(chain.name, chain.hook),
        t.SetRules(chain, flush=False),
    )
    real_world.run("ip", "address", "add", "192.0.2.1/24", "dev", "wan0")
    neighbour = "ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev wan0 nud permanent"
    real_world.run(*neighbour.split())
    with in_namespace(real_world.namespace):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        for port, datagrams in ((7001, 5), (7002, 3)):
            for _ in range(datagrams):
                sender.sendto(bytes(958), ("192.0.2.2", port))
    shown = real_world.run("tc", "-s", "class", "show", "dev", "wan0")
    sent = dict(re.findall(r"class htb (e4f0:\w+) .*?\n Sent (\d+) bytes", shown))
    # 1,000 bytes each with the Ethernet, IPv4 and UDP headers.
    assert sent["e4f0:10"] == "5000"
    assert int(sent["e4f0:20"]) >= 3000


@pytest.mark.kernel
def test_what_is_queued_when_a_window_ends_is_sent_not_thrown_away(real_world: RealWorld) -> None:
    """300 datagrams of 1,000 bytes at 1 Mbit/s are 2.4 s of queue, in the class of the rest."""
    commit(real_world, t.AddShaper(replace(SHAPER, rate_bps=1_000_000, registered_bps=400_000)))
    real_world.run("ip", "address", "add", "192.0.2.1/24", "dev", "wan0")
    neighbour = "ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev wan0 nud permanent"
    real_world.run(*neighbour.split())
    with in_namespace(real_world.namespace):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        arriving = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
    with sender, arriving:
        # What is queued counts as the sender's, and the buffers must not be the limit.
        for sock, option in ((sender, 32), (arriving, 33)):  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
            sock.setsockopt(socket.SOL_SOCKET, option, 8 << 20)
        arriving.bind(("wan0-peer", 0x0800))
        arriving.settimeout(patient(5))
        for number in range(300):
            sender.sendto(number.to_bytes(958, "big"), ("192.0.2.2", 7002))
        backlog = re.search(
            r"qdisc htb e4f0:.*?backlog \S+ (\d+)p",
            real_world.run("tc", "-s", "qdisc", "show", "dev", "wan0"),
            re.DOTALL,
        )
        assert backlog is not None
        assert int(backlog[1]) > 200, "the queue must be long for this to tell anything"
        commit(real_world, t.DeleteShaper("wan0"))
        came = {int.from_bytes(arriving.recv(2000)[-958:], "big") for _ in range(300)}
    assert came == set(range(300))


@pytest.mark.kernel
def test_every_rate_of_a_link_is_taken_without_a_word_in_the_kernels_log(
    real_world: RealWorld,
) -> None:
    for rate_bps in (8_000, 1_000_000, 34_359_738_360, 34_359_738_368, 800_000_000_000):
        shaper = v.Shaper("wan0", rate_bps, rate_bps // 10)
        assert commit(real_world, t.AddShaper(shaper)).shapers == {shaper}
    shown = real_world.run("tc", "-d", "class", "show", "dev", "wan0")
    assert sorted(map(int, re.findall(r"quantum (\d+)", shown))) == [20_000, 180_000]
