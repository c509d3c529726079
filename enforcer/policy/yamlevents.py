"""YAML events → plain values with places. Used by `yamltext`; one `Builder` reads one document.

It takes the parser's events one by one, in a loop: composing recurses as deep as the text nests.
It collects what it refuses in `problems`, goes on where the rest can still be placed, and sets
`done` where it cannot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from enforcer.errors import Problem
from enforcer.policy.places import Path, Place, path_text
from enforcer.policy.scalars import Trap, resolve
from enforcer.policy.words import shown

DEEPEST = 32
MOST_PROBLEMS = 200


@dataclass(slots=True)
class _Open:
    """A collection that is still being read. `key` is the key whose value comes next."""

    path: Path
    value: dict[Any, Any] | list[Any]
    key: str | int | None = None


@dataclass(slots=True)
class Builder:
    """Takes events one by one. Holds no recursion, so no text can exhaust the stack."""

    file: str
    root: str
    value: Any = None
    positions: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    done: bool = False
    _open: list[_Open] = field(default_factory=list)
    _documents: int = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, (), "a second document begins; keep one document a file")
                self.done = True
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._open.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._node(event)
        if len(self.problems) >= MOST_PROBLEMS:
            self.done = True

    def _node(self, event: yaml.NodeEvent) -> None:
        parent = self._open[-1] if self._open else None
        if parent is not None and isinstance(parent.value, dict) and parent.key is None:
            self._key(event, parent, parent.value)
            return
        path = self._next_path(parent)
        self.positions[path] = _place(event)
        value = self._value(event, path)
        if parent is None:
            self.value = value
        elif isinstance(parent.value, list):
            parent.value.append(value)
        else:
            parent.value[parent.key] = value
            parent.key = None
        self._enter(event, path, value)

    def _next_path(self, parent: _Open | None) -> Path:
        if parent is None:
            return ()
        if isinstance(parent.value, list):
            return (*parent.path, len(parent.value))
        assert parent.key is not None
        return (*parent.path, parent.key)

    def _key(self, event: yaml.NodeEvent, parent: _Open, mapping: dict[Any, Any]) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            fact = "a key is a list, a mapping or an alias"
            self._refuse(event, parent.path, f"{fact}; write the key as one word")
            # Its value would need a name; what follows cannot be placed.
            self.done = True
            return
        key: str | int | float | bool | None = self._scalar(event, parent.path)
        if isinstance(key, (bool, float)):
            self._refuse(event, parent.path, f"the key {event.value} is not text; quote it")
            key = None
        name: str | int = event.value if key is None else key
        path = (*parent.path, name)
        place = _place(event)
        if name in mapping:
            first = self.keys[path][0]
            fact = f"the key {shown(name)} is given twice, first on line {first}"
            self._refuse(event, parent.path, f"{fact}; remove one")
        self.keys[path] = place
        parent.key = name

    def _value(self, event: yaml.NodeEvent, path: Path) -> Any:
        if event.anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            fact = f"{sign}{event.anchor[:40]} is an anchor or an alias, which are not read here"
            self._refuse(event, path, f"{fact}; write the value out")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.CollectionStartEvent):
            self._check_tag(event, path)
            return {} if isinstance(event, yaml.MappingStartEvent) else []
        return None

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> str | int | float | bool | None:
        if not self._check_tag(event, path):
            return None
        if event.style:
            return str(event.value)
        value = resolve(event.value)
        if isinstance(value, Trap):
            self._refuse(event, path, value.message)
            return None
        return value

    def _check_tag(self, event: Any, path: Path) -> bool:
        if event.tag is None:
            return True
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        fact = f"the tag {shown(tag)} is not read here"
        self._refuse(event, path, f"{fact}; remove it, and quote the value if it is text")
        return False

    def _enter(self, event: yaml.NodeEvent, path: Path, value: Any) -> None:
        if not isinstance(event, yaml.CollectionStartEvent):
            return
        self._open.append(_Open(path, value))
        if len(self._open) > DEEPEST:
            fact = f"nests deeper than {DEEPEST} levels"
            remedy = "nothing in this file needs that, check its brackets and dashes"
            self.problems.append(Problem(self.file, *_place(event), "", f"{fact}; {remedy}"))
            self.done = True

    def _refuse(self, event: yaml.Event, path: Path, message: str) -> None:
        line, column = _place(event)
        if isinstance(event, yaml.ScalarEvent) and not event.value and not event.style:
            # An empty value stands wherever the next thing begins: its key is where to look.
            line, column = self.keys.get(path, (line, column))
        self.problems.append(Problem(self.file, line, column, path_text(self.root, path), message))


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
