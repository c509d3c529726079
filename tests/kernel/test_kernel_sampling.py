"""Sampling on the real kernel: real packets, told of by real rules, judged again by the radix tree.

The set that a foreign hand has spoilt is left as it is here (no daemon repairs it), so that packets
meet it: the self-check must name window, map and category, and no address.
"""

from __future__ import annotations

import errno
import random
import re
import socket
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from enforcer import log
from enforcer.errors import KernelError
from enforcer.grounds import Ground
from enforcer.kernel.samples import SampleListener
from enforcer.policy.model import Activation, Guard, Mark, Reserve, Window
from enforcer.policy.prefix import format_address
from enforcer.ruleset.diff import diff
from enforcer.ruleset.promises import check
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling
from enforcer.ruleset.vocabulary import SAMPLED_BYTES
from enforcer.sampler import Sampler
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually
from tests.kernel.test_lookup_packets import (
    BATCH,
    DAY,
    UDP,
    Judge,
    Packet,
    Wire,
    random_packets,
    random_registry,
)
from tests.kernel.worlds import RealWorld
from tests.ruleset.builders import POLICY, compiled, window

pytestmark = pytest.mark.kernel

# Every packet but one in four thousand million is told of.
EVERY = Sampling(1000, one_in=1)
REGISTRY = """\
id,prefix,category,valid_from,valid_until,services
R-1,198.51.100.7/32,freelancer,,,
R-2,198.51.101.0/24,software-house,,,udp/51820
R-3,2001:db8:5::/48,mission,,,
"""
# What the front filter does not know is not looked up.
PUT_IN = """
add element inet enforcer {map} {{ 192.0.2.9 : {class_id} }}
add element inet enforcer front4 {{ 0xc000 }}
"""
OURS, THEIRS, ESTATE = 0xC6336407, 0xC0000209, 0xCB007105
OURS_6, ESTATE_6 = 0x20010DB8000500000000000000000001, 0x20010DB8001000000000000000000001


def judge_of(text: str) -> Judge:
    return Judge.of(text, front=True, budget_bytes=1 << 28)


def in_force(world: RealWorld, judge: Judge, whole: Window, sampling: Sampling) -> Activation:
    """The window's rules in the kernel, read back as they were said."""
    now = datetime.fromtimestamp(world.now_ns() // 10**9, UTC)
    activation = Activation(now - timedelta(hours=1), now + timedelta(hours=1), whole)
    ruleset = compiled(activation, registry=judge.tables, sampling=sampling)
    check(ruleset, POLICY, (activation,), judge.tables)
    change = diff(ruleset, world.kernel.read(), world.now_ns())
    assert change is not None
    world.kernel.commit(change, world.now_ns())
    left = diff(ruleset, world.kernel.read(), world.now_ns())
    # What is left of a timeout has moved on.
    assert left is None or {type(op).__name__ for op in left.operations} == {"Arm"}
    return activation


@dataclass
class Setting:
    """A window of all measures in force on `registry`, and the self-check that listens."""

    world: RealWorld
    judge: Judge
    activation: Activation
    sampler: Sampler
    wire: Wire

    @classmethod
    def make(cls, world: RealWorld, text: str) -> Setting:
        judge = judge_of(text)
        whole = window(
            "ddos", mark=Mark(0x51), guard=Guard("concentrators"), reserve=Reserve("wan", 0.4)
        )
        sampler = Sampler(lambda: SampleListener(world.namespace))
        assert sampler.sampling(POLICY) == Sampling(POLICY.observe.sample)
        sampler.changing()
        activation = in_force(world, judge, whole, EVERY)
        made = cls(world, judge, activation, sampler, Wire(world))
        sampler.settled(made.ground)
        return made

    @property
    def ground(self) -> Ground:
        registry, tables = self.judge.registry, self.judge.tables
        return Ground(POLICY, registry, tables, DAY, (self.activation,))

    def send(self, *packets: Packet) -> None:
        self.wire.send(list(packets))

    def counts(self, seen: int) -> dict[str, int]:
        """Once so many were told of."""
        eventually(lambda: self.sampler.counts()["seen"] >= seen, f"{seen} samples")
        return self.sampler.counts()


@pytest.fixture
def base(real_world: RealWorld) -> RealWorld:
    real_world.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
    real_world.run("sysctl", "-qw", "net.ipv4.conf.wan0.rp_filter=0")
    for peer in ("wan0-peer", "lan0-peer"):
        real_world.run("sysctl", "-qw", f"net.ipv6.conf.{peer}.disable_ipv6=1")
    real_world.run("ip", "link", "set", "lan0", "down")
    return real_world


def packet(source: int, target: int = ESTATE, dport: int = 51820) -> Packet:
    return Packet(4, source, target, UDP, 5050, dport)


def kinds(setting: Setting) -> set[str]:
    return {
        "{measure}/{verdict}/{category}/{service}".format(**row) for row in setting.sampler.rows()
    }


def test_what_the_kernel_does_is_what_the_tree_says_for_thousands_of_packets(
    base: RealWorld,
) -> None:
    draw = random.Random(7)
    text, prefixes = random_registry(draw, 400)
    setting = Setting.make(base, text)
    with closing(setting.sampler):
        for _ in range(4):
            setting.send(*random_packets(draw, prefixes, BATCH))
            # The limit lets a thousand a second of each kind through.
            time.sleep(0.3)
        counts = setting.counts(2000)
    assert counts["mismatches"] == 0
    assert counts["judged"] >= 2000
    found = {(row["measure"], row["verdict"]) for row in setting.sampler.rows()}
    assert {("mark", "marked"), ("mark", "untouched")} <= found


def test_header_bytes_are_told_and_nothing_of_the_content(base: RealWorld) -> None:
    in_force(base, judge_of(REGISTRY), window("ddos", mark=Mark(0x51)), EVERY)
    six = Packet(6, OURS_6, ESTATE_6, UDP, 5050, 51820)
    samples = []
    with closing(SampleListener(base.namespace)) as listener:
        Wire(base).send([packet(OURS), packet(THEIRS), six])

        def all_told() -> bool:
            samples.extend(listener.drain().samples)
            return len(samples) >= 3

        eventually(all_told, "three samples")
    assert {(s.label, len(s.header)) for s in samples} == {
        ("mark/ddos/marked/ip4/freelancer", SAMPLED_BYTES[4]),
        ("mark/ddos/untouched/ip4/unregistered", SAMPLED_BYTES[4]),
        ("mark/ddos/marked/ip6/mission", SAMPLED_BYTES[6]),
    }
    for sample in samples:
        assert sample.header[-4:] == (5050).to_bytes(2, "big") + (51820).to_bytes(2, "big")


@pytest.mark.parametrize(
    ("script", "source", "kernel", "registry"),
    [
        (
            "delete element inet enforcer {map} {{ 198.51.100.7 }}",
            OURS,
            {"guard": "held_back unregistered"},
            "freelancer",
        ),
        (
            PUT_IN,
            THEIRS,
            {"guard": "let_in freelancer", "mark": "marked freelancer"},
            None,
        ),
    ],
    ids=["taken out", "put in"],
)
def test_a_set_that_a_foreign_hand_spoilt_is_found_out_by_the_packets(
    base: RealWorld,
    capsys: pytest.CaptureFixture[str],
    script: str,
    source: int,
    kernel: dict[str, str],
    registry: str | None,
) -> None:
    setting = Setting.make(base, REGISTRY)
    listed = base.run("nft", "list", "table", "inet", "enforcer")
    found = re.search(r"map (reg4-32-\d+) \{", listed)
    assert found is not None
    in_use = re.search(r"198\.51\.100\.7 : ([0-9a-f]+:[0-9a-f]+)", listed)
    assert in_use is not None
    log.configure("text", journal=False)
    with closing(setting.sampler):
        setting.send(packet(source), packet(0xC6336501))
        assert setting.counts(2)["mismatches"] == 0
        told: list[int] = []
        setting.sampler.tells(lambda seen, lost, mismatches: told.append(mismatches))
        base.nft(script.format(map=found[1], class_id=in_use[1]))
        setting.send(*[packet(source)] * 5)
        eventually(lambda: sum(told) >= 5 * len(kernel), "mismatches")
    assert sum(told) == 5 * len(kernel) == setting.sampler.counts()["mismatches"]
    said = [line for line in capsys.readouterr().err.splitlines() if "kernel_mismatch" in line]
    assert len(said) == len(kernel)
    for measure, done in kernel.items():
        (line,) = (one for one in said if f"measure={measure} " in one)
        assert f'window=ddos measure={measure} kernel="{done}" registry="' in line
        assert (registry is None) == ("map=none" in line)
        if registry is not None:
            assert f'registry="let_in {registry}" map={found[1]} ' in line
        assert format_address(4, source) not in line
        assert "R-1" not in line


def test_one_listener_and_the_second_is_told_why(base: RealWorld) -> None:
    with closing(SampleListener(base.namespace)):
        with pytest.raises(KernelError, match="another program listens") as caught:
            SampleListener(base.namespace)
        assert caught.value.errno == errno.EPERM
        second = Sampler(lambda: SampleListener(base.namespace))
        assert second.sampling(POLICY) == NO_SAMPLES
    # And the group is free again.
    SampleListener(base.namespace).close()


def test_a_flood_that_nobody_reads_is_lost_and_says_so(base: RealWorld) -> None:
    in_force(base, judge_of(REGISTRY), window("ddos", mark=Mark(0x51)), EVERY)
    with closing(SampleListener(base.namespace)) as listener:
        # A small buffer, so that the flood need not be large.
        listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        wire = Wire(base)
        deadline = time.monotonic() + PATIENCE_S
        lost = 0
        while not lost and time.monotonic() < deadline:
            wire.send([packet(THEIRS)] * BATCH)
            time.sleep(1.1)
            lost = listener.drain().lost
        assert lost >= 1
        # And it goes on listening.
        wire.send([packet(OURS)])
        eventually(lambda: any("/marked/" in s.label for s in listener.drain().samples), "heard")


def test_without_a_listener_packets_go_on_as_before(base: RealWorld) -> None:
    in_force(base, judge_of(REGISTRY), window("ddos", mark=Mark(0x51)), EVERY)
    Wire(base).send([packet(OURS)] * 50)

    def marked() -> int:
        counters = base.kernel.counters()
        return sum(n for name, (n, _) in counters.items() if name.startswith("mark/ddos/marked/"))

    eventually(lambda: marked() == 50, "marked")


# --- the daemon ----------------------------------------------------------------------------------


def test_the_daemon_samples_its_windows_and_counts_what_it_saw(gateway: Gateway) -> None:
    main = gateway.config.read_text().replace("freelancer]", "freelancer, mission]")
    gateway.write(main=main + "observe: {sample: 1000}\n", registry=REGISTRY)
    gateway.inside("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
    gateway.inside("sysctl", "-qw", "net.ipv4.conf.wan0.rp_filter=0")
    gateway.start()
    eventually(gateway.armed, "armed")
    wire = Wire(RealWorld(gateway.namespace))
    some = [packet(source) for source in (OURS, THEIRS, 0xC6336501)] * 200

    def seen() -> bool:
        wire.send(some)
        return gateway.metrics()["enforcer_samples_total"] > 50

    eventually(seen, "samples")
    told = gateway.metrics()
    assert told["enforcer_kernel_mismatches_total"] == 0
    samples = gateway.status()["samples"]
    assert samples["rate"] == 1000
    assert samples["problem"] is None
    assert samples["judged"] >= 50
    # The same rules are planned, and nothing is repaired.
    assert gateway.run("plan").returncode == 0
    assert gateway.status()["drift_repairs"] == 0


def test_where_somebody_else_listens_windows_act_without_samples(gateway: Gateway) -> None:
    with closing(SampleListener(gateway.namespace)):
        gateway.start()
        eventually(gateway.armed, "armed")
        assert "log prefix" not in gateway.ruleset()
        problem = gateway.status()["samples"]["problem"]
        assert "another program listens to NFLOG group 58608; stop it" in problem
        assert gateway.said().count("sampling_off") == 1
        assert gateway.run("plan").returncode == 0


def test_switched_off_there_is_no_rule_that_tells(gateway: Gateway) -> None:
    gateway.write(main=gateway.config.read_text() + "observe: {sample: 0}\n")
    gateway.start()
    eventually(gateway.armed, "armed")
    assert "log prefix" not in gateway.ruleset()
    gateway.config.write_text(gateway.config.read_text().replace("sample: 0", "sample: 7"))
    assert gateway.run("reload").returncode == 0
    assert "limit rate 7/second burst 7 packets log prefix" in gateway.ruleset()
