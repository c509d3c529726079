"""What a gateway says of itself, as it stands in etcd under its lease.

In: bytes that anybody who may write in etcd can have written. Out: a `Report` of bounded size, with
texts that a terminal can be given; or None. What it says is shown and counted, and never trusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enforcer.fleet.revision import MOST_NUMBER

MOST_REPORT_BYTES = 64 * 1024
# A refused configuration tells its first twenty problems.
_PROBLEM_CHARACTERS, _TEXT_CHARACTERS = 4000, 256
_MOST_TEXTS = 256
# As `gateway.name` of the configuration.
GATEWAY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Report:
    """What a gateway says. `revision` is the one its daemon has taken; `refused` the number of one
    that it has not (0: what etcd names is no number), and `problem` why, or what else is wrong.
    `local` are the files of windows that were declared on the gateway itself.
    """

    gateway: str
    track: str
    revision: int | None
    refused: int | None
    problem: str | None
    armed: tuple[str, ...]
    version: str
    labels: Mapping[str, str]
    at: str
    local: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        return self.problem is None and self.refused is None

    def stored(self) -> bytes:
        return json.dumps({name: getattr(self, name) for name in self.__slots__}).encode()


def read_report(data: bytes) -> Report | None:
    """None when it is no report."""
    if len(data) > MOST_REPORT_BYTES:
        return None
    try:
        value = json.loads(data)
        return Report(
            _text(value["gateway"]),
            _text(value["track"]),
            _number(value["revision"]),
            _number(value["refused"]),
            None
            if value["problem"] is None
            else _text(value["problem"], _PROBLEM_CHARACTERS, "\n"),
            tuple(_text(name) for name in _few(value["armed"], list)),
            _text(value["version"]),
            {_text(name): _text(text) for name, text in _few(value["labels"], dict).items()},
            _text(value["at"]),
            # Gateways of an older version say nothing of it.
            tuple(_text(name) for name in _few(value.get("local", []), list)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _number(value: object) -> int | None:
    if value is None or (type(value) is int and 0 <= value <= MOST_NUMBER):
        return value
    raise ValueError("no revision's number")


def _text(value: object, most: int = _TEXT_CHARACTERS, besides: str = "") -> str:
    """Nothing in it moves a terminal's cursor or colours what follows. `besides`: what is kept
    although it does not print.
    """
    if not isinstance(value, str):
        raise TypeError("no text")
    return "".join(c if c.isprintable() or c in besides else "\N{REPLACEMENT CHARACTER}"
                   for c in value[:most])  # fmt: skip


def _few(value: Any, kind: type[list[Any]] | type[dict[Any, Any]]) -> Any:
    if not isinstance(value, kind) or len(value) > _MOST_TEXTS:
        raise TypeError("no list of names")
    return value
