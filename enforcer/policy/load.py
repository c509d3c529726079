"""The files of the operator → a `Draft`: the policy they declare, and every problem in them.

Bytes and zones come in; nothing is opened. A draft becomes a policy in `schedule.load`, where its
windows are looked at as instants: nothing else may use one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from enforcer.errors import Problem
from enforcer.policy.icalevents import CalendarFiles
from enforcer.policy.model import Estate, Policy
from enforcer.policy.sections import Foundation, read_main
from enforcer.policy.windows import Placed, read_windows
from enforcer.policy.words import shown
from enforcer.policy.yamltext import read_yaml
from enforcer.policy.zones import Zones


@dataclass(frozen=True, slots=True)
class Draft:
    """`policy` is None when a section of the main file is wrong; `placed` are the windows that are
    right in themselves, in order of file name and place; `estates` those that could be read.
    """

    policy: Policy | None
    placed: tuple[Placed, ...]
    estates: tuple[Estate, ...]
    problems: tuple[Problem, ...]


def no_calendars(name: str) -> bytes:
    raise ValueError("cannot be read here; give calendar files along with the configuration")


def read_documents(
    documents: Mapping[str, bytes],
    main: str,
    zones: Zones,
    read_calendar: Callable[[str], bytes] = no_calendars,
) -> Draft:
    """What `documents` (file name → bytes) declare, of which `main` is `enforcer.yaml`.

    All others are windows files. `read_calendar` gives the bytes of a calendar that a window names
    or raises ValueError with `fact; remedy`. Names stand in messages as they are given.
    """
    problems: list[Problem] = []
    foundation = Foundation(None, None, None)
    document, wrong = read_yaml(main, documents[main])
    problems += wrong
    if document is not None:
        foundation = read_main(document, problems)
    placed: list[Placed] = []
    calendars = CalendarFiles(read_calendar, zones)
    for name in sorted(documents.keys() - {main}):
        document, wrong = read_yaml(name, documents[name], root="windows")
        problems += wrong
        if document is not None:
            placed += read_windows(document, foundation, zones, calendars, problems)
    problems += _same_ids(placed)
    policy = foundation.policy
    estates = policy.estates if policy else ()
    if policy is not None:
        windows = tuple(one.window for one in placed)
        policy = replace(policy, windows=windows, digest=digest({**documents, **calendars.files}))
    return Draft(policy, tuple(placed), estates, tuple(problems))


def _same_ids(placed: list[Placed]) -> list[Problem]:
    first: dict[str, Placed] = {}
    problems: list[Problem] = []
    for one in placed:
        other = first.setdefault(one.window.id, one)
        if other is not one:
            fact = f"{shown(one.window.id)} is already the id of the window at {other.place}"
            problems.append(one.problem(f"{fact}; give each window an id of its own", "id"))
    return problems


def digest(documents: Mapping[str, bytes]) -> str:
    """16 hexadecimal digits that name these files and their bytes (SHA-256)."""
    total = hashlib.sha256()
    for name, data in sorted(documents.items()):
        # Lengths first, so that no two sets of files run into the same bytes.
        total.update(f"{len(name.encode())}:{len(data)}:{name}".encode())
        total.update(data)
    return total.hexdigest()[:16]
