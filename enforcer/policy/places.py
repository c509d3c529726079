"""Where things stand in the operator's files: a document's values with the place of each.

Values in, problems with `file:line:column` out. It reads no text itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from enforcer.errors import Problem
from enforcer.policy.words import shown

# A path inside a document: keys of mappings and indices of lists.
Path = tuple[str | int, ...]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document as plain values: dict, list, str, int, float, bool.

    `value` is None for a file without content. `positions[path]` is the (line, column) of a value
    and `keys[path]` that of its key, both counted from 1. `root` names the document in paths.
    """

    file: str
    value: Any
    positions: dict[Path, Place]
    keys: dict[Path, Place]
    root: str = ""

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """A problem at the value of `path` (its key with `at_key`), or where it would be."""
        place = self.keys.get(path) if at_key else None
        known = path
        while place is None:
            place = self.positions.get(known) or (None if known else (0, 0))
            known = known[:-1]
        return Problem(self.file, *place, path_text(self.root, path), message)

    def place(self, path: Path) -> str:
        """`file:line:column` of a value."""
        line, column = self.positions.get(path, (0, 0))
        return f"{self.file}:{line}:{column}"


_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def path_text(root: str, path: Path) -> str:
    """`windows[0].measures.guard`; a key that is no plain word stands in brackets and quotes."""
    text = root
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text
