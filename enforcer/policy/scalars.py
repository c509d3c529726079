"""What an unquoted word of YAML means here, and which words are refused because YAML 1.1 and the
person who wrote them mean different things. Text in, a plain value or a `Trap` out.

The rules are the table `_TRAPS`: each names what YAML 1.1 would read and how to write what was
meant. Sources: https://yaml.org/type/ (bool, int, float, timestamp, null, merge) and measurement of
PyYAML 6.0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from enforcer.policy.words import shown

Scalar = str | int | float | bool

_MOST_DIGITS = 20


@dataclass(frozen=True, slots=True)
class Trap:
    """An unquoted word that is refused; `message` is `fact; remedy`."""

    message: str


def _sexagesimal(text: str) -> str:
    parts = text.lstrip("+-").replace("_", "").split(":")
    fact = f"{text[:40]} is text to some readers of YAML and a number to others"
    # What PyYAML does with it (base 60, never a leading zero): the number shows why it is refused.
    if not parts[0].startswith("0") and all(p.isdecimal() for p in parts):
        number = 0
        for part in parts:
            number = number * 60 + int(part[:_MOST_DIGITS])
        fact = f"{text[:40]} is read by YAML as the number {number}"
    return f'{fact}; quote it: "{text[:40]}"'


def _boolean(text: str) -> str:
    meant = "true" if text.lower() in {"yes", "on", "y"} else "false"
    return f'{text} is read by YAML as {meant}; write {meant}, or "{text}" in quotes if it is text'


def _timestamp(text: str) -> str:
    return f'{text[:40]} is read by YAML as a date, not as text; quote it: "{text[:40]}"'


def _octal(text: str) -> str:
    return (
        f"{text[:40]} has a leading zero, which YAML reads to the base 8; write it without, "
        f'or quote it: "{text[:40]}"'
    )


def _other_base(text: str) -> str:
    return f"{shown(text)} is not a decimal or hexadecimal number; write it like 81 or 0x51"


def _underscore(text: str) -> str:
    plain = text.replace("_", "")[:40]
    return f"{shown(text)} is read by YAML as the number {plain}; write {plain}, or quote it"


def _not_finite(text: str) -> str:
    return f"{text} is not a finite number; write a number, or quote it if it is text"


def _null(text: str) -> str:
    return "has no value; write one, or remove the key"


def _merge(text: str) -> str:
    return "<< merges mappings, which is not read here; write the keys out"


_TRAPS: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = tuple(
    (re.compile(pattern, re.ASCII), message)
    for pattern, message in (
        (r"|~|null|Null|NULL", _null),
        (r"<<", _merge),
        (r"(?i:yes|no|on|off|y|n)", _boolean),
        (r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?", _sexagesimal),
        (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?", _timestamp),
        (r"[-+]?0[0-9_]+", _octal),
        (r"[-+]?0[obOB][0-9a-fA-F_]+", _other_base),
        (r"[-+]?([0-9]+_[0-9_]*|0x[0-9a-fA-F]*_[0-9a-fA-F_]*)", _underscore),
        (r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", _not_finite),
    )
)
_TRUE = re.compile(r"true|True|TRUE", re.ASCII)
_FALSE = re.compile(r"false|False|FALSE", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_HEXADECIMAL = re.compile(r"[-+]?0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)


def resolve(text: str) -> Scalar | Trap:
    """The value of an unquoted scalar. A bare word that nothing else claims is text."""
    for pattern, message in _TRAPS:
        if pattern.fullmatch(text):
            return Trap(message(text))
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text.lower() == "true"
    if (decimal := _DECIMAL.fullmatch(text)) or _HEXADECIMAL.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            return Trap(f"a number of {len(text):,} digits; write one of at most {_MOST_DIGITS}")
        return int(text, 10 if decimal else 16)
    if _FLOAT.fullmatch(text):
        return _float(text)
    return text


def _float(text: str) -> float | Trap:
    number = float(text) if len(text) <= 400 else float("inf")
    if number in (float("inf"), float("-inf")):
        return Trap(_not_finite(shown(text)))
    return number
