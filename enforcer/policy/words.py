"""How messages quote and count: shared by every parser of the policy. Text in, text out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 60
_LISTED = 12


def shown(value: object) -> str:
    """`value` quoted for a message: one line, printable, cut after 60 characters."""
    text = str(value)
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return f'"{safe}"'


def plain(text: object, most: int = 200) -> str:
    """What a stranger wrote, for a message: one line of at most so many characters, and nothing in
    it that moves a terminal's cursor or colours what follows.
    """
    kept = "".join(c if c.isprintable() else " " for c in str(text)[: 4 * most])
    line = " ".join(kept.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that `name` was probably meant to be, or None. `likeness` is 0..1."""
    by_folded = {candidate.casefold(): candidate for candidate in sorted(known)}
    found = get_close_matches(name.casefold()[:100], by_folded, n=1, cutoff=likeness)
    return by_folded[found[0]] if found else None


def pick(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a name that is not known: the nearest one, the list of all, or `otherwise`."""
    names = sorted(known)
    close = nearest(name, names)
    if close is not None:
        return f'did you mean "{close}"?'
    if not names:
        return otherwise
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"known: {', '.join(names[:_LISTED])}{more}"


def count(number: int, noun: str) -> str:
    """`1 address`, `4,096 addresses`."""
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"
