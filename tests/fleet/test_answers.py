"""Whatever answers in etcd's place is read as an answer, or said to be none."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from enforcer.fleet import answers
from enforcer.fleet.answers import Changed, Found, KeyValue
from enforcer.fleet.troubles import EtcdError

KVS = [{"key": "L2E=", "value": "eA==", "mod_revision": "7"}, {"key": "/2I=", "mod_revision": "8"}]


def test_a_range_is_read_with_keys_of_any_bytes() -> None:
    answer = answers.parsed(json.dumps({"header": {"revision": "9"}, "kvs": KVS}).encode())
    entries = (KeyValue("/a", b"x", 7), KeyValue("\udcffb", b"", 8))
    assert answers.found(answer) == Found(9, entries)
    assert answers.found(answer | {"more": True}).more
    assert not answers.found({"header": {"revision": "9"}}).entries
    each = {"responses": [{"response_range": {"kvs": KVS}}, {"response_range": {}}]}
    assert tuple(answers.found_by_each(each)) == entries


def test_a_watch_says_what_changed_and_when_it_is_over() -> None:
    assert answers.changed(b'{"result": {"header": {"revision": "9"}, "created": true}}') == (
        Changed()
    )
    event = b'{"result": {"header": {"revision": "9"}, "events": [{}]}}'
    assert answers.changed(event) == Changed(9)
    gone = b'{"result": {"canceled": true, "compact_revision": "5"}}'
    assert answers.changed(gone) == Changed(over=True)


@pytest.mark.parametrize(
    "value", [None, "", 7, "a\nb", "a\r\nX: y", "a b", "\u00e9", "\ud800", "x" * 9000, ["x"]]
)
def test_a_token_that_no_header_takes_is_none(value: object) -> None:
    assert answers.token({"token": "simple.42"}) == "simple.42"
    with pytest.raises(EtcdError, match="no token that could be sent; look at what answers"):
        answers.token({"token": value})


def test_a_lease_lives_or_has_lapsed() -> None:
    assert answers.kept_alive_s({"result": {"TTL": "30"}}) == 30
    assert answers.kept_alive_s({"result": {}}) == 0
    assert answers.number({"ID": "7587"}, "ID") == 7587


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"header": {}},
        {"header": []},
        {"header": {"revision": "x"}},
        {"header": {"revision": 1e400}},
        {"header": {"revision": "9"}, "kvs": {}},
        {"header": {"revision": "9"}, "kvs": [1]},
        {"header": {"revision": "9"}, "kvs": [{"key": 1, "mod_revision": "1"}]},
        {"header": {"revision": "9"}, "kvs": [{"key": "é", "mod_revision": "1"}]},
        {"header": {"revision": "9"}, "kvs": [{"key": "L2E="}]},
    ],
)
def test_what_is_no_range_is_said(answer: dict[str, Any]) -> None:
    with pytest.raises(EtcdError, match=r"the answer is not etcd's; check endpoints"):
        answers.found(answer)


@pytest.mark.parametrize(
    ("read", "answer"),
    [
        (lambda a: list(answers.found_by_each(a)), {"responses": 7}),
        (lambda a: list(answers.found_by_each(a)), {"responses": [{"response_range": "x"}]}),
        (answers.kept_alive_s, {"result": None}),
        (answers.kept_alive_s, {"result": {"TTL": []}}),
        (lambda a: answers.number(a, "ID"), {}),
        (lambda a: answers.changed(json.dumps(a).encode()), {"result": 3}),
        (lambda a: answers.changed(json.dumps(a).encode()), {"result": {"events": [1]}}),
    ],
)
def test_what_is_no_answer_is_said(read: Callable[[Any], Any], answer: dict[str, Any]) -> None:
    with pytest.raises(EtcdError):
        read(answer)


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b"[" * 100_000, b"\xff", b"1" * 5000])
def test_a_web_page_is_no_answer(data: bytes) -> None:
    with pytest.raises(EtcdError, match="not etcd's JSON gateway"):
        answers.parsed(data)
