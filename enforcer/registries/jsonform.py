"""The JSON form of a registry → rows: objects with the names of the contract's columns.

In: text. Out: rows in a `Gathering`. A string in place of an object is a prefix. `services` may be
a list, and `prefixes` a list in place of `prefix`. Names that nobody knows are dropped, and that is
said.
"""

from __future__ import annotations

from typing import Any

from enforcer.policy.registry_rows import FIELDS
from enforcer.policy.words import shown
from enforcer.registries import loose
from enforcer.registries.gathering import EVERY, BadRowError, Gathering, Progress
from enforcer.registries.jsonrows import JsonError, JsonRows

LISTS = ("registrations", "prefixes")
_KNOWN = {*FIELDS, "prefixes"}


def read_json(
    text: str,
    out: Gathering,
    known: tuple[str, ...] | None,
    *,
    category: str | None,
    id_prefix: str,
    progress: Progress,
) -> None:
    """Raises PolicyError with the place in the file."""
    rows = JsonRows(text, LISTS)
    try:
        for count, (line, value) in enumerate(rows):
            try:
                _row(value, line, out, known, category, id_prefix)
            except BadRowError as fault:
                out.fault(line, fault)
            if count % EVERY == 0:
                progress(count)
    except JsonError as error:
        raise out.refused(error.message, error.line, error.column) from None
    for name in rows.others:
        out.notes.add(f"the member {shown(name)} beside the list, dropped")


def _row(
    value: Any,
    line: int,
    out: Gathering,
    known: tuple[str, ...] | None,
    category: str | None,
    id_prefix: str,
) -> None:
    row = {"prefix": value} if isinstance(value, str) else value
    if not isinstance(row, dict):
        raise BadRowError("an entry is no registration; write an object with the columns' names")
    for name in row.keys() - _KNOWN:
        out.notes.add(f"values of {shown(name)}, dropped", line)
    texts = {name: _text(row, name) for name in FIELDS}
    written = _many(row.get("prefixes"), "prefixes") or [texts["prefix"]]
    for prefix in (p for text in written for p in loose.prefixes(text, out.notes, line)):
        out.add(
            line,
            (
                texts["id"] or id_prefix + prefix,
                prefix,
                loose.category(texts["category"], known) or category or "",
                loose.day(texts["valid_from"]),
                loose.day(texts["valid_until"]),
                loose.services(texts["services"]),
            ),
        )


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if name == "services":
        return " ".join(_many(value, name))
    if name == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadRowError(f"{name} is no text; write it in quotes")


def _many(value: Any, name: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRowError(f"{name} is no list of texts; write it so")
    return value
