"""What the doctor says: one fact a line, how bad it is, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fail"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "fail")


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at, one word that stays; `about` which one of several.

    `fail`: a window would not do what it declares, or not safely. `warning`: it may not, under
    circumstances that the fact names. Only what is `ok` has no remedy.
    """

    check: str
    level: Level
    fact: str
    remedy: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        if (self.level == "ok") != (not self.remedy):
            raise ValueError("what is not well has a remedy, and nothing else has")


def ok(check: str, fact: str, about: str = "") -> Finding:
    return Finding(check, "ok", fact, "", about)


def warning(check: str, fact: str, remedy: str, about: str = "") -> Finding:
    return Finding(check, "warning", fact, remedy, about)


def fail(check: str, fact: str, remedy: str, about: str = "") -> Finding:
    return Finding(check, "fail", fact, remedy, about)


def counts(findings: Iterable[Finding]) -> dict[Level, int]:
    found = list(findings)
    return {level: sum(f.level == level for f in found) for level in LEVELS}
