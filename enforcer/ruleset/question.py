"""What somebody asks `explain`: texts → `Question`, or which of them is wrong and why; and the
form of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from enforcer.policy.model import Activation
from enforcer.policy.prefix import (
    BITS,
    Prefix,
    Service,
    format_address,
    parse_address,
    parse_service,
)

_T = TypeVar("_T")


class QuestionError(ValueError):
    """`field` is one of `address`, `to`, `service`, `at`; the text is `fact; remedy`."""

    def __init__(self, field: str, text: str) -> None:
        self.field = field
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Question:
    """A new flow from `address`, at `at` (now when None). The ends are prefixes of one address.
    Raises QuestionError when they are of two families.
    """

    address: Prefix
    to: Prefix | None = None
    service: Service | None = None
    at: datetime | None = None

    def __post_init__(self) -> None:
        if self.to is not None and self.to.family != self.address.family:
            ends = " and ".join(
                format_address(end.family, end.network) for end in (self.address, self.to)
            )
            raise QuestionError("to", f"{ends} are of two families; give two of the same")

    @classmethod
    def read(cls, address: str, to: str = "", service: str = "", at: str = "") -> Question:
        """Of texts, the last three perhaps empty. Raises QuestionError."""
        if not address:
            raise QuestionError("address", "an address is missing; write one like 192.0.2.1")
        return cls(
            _read("address", host, address),
            _read("to", host, to) if to else None,
            _read("service", parse_service, service) if service else None,
            _read("at", instant, at) if at else None,
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """`answer` has the keys of the contract; `windows` are on at the instant `at`."""

    answer: dict[str, Any]
    windows: tuple[Activation, ...]
    at: datetime


def verdict_words(answer: Mapping[str, Any]) -> str:
    """The verdict of an answer, for people."""
    words: str = answer["verdict"].replace("_", " ")
    if words == "marked" and not any(step.startswith("mark ") for step in answer["steps"]):
        # The contract knows one word for both.
        words = "reserved for"
    return f"{words} in part" if answer["partly"] else words


def host(text: str) -> Prefix:
    """The prefix of one address. Raises ValueError."""
    family, number = parse_address(text)
    return Prefix(family, number, BITS[family])


def instant(text: str) -> datetime:
    """An ISO 8601 instant; without an offset it is UTC. Raises ValueError with fact and remedy."""
    try:
        parsed = datetime.fromisoformat(text)
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no instant; write it like 2026-12-01T08:00:00Z") from None


def _read(field: str, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ValueError as error:
        raise QuestionError(field, str(error)) from None
