"""The three errors of the product, named by who must act.

`PolicyError`: the operator edits a file. `PromiseError`: our bug; commit nothing but a disarm.
`KernelError`: retry, or tell the engineer what the gateway lacks. Recovery never adds restriction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN_PROBLEMS = 20


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in the operator's files: place, fact, remedy.

    `line` and `column` count from 1; 0 means the file as a whole. `path` is the place inside the
    document (`windows[0].end`), empty for rows and whole files. `message` is `fact; remedy`.
    `told` stands in its place where strangers read, because it says what a registry's row says;
    empty: the message says nothing of the kind.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    told: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self._with(self.message)

    @property
    def for_all(self) -> str:
        """The place and the kind, with no word of a row: for logs and strangers (promise 6)."""
        return self._with(self.told or self.message)

    def _with(self, text: str) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}:{self.column}"
        return f"{place}: {self.path}: {text}" if self.path else f"{place}: {text}"


class PolicyError(Exception):
    """The operator's files are refused; nothing in force changes. Carries every problem found.

    `count` is the number of problems found, which may exceed `len(problems)`: parsers of large
    files keep the first ones and only count the rest. With `more` they stopped counting there.
    """

    def __init__(
        self, problems: list[Problem], count: int | None = None, *, more: bool = False
    ) -> None:
        self.problems = tuple(problems)
        self.count = len(problems) if count is None else count
        self.more = more
        super().__init__(self._lines(list(map(str, self.problems[:SHOWN_PROBLEMS]))))

    @property
    def for_all(self) -> str:
        """Its text where it may be read by whom it is not meant for: the journal, the status port.
        Of registrations it says places and kinds, never what a row says (promise 6).
        """
        return self._lines([problem.for_all for problem in self.problems[:SHOWN_PROBLEMS]])

    def _lines(self, lines: list[str]) -> str:
        if self.count > len(lines):
            whole = f"{self.count:,} in all" + (" or more" if self.more else "")
            lines.append(f"… and {self.count - len(lines):,} more errors, {whole}")
        return "\n".join(lines)


class PromiseError(Exception):
    """A compiled ruleset breaks a promise of the design: our bug, and never committed."""

    def __init__(self, violations: list[str]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(violations))


class KernelError(Exception):
    """The kernel refused an operation. Branch on `errno` and `operation`, never on the text."""

    def __init__(self, operation: str, errno: int, message: str) -> None:
        self.operation = operation
        self.errno = errno
        super().__init__(f"{operation}: {message}")
