"""What others do to our part of a real kernel: noticed, put right, told by kind and maker."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from daemon_worlds import INSIDE, MAIN, WINDOWS, TurnedClock
from daemon_worlds import World as Files

from enforcer.daemon import Daemon
from enforcer.drift import needed
from enforcer.errors import KernelError
from enforcer.kernel import numbers as n
from enforcer.kernel.events import Monitor
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.netlink import NETLINK_NETFILTER, Netlink, join_group, leave_group
from enforcer.kernel.nft import NftKernel
from enforcer.kernel.wire import CREATE, attribute, be32, nftables, text
from enforcer.observe.totals import Totals
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.watch import HushedKernel, Noticed, notice
from tests.kernel import every_word as e
from tests.kernel.worlds import RealWorld, commit

pytestmark = pytest.mark.kernel

NFTABLES_GROUP = 7
SEVERAL_LIFELINES = MAIN.replace("[192.0.2.53/32]", "[192.0.2.53/32, 192.0.2.54/32, 192.0.2.80/32]")


class Guarded:
    """A daemon inside its window, over a real kernel whose events it hears."""

    def __init__(self, namespace: str) -> None:
        self.real = RealWorld(namespace)
        self.monitor = Monitor(namespace)
        self.kernel = HushedKernel(self.real.kernel, self.monitor)
        self.files = Files()
        self.files.main = SEVERAL_LIFELINES % "false"
        self.files.windows = WINDOWS
        totals = Totals(self.kernel.counters)
        self.daemon = Daemon(self.files.configuration, self.kernel, TurnedClock(INSIDE), totals)
        self.daemon.step()
        self.heard()

    def heard(self) -> Noticed | None:
        """What is about us of the events that wait; the daemon knows of it then."""
        noticed = notice(self.monitor.drain(), needed(self.daemon.config.policy))
        if noticed is not None:
            self.daemon.distrust(noticed.suspicion)
        return noticed

    def do(self, command: str) -> None:
        state = self.kernel.read()
        names = {held.kind: name for name, held in state.sets.items()}
        for kind in ("registered", "small", "front"):
            command = command.replace(kind.upper(), names[kind])
        program, *words = command.split(None, 1)
        if program == "nft":
            self.real.nft(words[0])
        else:
            self.real.run(program, *words[0].split())

    def close(self) -> None:
        self.monitor.close()
        self.real.kernel.close()


@pytest.fixture
def guarded(namespace: str) -> Iterator[Guarded]:
    made = Guarded(namespace)
    try:
        yield made
    finally:
        made.close()


def same(state: t.KernelState, other: t.KernelState) -> None:
    """Equal but for the generation and for running timers; the counts of elements as well."""
    for a, b in ((state, other), (other, state)):
        assert {
            name: (s.kind, s.size, s.count, s.kind == "armed" or s.elements)
            for name, s in a.sets.items()
        } == {
            name: (s.kind, s.size, s.count, s.kind == "armed" or s.elements)
            for name, s in b.sets.items()
        }
    plain = [replace(each, generation=0, sets={}) for each in (state, other)]
    assert plain[0] == plain[1]
    for each in (state, other):
        assert {x[0] for x in each.sets["armed.ddos"].elements} == {4, 6}  # type: ignore[index]


DAMAGE = {
    "nft flush ruleset": {"table"},
    "nft delete table inet enforcer": {"table"},
    "nft flush table inet enforcer": {"rules", "ledger"},
    "nft flush map inet enforcer REGISTERED": {"elements"},
    "nft delete element inet enforcer REGISTERED { 198.51.100.8 }": {"elements"},
    "nft add element inet enforcer REGISTERED { 192.0.2.66 : 0:9 }": {"elements"},
    "nft flush set inet enforcer FRONT": {"elements"},
    "nft flush set inet enforcer SMALL": {"elements"},
    "nft add element inet enforcer SMALL { 203.0.113.66 }": {"elements"},
    "nft flush set inet enforcer armed.ddos": {"arming"},
    "nft delete element inet enforcer armed.ddos { ipv6 }": {"arming"},
    "nft add set inet enforcer theirs { type ipv4_addr; }": {"set"},
    "nft add chain inet enforcer theirs": {"chain"},
    "nft add rule inet enforcer mark.ddos drop": {"rules"},
    "nft insert rule inet enforcer guard.ddos.new4 counter": {"rules"},
    "nft flush chain inet enforcer mark.ddos": {"rules"},
    "nft flush chain inet enforcer ledger": {"ledger"},
    "nft add table inet enforcer { flags dormant; }": {"dormant"},
    "tc qdisc del dev wan0 root": {"qdisc"},
    "tc class change dev wan0 parent e4f0:1 classid e4f0:20 htb rate 1mbit ceil 8mbit": {"qdisc"},
}


@pytest.mark.parametrize("command", DAMAGE)
def test_damage_is_noticed_repaired_and_told_by_kind_and_culprit(
    guarded: Guarded, command: str
) -> None:
    before = guarded.kernel.read()
    guarded.do(command)
    noticed = guarded.heard()
    if " class " not in command:
        # The kernel tells nobody outside of changed classes; the next look finds them.
        assert noticed is not None
        assert noticed.culprit.pid not in (None, os.getpid())
        assert noticed.culprit.program == ("nft" if command.startswith("nft") else None)
    outcome = guarded.daemon.step()
    assert (outcome.result, outcome.drift) == ("changed", DAMAGE[command])
    same(guarded.kernel.read(), before)
    assert guarded.heard() is None or command.startswith("tc"), "our own repair is no event"
    assert guarded.daemon.step().drift == frozenset()


def loaded(operations: tuple[t.Operation, ...]) -> set[str]:
    return {op.target.name for op in operations if isinstance(op, t.Load)}


@pytest.mark.parametrize("what", ["table inet enforcer", f"chain inet enforcer {v.LEDGER_CHAIN}"])
def test_maps_that_were_left_alone_are_not_loaded_anew_for_their_ledger(
    guarded: Guarded, what: str
) -> None:
    before = guarded.kernel.read()
    guarded.do(f"nft flush {what}")
    assert guarded.heard() is not None
    outcome = guarded.daemon.step()
    assert not any(isinstance(op, t.Load | t.DeleteSet) for op in outcome.operations)
    same(guarded.kernel.read(), before)


def test_a_map_that_was_flushed_with_its_ledger_is(guarded: Guarded) -> None:
    before = guarded.kernel.read()
    spoilt = {name for name, held in before.sets.items() if held.kind == "registered"}
    for command in (
        "nft flush table inet enforcer; flush map inet enforcer REGISTERED",
        "nft flush table inet enforcer",
    ):
        guarded.do(command)
        assert guarded.heard() is not None
        outcome = guarded.daemon.step()
        names = loaded(outcome.operations)
        same(guarded.kernel.read(), before)
        guarded.heard()
        assert len(names & spoilt) == ("map" in command)


@pytest.mark.parametrize("command", ["nft flush map inet enforcer REGISTERED"])
def test_damage_that_no_event_told_of_is_found_by_counting(guarded: Guarded, command: str) -> None:
    if guarded.kernel.read().sets["front4"].count is None:
        pytest.skip("this kernel does not tell how many elements a set has")
    before = guarded.kernel.read()
    guarded.do(command)
    assert guarded.daemon.step().drift == {"elements"}
    same(guarded.kernel.read(), before)


@pytest.mark.parametrize(
    "steps",
    [
        ("link set wan0 down", "link set wan0 up"),
        ("link set wan0 down", "link set wan0 name moved", "link set moved name wan0"),
        ("link del wan0", "link add wan0 type veth peer name wan0-peer"),
    ],
    ids=["down and up", "renamed and back", "deleted and created"],
)
def test_an_uplink_that_goes_and_comes_is_guarded_again(
    guarded: Guarded, steps: tuple[str, ...]
) -> None:
    before = guarded.kernel.read()
    told = []
    for step in steps:
        guarded.real.run("ip", *step.split())
        assert guarded.heard() is not None, step
        outcome = guarded.daemon.step()
        assert outcome.result != "failed"
        told.append(outcome.drift)
    here = guarded.kernel.read()
    same(replace(here, devices=before.devices), before)
    # A link that is down, or renamed, keeps its qdisc; the kernel hooks chains by name.
    back = {"link"} if "up" not in steps[-1] else frozenset()
    assert told == [frozenset()] * (len(steps) - 1) + [back]


def test_a_qdisc_that_another_program_puts_in_place_of_ours_is_left_and_told(
    guarded: Guarded,
) -> None:
    before = guarded.kernel.read()
    guarded.real.run("tc", "qdisc", "replace", "dev", "wan0", "root", "handle", "7:", "pfifo")
    assert guarded.heard() is not None
    outcome = guarded.daemon.step()
    assert outcome.drift == frozenset()
    assert "the root qdisc of wan0 is somebody else's" in str(guarded.daemon.snapshot().problem)
    guarded.real.run("tc", "qdisc", "del", "dev", "wan0", "root")
    assert guarded.heard() is not None
    assert guarded.daemon.step().drift == {"link"}
    same(guarded.kernel.read(), before)


# --- somebody else's table ------------------------------------------------------------------------


def test_a_table_of_our_name_that_an_open_socket_owns_is_refused_with_a_remedy(
    namespace: str,
) -> None:
    """The flag owner: not even root may change such a table, whatever comment it carries."""
    with in_namespace(namespace):
        owner = Netlink(NETLINK_NETFILTER)
    kernel = NftKernel(namespace)
    try:
        ours = attribute(n.Table.USERDATA, n.comment(n.OUR_COMMENT))
        flags = be32(n.Table.FLAGS, n.FLAG_OWNER)
        made = nftables(n.Msg.NEW_TABLE, CREATE, text(n.Table.NAME, "enforcer"), flags, ours)
        answers = owner.batch(kernel.generation(), lambda _: [made], [])
        if answers[1]:
            pytest.skip("this kernel has no flag owner")
        state = kernel.read()
        pid = socket_port(owner)
        assert state.foreign == f"the flag owner gives it to an open socket, that of process {pid}"
        files = Files()
        daemon = Daemon(files.configuration, kernel, TurnedClock(INSIDE), Totals(kernel.counters))
        outcome = daemon.step()
        assert outcome.result == "failed"
        assert "goes when its program ends" in str(outcome.error)
        with pytest.raises(KernelError):
            kernel.commit(t.Transaction(kernel.generation(), (t.DeleteTable(),)), 0)
        owner.close()
        assert daemon.step().result == "changed"
    finally:
        owner.close()
        kernel.close()


def socket_port(netlink: Netlink) -> int:
    return int(netlink._socket.getsockname()[0])


def test_a_table_of_our_name_put_there_while_we_run_is_never_touched(guarded: Guarded) -> None:
    guarded.do("nft flush ruleset")
    guarded.real.make_foreign_table()
    before = guarded.real.untouched()
    guarded.heard()
    outcome = guarded.daemon.step()
    assert outcome.result == "failed"
    assert "somebody else's table inet enforcer" in str(guarded.daemon.snapshot().problem)
    assert guarded.real.untouched() == before
    guarded.real.nft("delete table inet enforcer")
    guarded.heard()
    assert guarded.daemon.step().drift == {"table"}


# --- nothing goes unheard -------------------------------------------------------------------------


def other_commits(world: RealWorld, name: str) -> None:
    world.nft(f"add table ip {name}")


def test_a_transaction_during_our_bulk_load_is_an_overflow(real_world: RealWorld) -> None:
    monitor = Monitor(real_world.namespace)
    target = v.RegisteredMap(e.many4(2000))
    try:
        commit(real_world, t.CreateTable(), t.AddSet(target))
        monitor.drain()
        with monitor.deaf(real_world.kernel.generation, real_world.kernel.made):
            commit(real_world, t.Load(target))
        assert monitor.drain() == []
        with monitor.deaf(real_world.kernel.generation, real_world.kernel.made):
            commit(real_world, t.Load(target, flush=True))
            other_commits(real_world, "sneaky")
        assert [event.kind for event in monitor.drain()] == ["overflow"]
        with (
            suppress(KernelError),
            monitor.deaf(real_world.kernel.generation, real_world.kernel.made),
        ):
            stale = real_world.kernel.generation()
            other_commits(real_world, "sneakier")
            real_world.kernel.commit(t.Transaction(stale, (t.AddCounter("a"),)), 0)
        assert [event.kind for event in monitor.drain()] == ["overflow"]
        other_commits(real_world, "heard")
        assert [event.kind for event in monitor.drain()] == ["ruleset"]
    finally:
        monitor.close()


def test_a_flood_of_events_that_overflows_the_buffer_is_told_and_survived(
    guarded: Guarded,
) -> None:
    guarded.monitor._netfilter.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    guarded.real.nft(
        "add table ip flood\n"
        + "\n".join(f"add chain ip flood c{number}" for number in range(300))
        + "\nflush map inet enforcer "
        + next(x for x, s in guarded.kernel.read().sets.items() if s.kind == "registered")
    )
    noticed = guarded.heard()
    assert noticed is not None
    assert noticed.suspicion.everything
    outcome = guarded.daemon.step()
    assert outcome.result == "changed"
    assert outcome.drift & {"unseen", "elements"}


def deafly(monitor: Monitor, world: RealWorld, name: str) -> None:
    """Another program commits, and the monitor is told nothing of it."""
    leave_group(monitor._netfilter, NFTABLES_GROUP)
    other_commits(world, name)
    join_group(monitor._netfilter, NFTABLES_GROUP)


def test_a_gap_in_the_numbers_of_the_events_is_an_overflow(guarded: Guarded) -> None:
    other_commits(guarded.real, "heard")
    assert [event.kind for event in guarded.monitor.drain()] == ["ruleset"]
    deafly(guarded.monitor, guarded.real, "unheard")
    other_commits(guarded.real, "heard_again")
    assert [event.kind for event in guarded.monitor.drain()] == ["overflow", "ruleset"]


def test_a_generation_that_nobody_told_of_is_missed_at_the_second_look(guarded: Guarded) -> None:
    generation, missed = guarded.kernel.generation, guarded.monitor.missed
    assert not missed(generation())
    deafly(guarded.monitor, guarded.real, "unheard")
    assert guarded.monitor.drain() == []
    assert not missed(generation()), "its event may be on the way"
    assert missed(generation())
    assert not missed(generation())
