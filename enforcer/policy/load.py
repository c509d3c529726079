"""The files of the operator → one `Policy`, or every problem in them at once.

Bytes and zones come in; nothing is opened, and nothing is half-accepted: either all files are
right, or `PolicyError` carries everything wrong in all of them, in order of file and place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from enforcer.errors import PolicyError, Problem
from enforcer.policy.model import Policy
from enforcer.policy.sections import Foundation, read_main
from enforcer.policy.together import check_together
from enforcer.policy.windows import Placed, read_windows
from enforcer.policy.yamltext import read_yaml
from enforcer.policy.zones import Zones


def load(documents: Mapping[str, bytes], main: str, zones: Zones) -> Policy:
    """The policy of `documents` (file name → bytes), of which `main` is `enforcer.yaml`.

    All others are windows files. Names stand in messages as they are given. Windows come in order
    of file name and place. Raises PolicyError.
    """
    problems: list[Problem] = []
    foundation = Foundation(None, None, None)
    document, wrong = read_yaml(main, documents[main])
    problems += wrong
    if document is not None:
        foundation = read_main(document, problems)
    placed: list[Placed] = []
    for name in sorted(documents.keys() - {main}):
        document, wrong = read_yaml(name, documents[name], root="windows")
        problems += wrong
        if document is not None:
            placed += read_windows(document, foundation, zones, problems)
    problems += check_together(placed)
    if problems or foundation.policy is None:
        raise PolicyError(sorted(set(problems)))
    windows = tuple(one.window for one in placed)
    return replace(foundation.policy, windows=windows, digest=digest(documents))


def digest(documents: Mapping[str, bytes]) -> str:
    """16 hexadecimal digits that name these files and their bytes (SHA-256)."""
    total = hashlib.sha256()
    for name, data in sorted(documents.items()):
        # Lengths first, so that no two sets of files run into the same bytes.
        total.update(f"{len(name.encode())}:{len(data)}:{name}".encode())
        total.update(data)
    return total.hexdigest()[:16]
