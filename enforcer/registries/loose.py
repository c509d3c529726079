"""Fields as people and their programs write them → fields of the contract.

In: the text of a cell or of a JSON string. Out: the text that the contract's CSV has for it; a note
of what was changed. What is not understood is handed on as it is: the parser of registries refuses
it, with the remedy. Nothing is guessed that could mean two things.
"""

from __future__ import annotations

import re
from functools import lru_cache

from enforcer.policy.registry_rows import parse_day
from enforcer.registries.gathering import BadRowError, Notes
from enforcer.registries.ranges import parse_range, with_netmask

# Digits of Arabic and Persian keyboards; dashes of word processors; marks that nobody sees.
_DIGITS = {base + n: str(n) for base in (0x0660, 0x06F0) for n in range(10)}
_DASHES = dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2212), "-")
_UNSEEN = dict.fromkeys((0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFEFF, 0xAD))
_SIGNS = {**_DIGITS, **_DASHES, **_UNSEEN}
_ANY_SERVICE = frozenset({"", "-", "*", "any", "all"})
_DOTTED_DAY = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_SLASHED_DAY = re.compile(r"([0-9]{4})[/.]([0-9]{1,2})[/.]([0-9]{1,2})")
_MIDNIGHT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(:00(\.0+)?)?Z?")
# What needs nothing done to it: nearly all, and there may be a million.
_PLAIN_PREFIX = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}", re.ASCII)
_LINE_ENDS = re.compile(r"[\t\r\n]+")
_ENDS = " \u00a0" + "".join(map(chr, _UNSEEN))
_KEPT = 4096
_SEPARATORS = re.compile(r"[\s,;]+")


def name(text: str) -> str:
    """An id: on one line, nothing unseen at its ends. Inside, Persian needs its joiners."""
    if text.isalnum() or (text.isascii() and text.isprintable() and " " not in text):
        return text
    return _LINE_ENDS.sub(" ", text).strip(_ENDS)


def prefixes(text: str, notes: Notes, line: int) -> list[str]:
    """The prefixes of a field: one, several with separators, a range, or one with a netmask.

    Raises BadRowError for a range or a netmask that is none.
    """
    if _PLAIN_PREFIX.fullmatch(text):
        return [text]
    clean = " ".join(text.translate(_SIGNS).split())
    if clean != text.strip():
        notes.add("prefixes written with other digits, dashes or spaces", line)
    clean = "" if clean == "-" else clean
    pieces = re.sub(r"\s*([-/])\s*", r"\1", clean)
    found = []
    parts = [part for part in _SEPARATORS.split(pieces) if part]
    if len(parts) > 1:
        notes.add("fields with several prefixes, each made a row", line)
    for part in parts or [""]:
        found += _one(part, notes, line)
    return found


def _one(text: str, notes: Notes, line: int) -> list[str]:
    try:
        if "-" in text:
            made = [str(prefix) for prefix in parse_range(text)]
            notes.add("ranges of addresses, each made the fewest prefixes that hold it", line)
            return made
        address, slash, mask = text.partition("/")
        if "." in mask:
            made = [str(with_netmask(address, mask))]
            notes.add("netmasks, each made a length", line)
            return made
    except ValueError as error:
        raise BadRowError(f"prefix {error}", "prefix") from None
    if text and not slash:
        notes.add("addresses without a length, each made a prefix of one address", line)
        return [f"{text}/{128 if ':' in text else 32}"]
    return [text]


@lru_cache(_KEPT)
def day(text: str) -> str:
    """`31.12.2026`, `2026/12/31` or `2026-12-31 00:00:00` as `2026-12-31`; others as they are."""
    clean = " ".join(text.translate(_SIGNS).split())
    if clean in ("", "-"):
        return ""
    if found := _MIDNIGHT.fullmatch(clean):
        return found[1]
    if found := _DOTTED_DAY.fullmatch(clean):
        year, month, number = found[3], found[2], found[1]
    elif found := _SLASHED_DAY.fullmatch(clean):
        year, month, number = found[1], found[2], found[3]
    else:
        return clean
    made = f"{year}-{month:0>2}-{number:0>2}"
    return clean if parse_day(made) is None else made


@lru_cache(_KEPT)
def services(text: str) -> str:
    """Service tokens in small letters, a space between two; empty for `any` and its like."""
    clean = " ".join(_SEPARATORS.split(text.translate(_SIGNS).strip())).lower()
    return "" if clean in _ANY_SERVICE else clean


@lru_cache(_KEPT)
def category(text: str, known: tuple[str, ...] | None) -> str:
    """The declared category that is meant; `Call Centre` is `call-centre`."""
    clean = " ".join(text.translate(_UNSEEN).split())
    if known is not None and clean in known:
        return clean
    dashed = re.sub(r"[ _]+", "-", clean.casefold())
    return dashed if known is None or dashed in known else clean
