"""Messages as bytes: packed by us as the kernel lays them out, and read back whatever comes."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from enforcer.kernel import decode, elements, wire
from enforcer.kernel import numbers as n
from enforcer.kernel.encode import encode, encode_bulk
from enforcer.kernel.series import one_by_one
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.lower import lower_rule
from tests.kernel import every_word as e


def test_an_attribute_is_padded_and_its_length_is_not() -> None:
    assert wire.attribute(7, b"abcde") == b"\x09\0\x07\0abcde\0\0\0"
    assert wire.nested(1, wire.be32(2, -3)) == b"\x0c\0\x01\x80\x08\0\x02\0\xff\xff\xff\xfd"


def test_an_attribute_above_its_16_bit_length_is_an_error() -> None:
    with pytest.raises(struct.error):
        wire.attribute(1, bytes(65_532))


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_truncated_message_is_left_out_and_no_error(cut: int) -> None:
    message = wire.nftables(3, 0, wire.text(1, "enforcer"), wire.be32(2, 5)).packed(9)
    assert [reply.sequence for reply in wire.replies(message * 2)] == [9, 9]
    assert [reply.sequence for reply in wire.replies(message + message[:-cut])] == [9]


def test_attributes_that_lie_about_their_length_end_the_list() -> None:
    good = wire.attribute(1, b"abcd")
    for lie in (b"\x03\0\x02\0", b"\0\0\x02\0", b"\xff\xff\x02\0abcd", b"\x08"):
        assert {k: bytes(x) for k, x in wire.attributes(good + lie).items()} == {1: b"abcd"}


@pytest.mark.parametrize("word", [*e.MATCHES, *e.ACTIONS], ids=repr)
def test_every_word_survives_packing_and_parsing(word: v.Statement) -> None:
    rule = v.Rule((word,))
    (message,) = encode(t.SetRules(v.Chain("x", (rule,)), flush=False), 0)
    (reply,) = wire.replies(message.packed(1))
    assert decode.rule(decode.body(reply)) == lower_rule(rule)


def test_an_expression_that_we_never_make_is_unknown_with_its_bytes() -> None:
    inverted = wire.text(1, "lookup"), wire.nested(2, wire.text(1, "s"), wire.be32(5, 1))
    name, which, raw = decode.expression(memoryview(b"".join(inverted)))
    assert (name, which, raw) == ("unknown", "lookup", wire.text(1, "s") + wire.be32(5, 1))
    assert decode.expression(memoryview(wire.text(1, "fib"))) == ("unknown", "fib", b"")


def read_elements(messages: Iterable[wire.Message]) -> list[tuple[bytes, int | None]]:
    found: list[tuple[bytes, int | None]] = []
    for message in messages:
        for entry in decode.entries(wire.attributes(message.body[4:])):
            key = bytes(wire.attributes(entry[n.Element.KEY])[n.DATA_VALUE])
            data = entry.get(n.Element.DATA)
            found.append(
                (
                    key,
                    None
                    if data is None
                    else elements.class_id(wire.attributes(data)[n.DATA_VALUE]),
                )
            )
    return found


@pytest.mark.parametrize("count", [0, 1, 2340, 2341, 10_000])
def test_packed_elements_are_those_of_the_stage(count: int) -> None:
    bulk = v.RegisteredMap(e.many4(count) if count else e.stage4({}))
    added = list(one_by_one(elements.add_elements("reg4-24-16", bulk)))
    assert read_elements(added) == elements.pairs(bulk)
    removed = one_by_one(elements.delete_elements("reg4-24-16", bulk))
    assert read_elements(removed) == [(key, None) for key, _ in elements.pairs(bulk)]
    assert all(len(message.body) < 66_000 for message in added)


def test_packed_ipv6_elements_are_those_of_the_stage() -> None:
    bulk = v.RegisteredMap(e.stage6({at.to_bytes(16, "big"): at * 77 for at in range(5_000)}))
    assert read_elements(one_by_one(elements.add_elements("m", bulk))) == elements.pairs(bulk)


def test_a_series_is_numbered_as_it_is_sent() -> None:
    (whole, rest) = elements.add_elements("m", v.RegisteredMap(e.many4(5000)))
    for first in (7, 700):
        sent = [*wire.replies(whole.packed(first)), *wire.replies(rest.packed(first + len(whole)))]
        assert [reply.sequence for reply in sent] == [first, first + 1, first + 2]
        assert all(reply.flags & wire.ACK and reply.flags & wire.REQUEST for reply in sent)


def test_a_flush_names_no_element() -> None:
    flush, load = one_by_one(encode_bulk(t.Load(e.MAP4, flush=True)))
    assert set(wire.attributes(flush.body[4:])) == {n.Elements.TABLE, n.Elements.SET}
    assert read_elements([load]) == elements.pairs(e.MAP4)


@pytest.mark.parametrize(
    ("userdata", "expected"),
    [
        (n.comment("reg4-24-16 ab"), "reg4-24-16 ab"),
        (b"\x07\x02xx" + n.comment("behind another"), "behind another"),
        (b"\0\xffshort", "short"),
        (b"\0", None),
        (b"", None),
        (b"\0\x03\xff\xfe\0", "��"),
    ],
)
def test_comments_are_read_however_they_are_laid_out(userdata: bytes, expected: str) -> None:
    assert n.comment_text(userdata) == expected


def timeouts(operation: t.Arm, now_ns: int) -> list[int]:
    return [
        wire.number64(entry[n.Element.TIMEOUT])
        for message in encode(operation, now_ns)
        for entry in decode.entries(wire.attributes(message.body[4:]))
        if n.Element.TIMEOUT in entry
    ]


def test_no_arming_is_ever_without_a_timeout_or_longer_than_its_window() -> None:
    """A timeout of zero would arm for ever."""
    families: tuple[frozenset[v.Family], ...] = (frozenset(), frozenset({4, 6}))
    for left_ns in (-(10**18), -1, 0, 1, 999_999, 1_000_000, 19_999_999, 20_000_000, 10**18 + 1):
        arming = v.ArmingSet("w", e.NOW_NS + left_ns, None)
        for present in families:
            given = timeouts(t.Arm(arming, present), e.NOW_NS)
            assert all(timeout_ms >= 20 for timeout_ms in given)
            last = [] if left_ns < 20_000_000 else [left_ns // 1_000_000] * 2
            assert given[2 * bool(present) :] == last
