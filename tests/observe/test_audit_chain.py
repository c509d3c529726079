"""A sealed line shows any change to it; a chain shows any line lost, moved or put in."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.observe.audit import values
from enforcer.observe.audit_chain import DamagedError, Link, open_line, require_next, seal
from tests.observe.audit_worlds import event

VALUES = values(event(3, note="x"))


def test_the_digest_is_of_the_bytes_before_it_as_a_person_can_check() -> None:
    line, link = seal(VALUES, Link())
    body = line[: line.index(b',"digest":')]
    assert hashlib.sha256(body).hexdigest() == link.digest
    assert json.loads(line)["digest"] == link.digest


def test_what_was_sealed_opens_and_follows() -> None:
    link = Link()
    for _ in range(3):
        line, after = seal(VALUES, link)
        record = open_line(line)
        require_next(record, link)
        assert record.link == after
        assert {k: record.values[k] for k in VALUES} == VALUES
        link = after


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=10), plain, max_size=4))
def test_any_plain_value_is_sealed_in_one_line_and_opens_again(more: dict[str, object]) -> None:
    line, link = seal({**more, **VALUES}, Link(4, "a" * 64))
    assert b"\n" not in line
    assert open_line(line).link == link


@given(st.data())
def test_any_change_of_one_byte_is_found(data: st.DataObject) -> None:
    line, _ = seal(VALUES, Link())
    at = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != line[at]))
    with pytest.raises(DamagedError):
        open_line(line[:at] + bytes([byte]) + line[at + 1 :])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"\0" * 300,
        b'{"at":"2026-12-01T08:00:00Z","v":1}',
        seal({**VALUES, "at": "today"}, Link())[0],
        seal({**VALUES, "at": 7}, Link())[0],
        seal(VALUES, Link(-1))[0],
        seal(VALUES, Link(0, "no digest"))[0],
    ],
)
def test_what_is_no_record_is_said_to_be_none(line: bytes) -> None:
    with pytest.raises(DamagedError, match="expected a record"):
        open_line(line)


def test_a_deep_line_is_damage_and_no_crash() -> None:
    body = b'{"a":' + b"[" * 100_000
    digest = hashlib.sha256(body).hexdigest().encode()
    with pytest.raises(DamagedError):
        open_line(body + b',"digest":"' + digest + b'"}')


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (Link(1, "0" * 64), "expected record 2; found record 5: 2 to 4 are missing"),
        (Link(3, "0" * 64), "expected record 4; found record 5: 4 is missing"),
        (Link(7, "0" * 64), "expected record 8; found record 5, out of order or put in"),
        (Link(4, "b" * 64), "has been replaced"),
    ],
)
def test_what_does_not_follow_is_named(after: Link, message: str) -> None:
    record = open_line(seal(VALUES, Link(4, "a" * 64))[0])
    with pytest.raises(DamagedError) as broken:
        require_next(record, after)
    assert message in str(broken.value)
