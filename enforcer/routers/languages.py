"""The four languages, and what all of them share: names, comments, and the heading.

In: a `Selection` and an `Order`. Out: lines of configuration, the same for the same input. Every
language only marks: no line of any of them drops, rejects or delays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from enforcer.policy.values import DSCP
from enforcer.routers.selection import Group, Selection

# With the longest ending that a language adds, inside the 63 characters that all of them allow.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,30}", re.ASCII)
_UNFIT = re.compile(r"[^A-Za-z0-9 _.,:;+@()/-]", re.ASCII)
_LONGEST_COMMENT = 100


class ExportError(Exception):
    """What a language cannot hold, as `fact; remedy`."""


@dataclass(frozen=True, slots=True)
class Order:
    """`name` begins every name (it matches `NAME`). `dscp` is what the marking measure sets, None
    where nobody said. `about` are lines for the heading: which gateway, which window.
    """

    name: str
    dscp: int | None = None
    about: tuple[str, ...] = ()


Render = Callable[[Selection, Order], Iterator[str]]


def comment(text: str) -> str:
    """`text` as it may stand in a comment of any language: one line that ends nothing."""
    safe = _UNFIT.sub("?", text).replace("*/", "*?").replace("/*", "?*")
    return safe if len(safe) <= _LONGEST_COMMENT else safe[: _LONGEST_COMMENT - 3] + "..."


def heading(selection: Selection, order: Order, left_out: str | None = None) -> list[str]:
    """The comment at the top. `left_out` says what the language has no word for."""
    day = selection.day.isoformat()
    last = selection.last_day
    holds = f"from {day} to {last.isoformat()} UTC" if last else f"from {day} on"
    prefixes = f"{selection.count(4)} IPv4 and {selection.count(6)} IPv6 prefixes"
    lines = [
        "made by enforcer export: the registered set, for the marking measure",
        f"registry {selection.digest}: {prefixes}, valid {holds}",
    ]
    if last:
        lines.append("a registration begins or ends on the day after: export anew by then")
    if order.dscp is None:
        lines.append("no DSCP was given: lists only")
    else:
        lines.append(f"DSCP {dscp_name(order.dscp)}")
    lines += [
        "a router does not end a window: take the marking off at its end",
        "guard is not exported, nor reserve: nothing here drops or delays a packet",
    ]
    if left_out:
        lines.append(f"left out: {left_out}")
    return [comment(line) for line in (*lines, *order.about)]


def limited(groups: Sequence[Group]) -> str | None:
    """What a language without services leaves out."""
    count = sum(len(group.v4) + len(group.v6) for group in groups)
    return f"{count} prefixes that are registered for some services only" if count else None


def dscp_name(value: int) -> str:
    """`cs5 (40)`, or the number alone."""
    names = [name for name, number in DSCP.items() if number == value]
    return f"{names[0]} ({value})" if names else str(value)
