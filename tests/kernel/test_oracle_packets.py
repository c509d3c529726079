"""Raw packets through random policies on the real kernel: what comes out is what the machine says.

`ENFORCER_ORACLE_POLICIES` (default 40), `ENFORCER_ORACLE_PACKETS` (for each, default 600) and
`ENFORCER_ORACLE_SEED` (default 1) make it longer or other; a failure prints the policy and the
packet.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from enforcer.ruleset.compiler import epoch_ns
from enforcer.ruleset.diff import diff
from enforcer.ruleset.promises import check
from enforcer.ruleset.vocabulary import REGISTERED_MINOR, SHAPER_MAJOR
from tests.kernel.oracle_wire import POSTROUTING, PREROUTING, Logged, OracleWire, Which, which
from tests.kernel.worlds import RealWorld
from tests.ruleset import oracle
from tests.ruleset.machine import Machine, Skb, received
from tests.ruleset.raw_packets import Packets, Raw, in_two
from tests.ruleset.strategies import World, worlds

pytestmark = pytest.mark.kernel

POLICIES = int(os.environ.get("ENFORCER_ORACLE_POLICIES", "40"))
PACKETS = int(os.environ.get("ENFORCER_ORACLE_PACKETS", "600"))
SEED = int(os.environ.get("ENFORCER_ORACLE_SEED", "1"))
BATCH = 600
IN_CLASS = SHAPER_MAJOR << 16 | REGISTERED_MINOR
HOUR_NS = 3_600 * 10**9
# As NAT has it: fragments are put together at -400, flows are tracked at -200.
TRACKER = """
table inet tracker {
  chain flows {
    type filter hook forward priority 0
    ct state invalid accept
  }
}
"""


@pytest.fixture
def wire(real_world: RealWorld) -> Iterator[OracleWire]:
    made = OracleWire(real_world)
    try:
        yield made
    finally:
        made.close()


@dataclass(frozen=True, slots=True)
class Fate:
    """What the machine makes of a packet in prerouting. `skb` None: refused before that."""

    raw: Raw
    skb: Skb | None
    passed: bool


def fates(machine: Machine, packets: Sequence[Raw], now_ns: int) -> list[Fate]:
    found = []
    for raw in packets:
        skb = received(raw.packet.family, raw.data, raw.packet.iif)
        passed = skb is not None and machine.pass_through("prerouting", skb, now_ns)
        found.append(Fate(raw, skb, passed))
    return found


def clear(real: RealWorld) -> None:
    """No table of ours. Each world gets a new one, so that its chains are hooked in their order."""
    real.nft("add table inet enforcer\ndelete table inet enforcer")


def load(real: RealWorld, world: World) -> Machine:
    """The world's windows in force, for an hour from now."""
    clear(real)
    now = datetime.fromtimestamp(real.now_ns() // 10**9, UTC)
    hour = timedelta(hours=1)
    activations = tuple(
        replace(a, starts_at=now - hour, ends_at=now + hour) for a in world.activations
    )
    here = replace(world, activations=activations)
    ruleset = here.ruleset
    check(ruleset, here.policy, activations, here.registry)
    change = diff(ruleset, real.kernel.read(), real.now_ns())
    if change is not None:
        real.kernel.commit(change, real.now_ns())
    return Machine.load(ruleset, {a.id: epoch_ns(now) + HOUR_NS for a in activations})


def compare_arrived(world: World, judged: Sequence[Fate], logged: Sequence[Logged]) -> Counter[str]:
    """What passed prerouting, byte by byte. Raises AssertionError with the first packet that the
    kernel judged otherwise than the machine, or the machine otherwise than the promises.
    """
    seen: Counter[str] = Counter()
    arrived: dict[Which, list[Logged]] = {}
    armed = frozenset(a.id for a in world.activations)
    for one in logged:
        if one.group == PREROUTING:
            arrived.setdefault(which(one.data), []).append(one)
    for fate in judged:
        raw, skb = fate.raw, fate.skb
        came = arrived.pop(which(raw.data), [])
        if skb is None:
            assert not raw.sound, f"the machine refuses: {raw}"
            assert came == [], f"the kernel does not refuse: {raw}"
            seen["refused"] += 1
            continue
        may_be_dropped = oracle.may_be_dropped(world, raw.packet, armed)
        assert fate.passed or may_be_dropped, f"promise 3 does not allow to drop: {raw}"
        assert not (fate.passed and may_be_dropped), f"guard lets in: {raw}"
        assert len(came) == fate.passed, f"the kernel told {len(came)} times of: {raw}"
        seen[f"{raw.kind}{raw.packet.family}"] += 1
        if not fate.passed:
            seen["dropped"] += 1
            continue
        (one,) = came
        assert one.data == bytes(skb.data), f"{raw} became {one.data.hex()}"
        assert (one.mark, one.noted) == (skb.mark, skb.priority != 0), f"{raw}: {one}"
        wanted = oracle.marked(world, raw.packet, armed)
        assert (skb.mark, skb.dscp) == (wanted.mark, wanted.dscp), raw
        seen["marked" if (skb.mark, skb.dscp) != (0, raw.packet.dscp) else "untouched"] += 1
    assert not arrived, f"nobody sent: {arrived}"
    return seen


def compare_left(
    machine: Machine, judged: Sequence[Fate], logged: Sequence[Logged], bare: Counter[Which]
) -> Counter[str]:
    """What passed postrouting: all that passes it when nothing of ours is there (`bare`), but for
    what guard dropped; and into the class that the machine says. Returns our counters there.
    """
    dropped = {which(fate.raw.data) for fate in judged if fate.skb and not fate.passed}
    wanted = Counter({one: times for one, times in bare.items() if one not in dropped})
    assert sent_on([fate.raw for fate in judged], logged) == wanted
    counted: Counter[str] = Counter()
    for one in logged:
        if one.group == POSTROUTING:
            family = which(one.data)[0]
            skb = Skb(family, bytearray(one.data), "", one.oif)
            assert machine.pass_through("postrouting", skb, 0)
            assert (skb.priority == IN_CLASS) == one.noted, f"reserved otherwise: {one}"
            counted.update(skb.counted)
    return counted


def sent_on(packets: Sequence[Raw], logged: Sequence[Logged]) -> Counter[Which]:
    """Which of the packets left. What the machine sends of its own accord is not among them."""
    mine = {which(raw.data) for raw in packets}
    found = Counter(which(one.data) for one in logged if one.group == POSTROUTING)
    return Counter({one: times for one, times in found.items() if one in mine})


def judge_alike(
    real: RealWorld,
    wire: OracleWire,
    world: World,
    packets: Sequence[Raw],
    sent: Sequence[Raw],
) -> Counter[str]:
    """`packets` as they are to be judged, `sent` as they are put on the wire."""
    clear(real)
    bare = sent_on(packets, wire.passed(sent))
    machine = load(real, world)
    before = real.kernel.counters()
    logged = wire.passed(sent)
    judged = fates(machine, packets, real.now_ns())
    seen = compare_arrived(world, judged, logged)
    counted = compare_left(machine, judged, logged, bare)
    seen["left"] += bare.total()
    seen["reserved"] += counted.total()
    for fate in judged:
        counted.update(fate.skb.counted if fate.skb else ())
    after = real.kernel.counters()
    told = Counter({name: n - before.get(name, (0, 0))[0] for name, (n, _) in after.items()})
    assert +told == counted, {
        name: (told[name], counted[name]) for name in told | counted if told[name] != counted[name]
    }
    return seen


def for_policies(count: int, judge: Callable[[World, int], None]) -> None:
    """`judge` with random policies and a number to draw packets by."""
    drawn = given(worlds(), st.integers(0, 2**32))(judge)
    setting = settings(
        max_examples=count,
        deadline=None,
        database=None,
        # A failure is told as it was found: to make it smaller would take minutes.
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(SEED)(setting(drawn))()


def test_the_kernel_and_the_machine_judge_every_packet_alike(
    real_world: RealWorld, wire: OracleWire
) -> None:
    total: Counter[str] = Counter()

    def judge(world: World, packets_seed: int) -> None:
        drawn = Packets(world, packets_seed)
        for at in range(0, PACKETS, BATCH):
            packets = drawn.some(min(BATCH, PACKETS - at))
            total.update(judge_alike(real_world, wire, world, packets, packets))
        total["policies"] += 1

    for_policies(POLICIES, judge)
    print(f"seed {SEED}: {dict(total.most_common())}")
    for word in ("dropped", "marked", "reserved", "refused", "headers_cut6", "fragment6"):
        assert total[word] > 0 or POLICIES < 40, word


def test_fragments_put_together_before_our_chains_are_judged_as_the_datagram(
    real_world: RealWorld, wire: OracleWire
) -> None:
    """A gateway that tracks connections, for NAT, puts fragments together ahead of our chains."""
    real_world.nft(TRACKER)
    total: Counter[str] = Counter()

    def judge(world: World, packets_seed: int) -> None:
        whole, sent = [], []
        for raw in Packets(world, packets_seed).some(BATCH):
            if (halves := in_two(raw)) is not None and len(sent) + 2 <= BATCH:
                whole.append(raw)
                sent += halves
        total.update(judge_alike(real_world, wire, world, whole, sent))

    for_policies(max(12, POLICIES // 4), judge)
    print(f"put together, seed {SEED}: {dict(total.most_common())}")
    assert total["dropped"] > 0
    assert total["marked"] > 0
