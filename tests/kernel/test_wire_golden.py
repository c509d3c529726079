"""Each shape of message that we send, byte for byte, against tests/golden/messages.txt.

A second reader (test_wire_read_by_pyroute2.py) says that the bytes mean what they should; the
kernel's contract says that it takes them. This says that they do not change unnoticed.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest

from enforcer.kernel import encode, parking, shaping
from enforcer.kernel import numbers as n
from enforcer.kernel.elements import get_element
from enforcer.kernel.series import one_by_one
from enforcer.kernel.wire import Message, Reply, batch_edges, nftables, text
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from tests.kernel import every_word as e

ARMING = v.ArmingSet("ddos", e.NOW_NS + e.MINUTE_NS, None)
RULES = v.Chain(
    "words", tuple(v.Rule((*e.required_by(word), word)) for word in (*e.MATCHES, *e.ACTIONS))
)
NOTHING4 = v.RegisteredMap(e.stage4({}))
OPERATIONS: tuple[t.Operation, ...] = (
    t.CreateTable(),
    t.DeleteTable(),
    t.WakeTable(),
    t.AddChain("act", None),
    t.AddChain("pre", v.Hook("prerouting", -150)),
    t.AddChain("post", v.Hook("postrouting", 100)),
    t.AddChain("guard.wan0", v.Hook("ingress", -149, "wan0")),
    t.FlushChain("act"),
    t.DeleteChain("act"),
    *(
        t.AddSet(c)
        for c in (
            e.LIFELINES4, e.LIFELINES6, e.PORTS, e.CLASSES, e.SERVICES, ARMING, e.MAP4, e.MAP6,
            e.FRONT,
        )
    ),
    t.DeleteSet("armed.ddos"),
    t.PutElements(e.LIFELINES4),
    t.PutElements(e.CLASSES),
    t.TakeElements(e.LIFELINES4),
    t.TakeElements(e.SERVICES),
    t.Arm(ARMING),
    t.Arm(ARMING, frozenset({4})),
    t.AddCounter(e.COUNTER),
    t.DeleteCounter(e.COUNTER),
    t.SetRules(RULES, flush=True),
    t.WriteLedger(((e.MAP4.name, e.MAP4.stage.digest),)),
    t.Load(e.MAP4),
    t.Load(e.MAP6, flush=True),
    t.Load(e.FRONT),
    t.Change(e.MAP4, NOTHING4, e.MAP4),
    t.Change(e.MAP4, e.MAP4, NOTHING4),
)  # fmt: skip


def messages(operation: t.Operation) -> list[Message]:
    if isinstance(operation, t.Load | t.Change):
        return list(one_by_one(encode.encode_bulk(operation)))
    return encode.encode(operation, e.NOW_NS)


class Recorder:
    """The part of a Netlink that shaping asks: notes requests, and has one HTB of ours to show."""

    def __init__(self, *shown: Reply) -> None:
        self.sent: list[Message] = []
        self._shown = list(shown)

    def request(self, message: Message) -> list[Reply]:
        self.sent.append(message)
        return []

    def dump(self, message: Message) -> list[Reply]:
        return self._shown


def unsheltered(device: str, rate_bps: int) -> AbstractContextManager[None]:
    return nullcontext()


def shaped() -> list[Message]:
    """HTB on a fast and on a slow link, and off again."""
    fresh = Recorder()
    for rate_bps in (8_000_000, 100_000_000_000):
        shaper = v.Shaper("wan0", rate_bps, rate_bps // 10)
        shaping.put(fresh, shaper, 7, "AddShaper wan0", unsheltered)  # type: ignore[arg-type]
    qdisc = fresh.sent[0]
    there = Reply(qdisc.kind, 0, 0, memoryview(qdisc.body))
    gone = Recorder(there)
    shaping.remove(gone, "wan0", 7, unsheltered)  # type: ignore[arg-type]
    return [*fresh.sent, gone.sent[-1]]


def dump(title: str, kind: str, message: bytes) -> Iterator[str]:
    yield f"{title}: {kind}"
    yield from (f"  {line}" for line in textwrap.wrap(message.hex(" ", 4), 72))


def lines() -> Iterator[str]:
    for operation in OPERATIONS:
        for at, message in enumerate(messages(operation), 1):
            title = f"{describe(operation)} {at}"
            yield from dump(title, n.Msg(message.nft_kind).name, message.packed(1))
    for name, edge in zip(("begin", "end"), batch_edges(0x01020304, 1, 2), strict=True):
        yield from dump("batch", name, edge)
    named = text(1, v.TABLE)
    for request in (
        nftables(n.Msg.GET_GENERATION, 0),
        nftables(n.Msg.GET_TABLE, 0, named),
        nftables(n.Msg.GET_RULE, 0x300, named),
        nftables(n.Msg.GET_ELEMENT, 0x300, named, text(n.Elements.SET, "armed.ddos")),
        get_element(e.MAP4.name, b"\x0a\x01\x02\x00"),
    ):
        yield from dump("read", n.Msg(request.nft_kind).name, request.packed(1))
    forwarding = parking.forwarding("wan0", 7, 8)
    for message in (*forwarding, parking.released(), parking.asked_for_table(), parking.gone()):
        yield from dump("parking", n.Msg(message.nft_kind).name, message.packed(1))
    links = {16: "NEW_LINK", 17: "DEL_LINK", 18: "GET_LINK"}
    for message in (parking.asked_for("wan0"), *parking.pair(), parking.pair_gone(8)):
        yield from dump("parking", links[message.kind], message.packed(1))
    kinds = {36: "NEW_QDISC", 37: "DEL_QDISC", 40: "NEW_CLASS"}
    for message in shaped():
        yield from dump("shaping", kinds[message.kind], message.packed(1))


def describe(operation: t.Operation) -> str:
    name = type(operation).__name__
    for attribute in ("name", "container", "target", "chain"):
        subject = getattr(operation, attribute, None)
        if subject is not None:
            return f"{name} {getattr(subject, 'name', subject)}"
    return name


@pytest.mark.skipif(sys.byteorder != "little", reason="headers are in the machine's byte order")
def test_every_message_is_byte_for_byte_this(golden: Callable[[str, str], None]) -> None:
    golden("messages.txt", "\n".join(lines()) + "\n")


def test_every_operation_is_among_them() -> None:
    packed = {*encode._ENCODE, t.Load, t.Change}
    assert {type(operation) for operation in OPERATIONS} == packed
    assert set(t.Shaping.__args__) | packed == set(t.Operation.__args__)


def test_every_word_is_among_the_rules() -> None:
    said = {type(s) for rule in RULES.rules for s in rule.statements}
    assert {type(word) for word in (*e.MATCHES, *e.ACTIONS)} <= said
