"""Packets go round while a root qdisc is exchanged: none lost, none twice, nothing stays."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from enforcer.kernel import parking
from enforcer.kernel.events import Monitor
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink
from enforcer.kernel.nft import NftKernel
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.diff import diff, teardown
from enforcer.watch import HushedKernel
from tests.kernel.worlds import RealWorld, commit, refused

pytestmark = pytest.mark.kernel

SHAPER = v.Shaper("wan0", 1_000_000_000, 400_000_000)
HEADERS = 42
LONGEST_S = 0.5


class Link:
    """Numbered datagrams that leave by wan0, and those that came out at its peer."""

    def __init__(self, world: RealWorld, mtu: int = 1500) -> None:
        for device in ("wan0", "wan0-peer"):
            world.run("ip", "link", "set", device, "mtu", str(mtu))
        world.run("ip", "address", "add", "192.0.2.1/24", "dev", "wan0")
        neighbour = "ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev wan0 nud permanent"
        world.run(*neighbour.split())
        with in_namespace(world.namespace):
            self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._in = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        for sock, option in ((self._out, 32), (self._in, 33)):  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
            sock.setsockopt(socket.SOL_SOCKET, option, 32 << 20)
        self._in.bind(("wan0-peer", 0x0800))
        self.sent = 0

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._out.close()
        self._in.close()

    def send(self, count: int, size: int = 100) -> None:
        for _ in range(count):
            self._out.sendto(self.sent.to_bytes(size, "big"), ("192.0.2.2", 7002))
            self.sent += 1

    def came(self, quiet_s: float) -> list[int]:
        """The numbers that came out, until nothing does for `quiet_s`."""
        found = []
        self._in.settimeout(quiet_s)
        while True:
            try:
                found.append(int.from_bytes(self._in.recv(70_000)[HEADERS:], "big"))
            except TimeoutError:
                return found


@contextmanager
def lot(world: RealWorld) -> Iterator[parking.Parking]:
    with in_namespace(world.namespace):
        netfilter, route = Netlink(NETLINK_NETFILTER), Netlink(NETLINK_ROUTE)
    with closing(netfilter), closing(route):
        yield parking.Parking(netfilter, route, [])


def nothing_stays(world: RealWorld) -> bool:
    devices = world.run("ip", "-br", "link")
    return "enforcer" not in devices and "netdev" not in world.run("nft", "list", "tables")


def test_what_leaves_while_parked_comes_afterwards_whole_and_once(real_world: RealWorld) -> None:
    """Frames of a jumbo link too: they are longer than what virtual devices carry by default."""
    with Link(real_world, mtu=9000) as link, lot(real_world) as parked:
        with parked.parked("wan0", SHAPER.rate_bps):
            link.send(50)
            link.send(5, size=8900)
            assert link.came(quiet_s=0.1) == []
        assert sorted(link.came(quiet_s=0.3)) == list(range(55))
        link.send(1)
        assert link.came(quiet_s=0.1) == [55]
        parked.close()
    assert nothing_stays(real_world)


def test_nothing_is_lost_while_roots_are_exchanged(real_world: RealWorld) -> None:
    """40 times; without shelter some hundred are lost at this rate (docs/decisions/0016)."""
    stop = threading.Event()
    with Link(real_world) as link:

        def keep_sending() -> None:
            while not stop.is_set():
                link.send(8)
                time.sleep(0.001)

        sender = threading.Thread(target=keep_sending)
        sender.start()
        try:
            for _ in range(20):
                assert commit(real_world, t.AddShaper(SHAPER)).shapers == {SHAPER}
                assert commit(real_world, t.DeleteShaper("wan0")).shapers == frozenset()
        finally:
            stop.set()
            sender.join()
        assert sorted(link.came(quiet_s=0.5)) == list(range(link.sent))
    assert nothing_stays(real_world)


def test_the_kernel_itself_lets_go_when_we_are_killed_and_the_next_daemon_clears(
    real_world: RealWorld,
) -> None:
    with Link(real_world) as link:
        with lot(real_world) as parked:
            # Entered and never left, as by a process that is killed.
            held = parked.parked("wan0", SHAPER.rate_bps)
            held.__enter__()
            link.send(20)
        assert sorted(link.came(quiet_s=2 * LONGEST_S)) == list(range(20))
        link.send(1)
        assert link.came(quiet_s=0.1) == [20]
    state = real_world.kernel.read()
    assert state.parking
    assert not {"enforcer-lot0", "enforcer-lot1"} & state.devices
    change = diff(v.Ruleset(), state, real_world.now_ns())
    assert change is not None
    assert change.operations == (t.CreateTable(), t.ClearParking())
    change = teardown(state)
    assert change == t.Transaction(state.generation, (t.ClearParking(),))
    real_world.kernel.commit(change, real_world.now_ns())
    assert nothing_stays(real_world)
    assert teardown(real_world.kernel.read()) is None


def test_what_a_killed_daemon_left_is_no_hindrance_at_the_next_exchange(
    real_world: RealWorld,
) -> None:
    with lot(real_world) as parked:
        parked.parked("wan0", SHAPER.rate_bps).__enter__()
    assert commit(real_world, t.AddShaper(SHAPER)).shapers == {SHAPER}
    assert nothing_stays(real_world)


def test_a_table_of_somebody_elses_stays_and_the_exchange_is_made_as_ever(
    real_world: RealWorld,
) -> None:
    real_world.nft("table netdev enforcer {\n set mine { type ether_addr; }\n}")
    before = real_world.run("nft", "list", "ruleset")
    assert commit(real_world, t.AddShaper(SHAPER)).shapers == {SHAPER}
    assert commit(real_world, t.DeleteShaper("wan0")).shapers == frozenset()
    assert real_world.run("nft", "list", "ruleset") == before
    assert "enforcer-lot" not in real_world.run("ip", "-br", "link")


def test_a_device_without_frames_is_not_parked(real_world: RealWorld) -> None:
    """They would lose their first 14 bytes on the way round."""
    real_world.run("ip", "tuntap", "add", "tun0", "mode", "tun")
    real_world.run("ip", "link", "set", "tun0", "up")
    shaper = replace(SHAPER, device="tun0")
    with lot(real_world) as parked, parked.parked("tun0", 1_000_000):
        assert nothing_stays(real_world)
    assert commit(real_world, t.AddShaper(shaper)).shapers == {shaper}


def test_its_transactions_are_known_for_ours_and_change_nothing_for_the_batch(
    real_world: RealWorld,
) -> None:
    monitor = Monitor(real_world.namespace)
    with closing(monitor):
        kernel = HushedKernel(real_world.kernel, monitor)
        before = kernel.generation()
        operations = (t.AddShaper(SHAPER), t.CreateTable(), t.AddCounter("a"))
        kernel.commit(t.Transaction(before, operations), real_world.now_ns())
        state = kernel.read()
        assert (state.shapers, state.counters) == ({SHAPER}, {"a"})
        # Parked, let go, our batch, taken away.
        assert kernel.made() == tuple(range(before + 1, before + 5))
        assert kernel.generation() == before + 4
        heard = [e for e in monitor.drain() if e.kind in ("ours", "ruleset", "overflow")]
        assert [(e.generation, e.by_us) for e in heard] == [(g, True) for g in kernel.made()]


def test_somebody_elses_transaction_while_parked_refuses_the_batch(
    real_world: RealWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = parking.Parking.parked

    @contextmanager
    def interrupted(self: parking.Parking, device: str, rate_bps: int) -> Iterator[None]:
        with ours(self, device, rate_bps):
            real_world.other_program_commits()
            yield

    monkeypatch.setattr(parking.Parking, "parked", interrupted)
    before = real_world.kernel.read()
    operations = (t.AddShaper(SHAPER), t.CreateTable())
    with pytest.raises(Exception, match="commit") as caught:
        real_world.kernel.commit(t.Transaction(before.generation, operations), real_world.now_ns())
    assert caught.value.errno == errno.ERESTART  # type: ignore[attr-defined]
    assert not real_world.kernel.read().exists
    monkeypatch.undo()
    assert nothing_stays(real_world)
    assert refused(real_world, t.DeleteChain("nope")) == errno.ENOENT


def test_this_kernel_takes_it(real_world: RealWorld) -> None:
    with lot(real_world) as parked:
        assert parked.refusal() is None
    assert nothing_stays(real_world)


def test_two_links_are_exchanged_in_one_commit(real_world: RealWorld) -> None:
    kernel = real_world.kernel
    assert isinstance(kernel, NftKernel)
    both = {SHAPER, replace(SHAPER, device="lan0")}
    assert commit(real_world, *map(t.AddShaper, both)).shapers == both
    assert nothing_stays(real_world)
