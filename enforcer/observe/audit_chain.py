"""The chain of the record: one JSON object a line, each sealed by a SHA-256 and naming the one
before. Values come in, bytes go out, and the other way round; no file is opened here.

A line is the record's keys in order, compact, UTF-8, and as its last key `digest`: the SHA-256 of
every byte of the line before `,"digest"`. `prev` is the digest of the record before, `seq` counts
from 1 over all files. So any change to a line, and any line lost, moved or put in between, shows;
only lines cut off at the end do not, and for these the newest `seq` and `digest` are told elsewhere
(status, metrics, journal, `audit.head`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

VERSION = 2
NOTHING_BEFORE = "0" * 64
_SEALED = re.compile(rb'(\{.*),"digest":"([0-9a-f]{64})"\}', re.DOTALL)
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Link:
    """A record as the next one names it."""

    seq: int = 0
    digest: str = NOTHING_BEFORE


@dataclass(frozen=True, slots=True)
class Record:
    """What a line holds. `values` are all its keys but `digest`."""

    seq: int
    prev: str
    digest: str
    at: datetime
    what: str
    values: Mapping[str, Any]

    @property
    def link(self) -> Link:
        return Link(self.seq, self.digest)

    def text(self, key: str) -> str:
        """The value of `key` as text; empty when it is none."""
        value = self.values.get(key)
        return value if isinstance(value, str) else ""


class DamagedError(ValueError):
    """The bytes are no record: `expected` and `found` as text."""

    def __init__(self, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(f"expected {expected}; found {found}")


def seal(values: Mapping[str, Any], after: Link) -> tuple[bytes, Link]:
    """The line (without its end) of the record that follows `after`, and how it is named."""
    chained = {**values, "v": VERSION, "seq": after.seq + 1, "prev": after.digest}
    text = json.dumps(chained, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    # A lone surrogate has no UTF-8; as an escape it is JSON all the same.
    body = text[:-1].encode("utf-8", "backslashreplace")
    digest = hashlib.sha256(body).hexdigest()
    return body + b',"digest":"' + digest.encode() + b'"}', Link(after.seq + 1, digest)


def open_line(line: bytes) -> Record:
    """The record on a line (without its end). Raises DamagedError."""
    sealed = _SEALED.fullmatch(line)
    if sealed is None:
        raise DamagedError("a record that ends in its digest", _start(line))
    body, told = sealed[1], sealed[2].decode()
    digest = hashlib.sha256(body).hexdigest()
    if digest != told:
        raise DamagedError(f"bytes with the digest {told}", f"bytes with the digest {digest}")
    try:
        values = json.loads(body + b"}")
        seq, prev = values["seq"], values["prev"]
        at = datetime.fromisoformat(values["at"]).astimezone(UTC)
        known = type(seq) is int and seq > 0 and _HEX.fullmatch(prev) and values["v"] == VERSION
        what = str(values["what"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        found = f"{error!r} in {_start(line)}"
        raise DamagedError(f"a record of version {VERSION}", found) from None
    if not known:
        raise DamagedError(f"a record of version {VERSION}", _start(line))
    return Record(seq, prev, told, at, what, values)


def require_next(record: Record, after: Link) -> None:
    """Raises DamagedError when the record does not follow on `after`."""
    wanted = after.seq + 1
    if record.seq > wanted:
        lost = f"{wanted} is" if record.seq == wanted + 1 else f"{wanted} to {record.seq - 1} are"
        raise DamagedError(f"record {wanted}", f"record {record.seq}: {lost} missing")
    if record.seq < wanted:
        raise DamagedError(f"record {wanted}", f"record {record.seq}, out of order or put in")
    if record.prev != after.digest:
        raise DamagedError(
            f"a record that follows the digest {after.digest}",
            f"one that follows {record.prev}: one of the two has been replaced",
        )


def _start(line: bytes) -> str:
    """The beginning of a line, for a message; in ASCII, so that nothing in it acts."""
    if not line:
        return "an empty line"
    shown = line[:40].decode("utf-8", "replace")
    return json.dumps(shown) + ("…" if len(line) > 40 else "")
