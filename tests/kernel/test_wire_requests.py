"""What we ask the kernel, byte for byte, against tests/golden/requests.txt; and no message goes
out, by whatever the daemon and doctor do, whose shape is in no golden.
"""

from __future__ import annotations

import struct
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from daemon_worlds import INSIDE
from daemon_worlds import World as Files

from enforcer.doctor.trial import try_out
from enforcer.kernel import encode, netlink, probe, shaping
from enforcer.kernel import numbers as n
from enforcer.kernel.events import Monitor
from enforcer.kernel.links import read_addresses, read_links
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Netlink
from enforcer.kernel.nft import NftKernel
from enforcer.kernel.others import read_others
from enforcer.kernel.samples import SampleListener
from enforcer.kernel.wire import (
    Message,
    attribute,
    attributes,
    be32,
    be64,
    nested,
    nftables,
    text,
)
from enforcer.lookup.planner import plan
from enforcer.lookup.tree import RadixTree
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.diff import teardown
from tests.kernel import every_word as e
from tests.kernel.spoken import Answering, Overheard, golden_messages, makers, shapes
from tests.kernel.worlds import RealWorld, commit

GOLDENS = "messages.txt", "requests.txt"
NFT = 10 << 8
NOTHING4 = v.RegisteredMap(e.stage4({}))
MISSING = b"\x01\x02\x03\x04"
DEVICE = 7
SETS = (e.LIFELINES4, e.CLASSES, e.MAP4, v.ArmingSet("ddos", e.NOW_NS + e.MINUTE_NS, None))


def encoded(*operations: t.Operation) -> list[Message]:
    return [message for each in operations for message in encode.encode(each, e.NOW_NS)]


def table(_: Message) -> list[Message]:
    names = text(n.Table.NAME, v.TABLE), be32(n.Table.FLAGS, 0)
    ours = encoded(t.CreateTable())[0]
    return [nftables(n.Msg.NEW_TABLE, 0, *names, ours.body[4 + len(names[0]) :])]


def counters(_: Message) -> list[Message]:
    data = nested(n.Object.DATA, be64(n.COUNTER_BYTES, 1), be64(n.COUNTER_PACKETS, 1))
    names = text(n.Object.TABLE, v.TABLE), text(n.Object.NAME, e.COUNTER)
    return [nftables(n.Msg.NEW_OBJECT, 0, *names, be32(n.Object.TYPE, n.OBJECT_COUNTER), data)]


def an_element(asked: Message) -> list[Message]:
    """Of one that is asked for by its key: that it is not there. Of a dump: nothing."""
    if n.Elements.LIST not in attributes(asked.body[4:]):
        return []
    return [Message(2, 0, struct.pack("=i", -2))]


def htb(_: Message) -> list[Message]:
    qdisc = struct.pack("=BxxxiIII", 0, DEVICE, v.SHAPER_MAJOR << 16, 0xFFFFFFFF, 0)
    init = struct.pack("=5I", 3, 10, v.REST_MINOR, 0, 0)
    # TCA_KIND, and TCA_OPTIONS with TCA_HTB_INIT.
    return [Message(36, 0, qdisc + text(1, "htb") + nested(2, attribute(2, init)))]


NAMES = {
    16: "BATCH_BEGIN",
    17: "BATCH_END",
    18: "GET_LINK",
    22: "GET_ADDRESS",
    38: "GET_QDISC",
    42: "GET_CLASS",
    # nfnetlink_log's.
    4 << 8 | 1: "NFULNL_CONFIG",
}
RULES = v.Chain("matches", (v.Rule((v.ByClass(e.CLASSES.name),)),))
# The kinds of requests → what a kernel with a table, a rule that looks up a verdict map, a counter
# and an HTB of ours answers.
ANSWERS: dict[int, Callable[[Message], list[Message]]] = {
    NFT | n.Msg.GET_GENERATION: lambda _: [nftables(n.Msg.NEW_GENERATION, 0, be32(1, 5))],
    NFT | n.Msg.GET_TABLE: table,
    NFT | n.Msg.GET_CHAIN: lambda _: encoded(t.AddChain("matches", None)),
    NFT | n.Msg.GET_RULE: lambda _: encoded(t.SetRules(RULES, flush=False)),
    NFT | n.Msg.GET_SET: lambda _: [encoded(t.AddSet(each))[0] for each in SETS],
    NFT | n.Msg.GET_OBJECT: counters,
    NFT | n.Msg.GET_ELEMENT: an_element,
    18: lambda _: [Message(16, 0, struct.pack("=BxHiII", 0, 1, DEVICE, 1, 0) + text(3, "wan0"))],
    38: htb,
}
ASKED: dict[str, Callable[[NftKernel], object]] = {
    "generation": lambda kernel: kernel.generation(),
    "read": lambda kernel: kernel.read(),
    "counters": lambda kernel: kernel.counters(),
    "elements that are missing": lambda kernel: kernel.elements(e.MAP4.name, [MISSING]),
    "addresses": lambda kernel: read_addresses(kernel._route),
    "what others have": lambda kernel: read_others(kernel._netfilter),
    "samples": lambda _: SampleListener().close(),
    "whether it logs": lambda kernel: probe.logs_to_user_space(kernel._netfilter),
}


def asked() -> Iterator[tuple[str, bytes]]:
    """Each distinct request, under the first that sends it."""
    seen: set[bytes] = set()
    for about, ask in ASKED.items():
        sent: list[bytes] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(netlink, "open_socket", lambda *_, **__: Answering(ANSWERS, sent))  # noqa: B023
            with closing(NftKernel()) as kernel:
                ask(kernel)
        for message in sent:
            if message not in seen:
                seen.add(message)
                yield about, message


def name(message: bytes) -> str:
    kind = struct.unpack_from("=H", message, 4)[0]
    if kind >> 8 == NFT >> 8:
        return "GET_FLOWTABLE" if kind & 0xFF == 23 else n.Msg(kind & 0xFF).name
    return NAMES[kind]


def lines() -> Iterator[str]:
    for about, message in asked():
        yield f"{about}: {name(message)}"
        yield from (f"  {line}" for line in textwrap.wrap(message.hex(" ", 4), 72))


@pytest.mark.skipif(sys.byteorder != "little", reason="headers are in the machine's byte order")
def test_every_request_is_byte_for_byte_this(golden: Callable[[str, str], None]) -> None:
    golden("requests.txt", "\n".join(lines()) + "\n")


def test_messages_are_made_where_this_looks() -> None:
    """Another module that makes messages has to be among what is overheard below."""
    assert makers() == {
        *("kernel.elements", "kernel.encode", "kernel.links", "kernel.netlink", "kernel.nft"),
        *("kernel.others", "kernel.parking", "kernel.probe", "kernel.samples", "kernel.series"),
        *("kernel.shaping", "kernel.wire"),
    }


def test_a_shape_is_type_flags_and_attributes_and_no_value() -> None:
    arm = [encoded(t.Arm(replace(SETS[3], ends_ns=e.NOW_NS + ns)))[0] for ns in (10**9, 10**10)]  # type: ignore[type-var]
    assert shapes(arm[0].packed(1)) == shapes(arm[1].packed(2))
    assert shapes(arm[0].packed(1)) == {
        "type 10/12 flags 0x401",
        *(f"type 10/12 flags 0x401 {path}" for path in ("1", "2", "3/1/1/1", "3/1/4")),
    }
    matched = encoded(t.SetRules(v.Chain("c", (v.Rule((v.IifName("wan0"),)),)), flush=False))
    assert {"meta", "cmp"} <= {
        path.partition("(")[2].partition(")")[0]
        for path in shapes(matched[0].packed(1))
        if "(" in path
    }


# --- the real kernel ------------------------------------------------------------------------------

FOREIGN = """
table ip somebody {
  chain away { drop; }
  map jumps { type inet_service : verdict; elements = { 22 : jump away } }
  chain pre { type filter hook prerouting priority 0; tcp dport vmap @jumps; }
}
"""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that goes out through any netlink socket of ours from now on."""
    heard: list[bytes] = []
    opened = netlink.open_socket
    monkeypatch.setattr(
        netlink, "open_socket", lambda *a, **more: Overheard(opened(*a, **more), heard)
    )
    return heard


def _rates() -> Iterator[v.Shaper]:
    yield from (v.Shaper("wan0", rate, rate // 10) for rate in (8_000_000, 100_000_000_000))


def _do_everything(world: RealWorld) -> None:
    with (
        closing(Monitor(world.namespace)) as monitor,
        closing(NftKernel(world.namespace)) as kernel,
    ):
        world.kernel = kernel
        kernel.read()
        commit(world, *e.every_word(world.now_ns()), *map(t.AddShaper, _rates()))
        with monitor.deaf(kernel.generation, kernel.made):
            commit(world, t.Change(NOTHING4, e.MAP4, NOTHING4))
            commit(world, t.Change(e.MAP4, NOTHING4, e.MAP4))
        kernel.elements(e.MAP4.name, [MISSING])
        kernel.counters()
        arming = v.ArmingSet("ddos", world.now_ns() + e.MINUTE_NS, None)
        commit(world, t.Arm(arming, frozenset({4, 6})), t.Load(e.MAP4, flush=True))
        again = v.Chain("act", (v.Rule((v.Return(),)),))
        commit(world, t.SetRules(again, flush=True), t.AddCounter("x"), t.DeleteCounter("x"))
        commit(world, t.FlushChain("pre"), t.DeleteChain("pre"), t.DeleteShaper("wan0"))
        world.make_dormant()
        commit(world, t.WakeTable())
        change = teardown(kernel.read())
        assert change is not None
        kernel.commit(change, world.now_ns())
        commit(world, t.CreateTable())
        commit(world, t.DeleteTable())


@pytest.mark.kernel
def test_nothing_is_sent_whose_shape_is_in_no_golden(
    real_world: RealWorld, sent: list[bytes]
) -> None:
    _do_everything(real_world)
    SampleListener(real_world.namespace).close()
    real_world.nft(FOREIGN)
    with in_namespace(real_world.namespace):
        with closing(Netlink(NETLINK_ROUTE)) as route:
            read_links(route, ("wan0",))
            read_addresses(route)
            assert shaping.read_devices(route)
        with closing(Netlink(NETLINK_NETFILTER)) as netfilter:
            assert read_others(netfilter).chains
    loaded = Files().configuration()
    tables = plan(
        RadixTree.build(loaded.registry, INSIDE.date()), loaded.policy.registry.kernel_memory_bytes
    )
    assert {found.level for found in try_out(loaded.policy, tables, INSIDE)} == {"ok"}
    known = set().union(*map(shapes, golden_messages(*GOLDENS)))
    spoken: dict[str, bytes] = {}
    for message in sent:
        for shape in shapes(message):
            spoken.setdefault(shape, message)
    assert len(spoken) > 50
    assert sorted(spoken.keys() - known) == [], "give it a golden: tests/golden/messages.txt"
