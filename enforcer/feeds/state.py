"""What is known of a feed: the body that was accepted, and how the last attempts went.

A JSON file beside the body. What the server and the signature said of a body (ETag, serial…) counts
only together with that very body: its digest stands beside them, and is compared with the file.
This module imports nothing heavy: the daemon reads such files for metrics and `status`.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from enforcer.policy.times import saved_instant, saved_or_none
from enforcer.policy.words import plain

Result = Literal["accepted", "unchanged", "refused", "failed"]
RESULTS: tuple[Result, ...] = ("accepted", "unchanged", "refused", "failed")
MOST_BYTES = 64 * 1024
_VERSION = 1
_MOST_VALUE = 1024
# A character takes twelve bytes at most: what is written is always less than what is read.
MOST_PROBLEM, _MOST_URL = 3000, 2000
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class SpoiltError(ValueError):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """`digest` is that of the file that the daemon reads, `body` of what came from `url`, both
    BLAKE2b. `terms` names what the configuration demanded then: other demands, and it is fetched
    anew. `serial` is None for a feed that nobody signs. `named`: its signature names this feed.
    `address` names all of the address, whose query `url` lacks, as a digest; empty: not known.
    `asked`: a daemon has answered for it; else it was left for one that starts.
    """

    digest: str
    body: str
    url: str
    terms: str
    rows: int
    at: datetime
    serial: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    named: bool = False
    address: str = ""
    asked: bool = True


@dataclass(frozen=True, slots=True)
class State:
    """`checked_at` is when it was last made sure that the body is the newest one; `tried_at` the
    last attempt. `problem` is what was wrong with that, None when it went well: one line, which
    begins to be cut at MOST_PROBLEM characters.
    """

    accepted: Accepted | None = None
    checked_at: datetime | None = None
    tried_at: datetime | None = None
    result: Result | None = None
    problem: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def counted(self, result: Result, at: datetime, problem: str | None) -> State:
        """After one more attempt."""
        counts = {**self.counts, result: self.counts.get(result, 0) + 1}
        good = result in ("accepted", "unchanged")
        return replace(
            self,
            checked_at=at if good else self.checked_at,
            tried_at=at,
            result=result,
            problem=None if problem is None else plain(problem, MOST_PROBLEM),
            counts=counts,
        )


def state_path(file: Path) -> Path:
    """Where the state of the feed kept in `file` is."""
    return file.with_name(f"{file.name}.state")


def written(state: State) -> bytes:
    value = {"version": _VERSION, **asdict(state)}
    if state.accepted is not None:
        value["accepted"]["url"] = state.accepted.url[:_MOST_URL]
    return json.dumps(value, default=_instant_text, indent=1).encode() + b"\n"


def _instant_text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat()


def parsed(data: bytes) -> State:
    """Raises SpoiltError."""
    try:
        value = json.loads(data)
        if not isinstance(value, dict) or value.get("version") != _VERSION:
            raise SpoiltError("it is of another version, or of something else")
        accepted = value["accepted"]
        result = value["result"]
        if result is not None and result not in RESULTS:
            raise SpoiltError("its result is none")
        return State(
            _accepted(accepted) if accepted is not None else None,
            saved_or_none(value["checked_at"]),
            saved_or_none(value["tried_at"]),
            result,
            _problem(value["problem"]),
            {r: _number(value["counts"][r]) for r in RESULTS if r in value["counts"]},
        )
    except SpoiltError:
        raise
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise SpoiltError(f"it cannot be understood ({type(error).__name__})") from error


def _accepted(value: Any) -> Accepted:
    at = saved_instant(value["at"])
    digest, body, terms = (str(value[key]) for key in ("digest", "body", "terms"))
    if not all(_DIGEST.fullmatch(x) for x in (digest, body, terms)):
        raise SpoiltError("its digests are none")
    serial, address = value["serial"], str(value.get("address", ""))
    return Accepted(
        digest,
        body,
        str(value["url"])[:_MOST_URL],
        terms,
        _number(value["rows"]),
        at,
        None if serial is None else _number(serial),
        _header(value["etag"]),
        _header(value["last_modified"]),
        value.get("named") is True,
        address if _DIGEST.fullmatch(address) else "",
        value.get("asked") is not False,
    )


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 10**18:
        raise SpoiltError("a number in it is none")
    return value


def _text(value: Any, most: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise SpoiltError("a text in it is none")
    # What cannot be written must not be shown either.
    return value[:most].encode("utf-8", "replace").decode()


def _problem(value: Any) -> str | None:
    """Of a server's words, too: whoever shows it shows no escape."""
    text = _text(value, 2 * MOST_PROBLEM)
    return None if text is None else plain(text, MOST_PROBLEM)


def sendable(value: str) -> bool:
    """Whether a value that a server sent may stand in a header of ours."""
    return len(value) <= _MOST_VALUE and value.isascii() and value.isprintable()


def _header(value: Any) -> str | None:
    text = _text(value, _MOST_VALUE)
    if text is not None and not sendable(text):
        raise SpoiltError("a value for a header in it is none")
    return text
