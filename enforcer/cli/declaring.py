"""A declaration on the command line → the text of a windows file. Pure: it opens nothing.

What the words mean is `policy`'s to judge, as in a file written by hand: here only the shape of
`--measure` is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from enforcer.errors import Problem
from enforcer.policy.model import Policy
from enforcer.schedule.agenda import entry
from enforcer.schedule.orders import Orders
from enforcer.schedule.spans import END
from enforcer.schedule.timeline import occurrences


@dataclass(frozen=True, slots=True)
class Declaration:
    """`measures` are the arguments of `--measure`, as given; `lasts` the text of `--for`."""

    id: str
    starts_at: datetime
    lasts: str
    measures: tuple[str, ...]
    reason: str
    reference: str
    declared_by: str
    stage: bool = False
    until_end: bool = False
    on_trial: bool = False


def windows_file(declared: Declaration) -> str:
    """The YAML of one window. Raises ValueError with `fact; remedy`."""
    lines = [
        "# Written by `enforcer declare`. It may be edited, or removed once it is over.",
        f"- id: {_text(declared.id)}",
        f"  reason: {_text(declared.reason)}",
        f"  declared_by: {_text(declared.declared_by)}",
        f"  reference: {_text(declared.reference)}",
        f"  start: {_text(f'{declared.starts_at:%Y-%m-%dT%H:%M:%SZ}')}",
        f"  duration: {_text(declared.lasts)}",
    ]
    if declared.until_end:
        lines.append("  lease: until-end")
    if declared.stage:
        lines.append("  stage: true")
    if declared.on_trial:
        lines.append("  provisional: true  # on trial until it is confirmed")
    lines.append("  measures:")
    lines += [f"    {name}: {{{value}}}" for name, value in _measures(declared.measures)]
    return "\n".join(lines) + "\n"


def free_id(starts_at: datetime, taken: Iterable[str]) -> str:
    """`declared-2026-12-01-0800`, with a number behind it where that is taken."""
    base = f"declared-{starts_at:%Y-%m-%d-%H%M}"
    known = set(taken)
    names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(known) + 2))
    return next(name for name in names if name not in known)


def whole_seconds(instant: datetime) -> datetime:
    """Down to the second: a file names no fraction, and a window for now is on at once."""
    return instant - timedelta(microseconds=instant.microsecond)


_LIKE = {"guard": "guard=ESTATE", "mark": "mark=0x51,cs5", "reserve": "reserve=LINK:40%"}


def _measures(given: Iterable[str]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not value:
            like = _LIKE.get(name) or ", ".join(_LIKE.values())
            raise ValueError(f"{text!r} is no measure; write it like {like}")
        if name in found:
            raise ValueError(f"{name} is given twice; a window has each measure once")
        if name == "guard":
            found[name] = f"estate: {_text(value)}"
        elif name == "mark":
            found[name] = _mark(value)
        elif name == "reserve":
            link, colon, share = value.partition(":")
            if not colon:
                raise ValueError(f"{text!r} names no share; write it like reserve=wan:40%")
            found[name] = f"link: {_text(link)}, share: {_text(share)}"
        else:
            raise ValueError(f"{name!r} is no measure; there are guard, mark and reserve")
    return list(found.items())


def _mark(value: str) -> str:
    """`0x51`, `0x51,cs5`, `cs5`: a number is a fwmark, a name a DSCP."""
    parts: dict[str, str] = {}
    for part in value.split(","):
        try:
            key, text = "fwmark", f"{int(part, 0):#x}"
        except ValueError:
            key, text = "dscp", _text(part)
        if key in parts:
            raise ValueError(f"mark={value} gives {key} twice; write it like mark=0x51,cs5")
        parts[key] = text
    return ", ".join(f"{key}: {text}" for key, text in parts.items())


# Where the file says what an option said.
_OPTIONS = {
    "id": "--id",
    "start": "--start",
    "duration": "--for",
    "reason": "--reason",
    "reference": "--reference",
    "declared_by": "--declared-by",
    "measures": "--measure",
    "stage": "--stage",
    "lease": "--lease",
}


def of_options(problem: Problem) -> Problem:
    """A mistake in the file that is not written, at the option that it came from."""
    key = problem.path.partition("].")[2].partition(".")[0]
    message = f"{problem.message}; nothing is declared"
    return Problem("enforcer declare", 0, 0, _OPTIONS.get(key, ""), message)


def end_first(policy: Policy, orders: Orders, now: datetime, window_id: str) -> str | None:
    """What to do about a window that is on or ahead, whose file must not just go; None: it is over
    or closed.
    """
    window = policy.window(window_id)
    if window is None:
        return None
    ahead = next((entry(o, orders) for o in occurrences(window, now, END)), None)
    if ahead is None or ahead.state(now) == "closed":
        return None
    state = "on" if ahead.state(now) == "armed" else "ahead"
    return f"end it first, for it is {state}: enforcer close {window_id}"


def _text(text: str) -> str:
    """A double-quoted scalar: JSON's strings are YAML's."""
    return json.dumps(text, ensure_ascii=False)
