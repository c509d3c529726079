"""What etcd answers, read: JSON as grpc-gateway writes it, where bytes are base64, 64-bit numbers
are strings, and what is empty or zero is left out.

In: bytes from whatever answers at an endpoint. Out: what they say, or EtcdError; nothing else comes
of any answer. Messages: https://etcd.io/docs/v3.4/dev-guide/api_reference_v3/
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from enforcer.fleet.troubles import EtcdError

Answer = dict[str, Any]
# A signed one (JWT) has some hundred characters.
_TOKEN = re.compile(r"[!-~]{1,8192}", re.ASCII)


@dataclass(frozen=True, slots=True)
class KeyValue:
    """`changed` is etcd's revision at the last change of the key."""

    key: str
    value: bytes
    changed: int


@dataclass(frozen=True, slots=True)
class Found:
    """`revision` is etcd's own, as of the answer; `more`: there are entries behind the last one."""

    revision: int
    entries: tuple[KeyValue, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """A message of a watch: etcd's revision where something changed. `over`: no other follows."""

    revision: int | None = None
    over: bool = False


def parsed(data: bytes) -> Answer:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise EtcdError("what answers is not etcd's JSON gateway; check endpoints") from error
    if not isinstance(value, dict):
        raise EtcdError("what answers is not etcd's JSON gateway; check endpoints")
    return value


def found(answer: Answer) -> Found:
    """Of a range."""
    revision = number(_message(answer, "header"), "revision")
    return Found(revision, tuple(_entries(answer)), bool(answer.get("more", False)))


def found_by_each(answer: Answer) -> Iterator[KeyValue]:
    """Of a transaction whose operations are ranges."""
    for response in _messages(answer, "responses"):
        yield from _entries(_message(response, "response_range"))


def token(answer: Answer) -> str:
    """Who we are from now on: one line, which goes into a header of every request."""
    value = answer.get("token")
    if isinstance(value, str) and _TOKEN.fullmatch(value):
        return value
    raise EtcdError("the answer has no token that could be sent; look at what answers there")


def kept_alive_s(answer: Answer) -> int:
    """How long a lease lives from now on; 0: it has lapsed."""
    return number(_message(answer, "result"), "TTL", 0)


def changed(line: bytes) -> Changed:
    """A line of a watch's answer."""
    result = _message(parsed(line), "result")
    if result.get("canceled"):
        return Changed(over=True)
    if not result.get("events"):
        return Changed()
    return Changed(number(_message(result, "header"), "revision"))


def number(answer: Answer, name: str, missing: int | None = None) -> int:
    value = answer.get(name, missing)
    try:
        if isinstance(value, str | int):
            return int(value)
    except ValueError:
        pass
    raise _odd()


def _odd() -> EtcdError:
    return EtcdError("the answer is not etcd's; check endpoints")


def _message(answer: Answer, name: str) -> Answer:
    value = answer.get(name, {})
    if not isinstance(value, dict):
        raise _odd()
    return value


def _messages(answer: Answer, name: str) -> list[Answer]:
    values = answer.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise _odd()
    return values


def _entries(answer: Answer) -> Iterator[KeyValue]:
    for entry in _messages(answer, "kvs"):
        key, value = _bytes(entry, "key"), _bytes(entry, "value")
        yield KeyValue(key.decode(errors="surrogateescape"), value, number(entry, "mod_revision"))


def _bytes(answer: Answer, name: str) -> bytes:
    try:
        return base64.b64decode(answer.get(name, ""))
    except (ValueError, TypeError) as error:
        raise _odd() from error
