"""The record of runs on another kernel: one row a file, in tests/vm/results/KERNEL.md.

    python -m tests.vm.record KERNEL FOLDER     takes in what a run has left in FOLDER
    python -m tests.vm.record KERNEL --all      names the files that have tests for it
    python -m tests.vm.record KERNEL --rest     those of them that have no green row
    python -m tests.vm.record KERNEL --commit   names what a run is of

A run may be cut and gone on with: a row stays until its file is run again. Exit code 1: a file of
this run is red.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "tests" / "vm" / "results"
HEAD = """\
| file | passed | skipped | failed | seconds | day | commit |
|---|---:|---:|---:|---:|---|---|"""
_WORD = re.compile(r"(\d+) (passed|skipped|failed|error)")
_SKIPPED = re.compile(r"^SKIPPED \[\d+\] (\S+?)(?::\d+)?: (.*)$", re.M)
_NOTHING = 5  # pytest: no test was collected, here: none of the real kernel


@dataclass(frozen=True, slots=True)
class Row:
    """What one run of one file gave. `failed` counts errors too."""

    file: str
    passed: int
    skipped: int
    failed: int
    seconds: str
    day: str
    commit: str

    @property
    def green(self) -> bool:
        return self.failed == 0

    def __str__(self) -> str:
        numbers = f"{self.passed} | {self.skipped} | {self.failed} | {self.seconds}"
        return f"| `{self.file}` | {numbers} | {self.day} | {self.commit} |"


def row(file: str, code: int, log: str, day: str, commit: str) -> Row:
    """A run that ended otherwise than by its tests (a time limit, a crash) counts as a failure."""
    last = log.rstrip().rpartition("\n")[2]
    count = {word: int(number) for number, word in _WORD.findall(last)}
    failed = count.get("failed", 0) + count.get("error", 0)
    if code not in (0, 1, _NOTHING):
        failed = max(failed, 1)
    found = re.search(r"in (\d+)[.\d]*s", last)
    seconds = found[1] if found else ""
    return Row(file, count.get("passed", 0), count.get("skipped", 0), failed, seconds, day, commit)


def read(text: str) -> dict[str, Row]:
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 7:
            file = cells[0].strip("`")
            passed, skipped, failed = (int(cell) for cell in cells[1:4])
            rows[file] = Row(file, passed, skipped, failed, *cells[4:])
    return rows


def read_reasons(text: str) -> dict[str, set[str]]:
    """Why something was skipped: reasons by file."""
    reasons: dict[str, set[str]] = {}
    for file, reason in re.findall(r"^\* `(\S+)`: (.*)$", text, re.M):
        reasons.setdefault(file, set()).add(reason)
    return reasons


def write(kernel: str, rows: Iterable[Row], reasons: dict[str, set[str]]) -> str:
    body = sorted(rows, key=lambda each: each.file)
    total = [sum(getattr(each, name) for each in body) for name in ("passed", "skipped", "failed")]
    lines = [
        f"# Linux {kernel}, emulated",
        "",
        "`make kernels`: each file when it was last run, in a virtual machine.",
        "From 147fa97 on, seconds are those of its own clock, which counts instructions.",
        "",
        HEAD,
        *map(str, body),
        f"| all {len(body)} | {total[0]} | {total[1]} | {total[2]} | | | |",
        "",
        "Skipped there:",
        "",
        *(f"* `{file}`: {reason}" for file in sorted(reasons) for reason in sorted(reasons[file])),
    ]
    return "\n".join(lines) + "\n"


def take_in(kernel: str, folder: Path) -> int:
    path = RESULTS / f"{kernel}.md"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    rows, reasons = read(text), read_reasons(text)
    day = _said("date", "-u", "+%F")
    # As it was when the machine took its copy of the files.
    commit = (folder / "commit").read_text(encoding="utf-8").strip()
    red = 0
    for line in (folder / "codes").read_text(encoding="utf-8").splitlines():
        file, _, code = line.rpartition(" ")
        log = (folder / f"{Path(file).name.removesuffix('.py')}.log").read_text(
            encoding="utf-8", errors="replace"
        )
        new = row(file, int(code), log, day, commit)
        reasons.pop(file, None)
        reasons |= {file: {why for _, why in _SKIPPED.findall(log)}} if new.skipped else {}
        if not new.green:
            red = 1
            sys.stdout.write(log)
        # A file without a test of the real kernel is no row.
        rows.pop(file, None)
        if int(code) != _NOTHING:
            rows[file] = new
    RESULTS.mkdir(exist_ok=True)
    path.write_text(write(kernel, rows.values(), reasons), encoding="utf-8")
    return red


def rest(kernel: str) -> list[str]:
    path = RESULTS / f"{kernel}.md"
    done = read(path.read_text(encoding="utf-8")) if path.exists() else {}
    return [name for name in every() if name not in done or not done[name].green]


def commit() -> str:
    """What is checked out here; with `+` where files differ from it."""
    changed = _said("git", "status", "--porcelain", "--untracked-files=no")
    return _said("git", "rev-parse", "--short", "HEAD") + ("+" if changed else "")


def every() -> list[str]:
    """The files that have a test of the real kernel, in order."""
    found = _said(
        sys.executable, "-m", "pytest", "--collect-only", "-m", "kernel", "tests/kernel", "tests/vm"
    )
    return sorted({line.partition("::")[0] for line in found.splitlines() if "::" in line})


def _said(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    kernel, what = sys.argv[1:]
    if what == "--all":
        print(*every())
    elif what == "--commit":
        print(commit())
    elif what == "--rest":
        print(*rest(kernel))
    else:
        sys.exit(take_in(kernel, Path(what)))
