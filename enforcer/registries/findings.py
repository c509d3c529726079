"""What `registry lint` says: findings, each with its place and its remedy, and nothing more.

A message names lines, never an id or a prefix: whoever may read the file finds them there, and
whoever may only read the report does not (promise 6).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from enforcer.policy.registry import Registry
from enforcer.registries.nesting import Side

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: {self.message}"
            if self.line
            else (f"{self.file}: {self.message}")
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of finding: how many rows have it, and the first of them."""

    check: str
    severity: Severity
    count: int
    places: tuple[Place, ...]


@dataclass(slots=True)
class Report:
    """Gathers findings about one registry; of each kind the first `most` places are kept."""

    registry: Registry
    most: int
    findings: list[Finding] = field(default_factory=list)

    def add(
        self,
        check: str,
        severity: Severity,
        rows: NDArray[np.intp],
        message: Callable[[int], str],
    ) -> None:
        """`rows` are row numbers of the registry, `message(k)` is about the k-th of them."""
        if not len(rows):
            return
        order = self._in_file_order(rows)[: self.most]
        places = tuple(
            Place(*self.registry.place(int(rows[k])), message(k)) for k in order.tolist()
        )
        self.findings.append(Finding(check, severity, len(rows), places))

    def add_of(
        self,
        check: str,
        severity: Severity,
        sides: list[Side],
        found: list[tuple[NDArray[np.intp], NDArray[Any]]],
        message: Callable[[int, int], str],
    ) -> None:
        """As `add`, of both families: `found` has the rows of each and one number a row, and
        `message` gets the row number and that number.
        """
        rows = np.concatenate([r + side.first for (r, _), side in zip(found, sides, strict=True)])
        more = np.concatenate([more for _, more in found])
        self.add(check, severity, rows, lambda k: message(int(rows[k]), int(more[k])))

    def _in_file_order(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        files = np.concatenate([self.registry.v4.file, self.registry.v6.file])[rows]
        lines = np.concatenate([self.registry.v4.line, self.registry.v6.line])[rows]
        return np.lexsort((rows, lines, files))

    def where(self, row: int, beside: int) -> str:
        """`line 7`, with the file where it is another than that of `beside`."""
        file, line = self.registry.place(row)
        return f"line {line}" if file == self.registry.place(beside)[0] else f"{file}:{line}"

    def done(self) -> list[Finding]:
        """The worst first, otherwise in the order of the checks."""
        return sorted(self.findings, key=lambda finding: SEVERITIES.index(finding.severity))
