"""Does the Internet route a registered prefix where its registrant says? What RPKI knows of it.

In: validated ROA payloads (VRPs) as routinator and rpki-client write them in JSON, and a mapping
from ids to AS numbers. Out: findings. The question is who may originate the route that carries a
registered prefix (RFC 6811): a payload that covers the prefix. Its `maxLength` is not asked, for a
registered prefix is mostly a part of what is announced, and no route of its own.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enforcer.errors import PolicyError, Problem
from enforcer.lookup.tree import parents
from enforcer.policy.prefix import BITS, FAMILIES, Family, parse_prefix
from enforcer.policy.registry import Columns, Registry
from enforcer.policy.registry_columns import Words, pick, run_starts, sort_order
from enforcer.registries.findings import Report
from enforcer.registries.gathering import EVERY, Progress
from enforcer.registries.jsonrows import JsonError, JsonRows

_MOST_PAYLOADS = 4_000_000
_LARGEST_AS = 2**32 - 1
_AS = re.compile(r"(?:AS)?(0|[1-9][0-9]{0,9})", re.ASCII | re.IGNORECASE)
# A registrant whose id is not in the mapping; and the id that stands for all such.
_UNKNOWN: tuple[int, ...] = ()
EVERYBODY = "*"


@dataclass(frozen=True, slots=True, eq=False)
class Payloads:
    """The payloads of one family, in any order."""

    words: Words
    length: NDArray[np.uint8]
    origin: NDArray[np.uint32]


def as_number(value: Any) -> int | None:
    """`64500`, `"64500"` or `"AS64500"` as a number; None for what is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= _LARGEST_AS else None
    found = _AS.fullmatch(value) if isinstance(value, str) else None
    return int(found[1]) if found and int(found[1]) <= _LARGEST_AS else None


def read_payloads(
    name: str, data: bytes, progress: Progress = lambda _: None
) -> dict[Family, Payloads]:
    """The payloads of a JSON file: a list `roas` of objects with `asn` and `prefix`. Raises
    PolicyError.
    """

    def refused(line: int, column: int, message: str) -> PolicyError:
        return PolicyError([Problem(name, line, column, "", message)])

    numbers: dict[Family, list[int]] = {4: [], 6: []}
    lengths: dict[Family, array[int]] = {4: array("B"), 6: array("B")}
    origins: dict[Family, array[int]] = {4: array("L"), 6: array("L")}
    try:
        text = data.decode("utf-8-sig")
        for count, (line, entry) in enumerate(JsonRows(text, ("roas",))):
            if count >= _MOST_PAYLOADS:
                raise refused(line, 1, f"more than {_MOST_PAYLOADS:,} payloads; correct the file")
            if count % EVERY == 0:
                progress(count)
            origin = as_number(entry.get("asn")) if isinstance(entry, dict) else None
            written = entry.get("prefix") if isinstance(entry, dict) else None
            if origin is None or not isinstance(written, str):
                remedy = "write asn and prefix, as routinator and rpki-client do"
                raise refused(line, 1, f"an entry is no payload; {remedy}")
            try:
                prefix = parse_prefix(written)
            except ValueError as error:
                raise refused(line, 1, f"prefix {error}") from None
            numbers[prefix.family].append(prefix.network)
            lengths[prefix.family].append(prefix.length)
            origins[prefix.family].append(origin)
    except JsonError as error:
        raise refused(error.line, error.column, error.message) from None
    except UnicodeDecodeError:
        raise refused(0, 0, "is not UTF-8; fetch it anew") from None
    low = (1 << 64) - 1
    words: dict[Family, Words] = {
        4: (np.array(numbers[4], np.uint32),),
        6: (
            np.array([n >> 64 for n in numbers[6]], np.uint64),
            np.array([n & low for n in numbers[6]], np.uint64),
        ),
    }
    return {
        family: Payloads(
            words[family],
            np.array(lengths[family], np.uint8),
            np.array(origins[family], np.uint32),
        )
        for family in FAMILIES
    }


def read_origins(name: str, data: bytes) -> dict[str, tuple[int, ...]]:
    """`id,asn` lines: which ASes may announce what is registered under an id; several lines may
    share an id, and `*` stands for every id that is not there. Raises PolicyError.
    """
    found: dict[str, tuple[int, ...]] = {}
    problems = []
    for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#") or (number == 1 and text == "id,asn"):
            continue
        key, comma, value = text.rpartition(",")
        origin = as_number(value.strip())
        if not comma or not key or origin is None:
            problems.append(
                Problem(name, number, 1, "", "is no origin; write id,asn, like R-000001,AS64500")
            )
            continue
        found[key] = (*found.get(key, ()), origin)
    if problems:
        raise PolicyError(problems)
    return found


def check_origins(
    report: Report,
    registry: Registry,
    payloads: Mapping[Family, Payloads],
    origins: Mapping[str, tuple[int, ...]],
) -> None:
    """Adds findings: prefixes that only others, or nobody, may announce, and those of which RPKI
    says nothing.
    """
    wrong, nobody, silent, unknown = ([np.zeros(0, np.intp)] for _ in range(4))
    for family in FAMILIES:
        columns, first = registry.of_family(family), registry.first_row(family)
        if not len(columns):
            continue
        wanted = _wanted(columns, origins)
        asked = np.array([origin is not _UNKNOWN for origin in wanted], np.bool_)
        some, routable, right = _covering(columns, payloads[family], wanted)
        wrong.append(np.flatnonzero(asked & routable & ~right) + first)
        nobody.append(np.flatnonzero(some & ~routable) + first)
        silent.append(np.flatnonzero(asked & ~some) + first)
        unknown.append(np.flatnonzero(~asked) + first)
    fact = "RPKI has other ASes announce it, not its registrant's"
    for check, severity, parts, message in (
        ("rpki-origin", "error", wrong, f"{fact}; ask the registrant whose prefix it is"),
        ("rpki-nobody", "error", nobody, "RPKI lets nobody announce it (AS0); ask the registrant"),
        ("rpki-silent", "warning", silent, "RPKI says nothing of it; ask the registrant for a ROA"),
        (
            "rpki-unknown",
            "note",
            unknown if origins else [],
            "its id is not in the file of origins; add a line",
        ),
    ):
        rows = np.concatenate(parts) if parts else np.zeros(0, np.intp)
        report.add(check, severity, rows, lambda _, text=message: text)  # type: ignore[misc,arg-type]


def _wanted(columns: Columns, origins: Mapping[str, tuple[int, ...]]) -> list[tuple[int, ...]]:
    others = origins.get(EVERYBODY, _UNKNOWN)
    ids, first = columns.ids, 0
    wanted = []
    for end in columns.id_ends.tolist():
        wanted.append(origins.get(ids[first:end].decode(), others))
        first = end
    return wanted


def _covering(
    columns: Columns, payloads: Payloads, wanted: list[tuple[int, ...]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each row: does any payload cover it, one for an AS but AS0, one for an AS that is wanted?

    Registered prefixes and payloads stand in one tree; a row asks its node and the nodes above.
    """
    count = len(columns)
    words = tuple(np.concatenate(w) for w in zip(columns.words, payloads.words, strict=True))
    length = np.concatenate([columns.length, payloads.length])
    order = sort_order(words, length)
    words, length = pick(words, order), length[order]
    first = run_starts(*words, length)
    node = np.empty(len(order), np.int64)
    node[order] = np.cumsum(first) - 1
    parent = parents(columns.family, pick(words, first), length[first])
    mine, theirs = node[:count], node[count:]
    size = len(parent)
    has = np.zeros(size, np.bool_)
    has[theirs] = True
    routable = np.zeros(size, np.bool_)
    routable[theirs[payloads.origin != 0]] = True
    keys = np.unique(theirs << 32 | payloads.origin.astype(np.int64))
    pair_row = np.repeat(np.arange(count), [len(origins) for origins in wanted])
    pair_as = np.array([origin for origins in wanted for origin in origins], np.int64)
    results = np.zeros((3, count), np.bool_)
    rows, here = np.arange(count), mine.copy()
    pairs, pair_here = np.arange(len(pair_row)), mine[pair_row]
    # A prefix lies in at most as many others as it has bits.
    for _ in range(BITS[columns.family] + 1):
        if not len(rows):
            break
        results[0, rows] |= has[here]
        results[1, rows] |= routable[here]
        key = pair_here << 32 | pair_as[pairs]
        at = np.minimum(np.searchsorted(keys, key), max(0, len(keys) - 1))
        hit = keys[at] == key if len(keys) else np.zeros(len(key), np.bool_)
        results[2, pair_row[pairs[hit]]] = True
        above, pair_above = parent[here], parent[pair_here]
        rows, here = rows[above >= 0], above[above >= 0].astype(np.int64)
        pairs, pair_here = pairs[pair_above >= 0], pair_above[pair_above >= 0].astype(np.int64)
    return results[0], results[1], results[2]
