"""Is the record whole? Files of the chain come in, on this machine or as a copy on another; what
was read and the first thing that is broken go out, with its place and what to do.

Nothing is changed here. Against a running daemon the files are opened, and their sizes taken, under
the lock of one append: what is written meanwhile is not looked at.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from enforcer.observe.audit_chain import (
    NOTHING_BEFORE,
    DamagedError,
    Link,
    Record,
    open_line,
    require_next,
)
from enforcer.observe.audit_files import files, first_of, locked, read_head

# A line of more is none of ours.
LINE_BYTES = 16 << 20
_UP_TO_IT = (
    "the records before it are as they were written, those from it on are not proven; compare with "
    "a copy made earlier (backup, journal of the daemon), and keep both"
)
_HALF = (
    "a crash left it, and it was never acknowledged; the daemon sets it aside when it writes next, "
    "and says so in a record of its own"
)
_GONE = "put the missing files back beside the others, from a backup"


@dataclass(frozen=True, slots=True)
class Broken:
    """The first record that is not as it was written. `line` counts from 1 in its file."""

    file: str
    line: int
    seq: int
    expected: str
    found: str
    remedy: str = _UP_TO_IT

    def __str__(self) -> str:
        return (
            f"{self.file}:{self.line}: record {self.seq}: expected {self.expected}; found "
            f"{self.found}; {self.remedy}"
        )


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read: its whole records, and the numbers of the first and the last."""

    file: str
    records: int
    first: int
    last: int


@dataclass(slots=True)
class Verified:
    """`begins` and `newest`: the first and the last whole record; None when there is none."""

    files: list[Read] = field(default_factory=list)
    begins: Record | None = None
    newest: Record | None = None
    broken: Broken | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.broken is None

    @property
    def records(self) -> int:
        return sum(read.records for read in self.files)


@dataclass(slots=True)
class _Opened:
    path: Path
    file: BinaryIO
    size: int


def verify_directory(directory: Path) -> Verified:
    """Every file of the chain in a directory. Raises OSError."""
    with contextlib.ExitStack() as opened:
        with locked(directory):
            head = read_head(directory)
            found = [_open(path, opened) for path in files(directory)]
        walk = _Walk()
        walk.all(found)
        walk.require_beginning()
        walk.require_newest(directory, head)
    return walk.told


def verify_files(paths: Sequence[Path]) -> Verified:
    """The named files, in the order of their records; what came before and after is not asked for.
    Raises OSError.
    """
    with contextlib.ExitStack() as opened:
        walk = _Walk()
        walk.all(sorted((_open(path, opened) for path in paths), key=_first_seq))
        if walk.told.begins is not None and walk.told.begins.seq > 1:
            walk.note(f"records 1 to {walk.told.begins.seq - 1} are not in these files")
    return walk.told


def _open(path: Path, opened: contextlib.ExitStack) -> _Opened:
    file = opened.enter_context(path.open("rb"))
    return _Opened(path, file, path.stat().st_size)


def _first_seq(opened: _Opened) -> int:
    """The number of the first whole record, to put files in order."""
    seq = 0
    for line, _ in _lines(opened):
        with contextlib.suppress(DamagedError):
            seq = open_line(line).seq
            break
    opened.file.seek(0)
    return seq


def _lines(opened: _Opened) -> Iterator[tuple[bytes, bool]]:
    """Each line without its end, and whether it has one."""
    left = opened.size
    while left > 0 and (line := opened.file.readline(min(left, LINE_BYTES))):
        left -= len(line)
        yield line.removesuffix(b"\n"), line.endswith(b"\n")


class _Walk:
    """Goes over lines in order, until one is broken."""

    def __init__(self) -> None:
        self.told = Verified()
        self._link: Link | None = None
        self._pruned: dict[int, str] = {}
        self._last = ("", 0)

    def all(self, found: Sequence[_Opened]) -> None:
        for opened in found:
            if self.told.broken is not None:
                return
            self._file(opened)

    def note(self, text: str) -> None:
        self.told.notes.append(text)

    def _file(self, opened: _Opened) -> None:
        name, first, count = opened.path.name, 0, 0
        for number, (line, ended) in enumerate(_lines(opened), 1):
            self._last = (name, number)
            try:
                if not ended:
                    raise DamagedError("a line with its end", "the beginning of one")
                record = open_line(line)
                if count == 0:
                    self._require_named(opened.path, record)
                self._about_files(opened.path, record)
                self._follow(record)
            except DamagedError as damage:
                half = not ended and len(line) < LINE_BYTES
                self._break(damage, _HALF if half else _UP_TO_IT)
                break
            first, count = first or record.seq, count + 1
        named = first_of(opened.path)
        if named is not None and not count and self.told.broken is None:
            self._last = (name, 1)
            self._break(DamagedError(f"record {named}, after which it is named", "no record"))
        if count:
            self.told.files.append(Read(name, count, first, first + count - 1))

    def _require_named(self, path: Path, record: Record) -> None:
        named = first_of(path)
        if named is not None and record.seq != named:
            raise DamagedError(
                f"record {named}, after which the file is named", f"record {record.seq}"
            )

    def _follow(self, record: Record) -> None:
        if self._link is not None:
            require_next(record, self._link)
        elif record.seq == 1 and record.prev != NOTHING_BEFORE:
            raise DamagedError("a first record, with none before it", f"one after {record.prev}")
        self._link, self.told.newest = record.link, record
        self.told.begins = self.told.begins or record

    def _about_files(self, path: Path, record: Record) -> None:
        values = record.values
        if record.what == "pruned" and isinstance(values.get("through"), int):
            self._pruned[values["through"]] = record.text("through_digest")
        name = record.text("file")
        if record.what == "adopted" and name and "/" not in name:
            adopted = path.with_name(name)
            try:
                digest = hashlib.sha256(adopted.read_bytes()).hexdigest()
            except OSError:
                self.note(f"{name}, from before the chain, is not here")
                return
            if digest != record.text("sha256"):
                told = f"{name} with the digest {record.text('sha256')}"
                raise DamagedError(told, f"one with the digest {digest}")

    def require_beginning(self) -> None:
        """A chain may begin later only where a record says that the older files were removed."""
        begins = self.told.begins
        if begins is None or begins.seq == 1 or self.told.broken is not None:
            return
        through = begins.seq - 1
        if self._pruned.get(through) == begins.prev:
            self.note(f"records 1 to {through} were removed as too old, as the record says")
            return
        self.told.broken = Broken(
            self.told.files[0].file, 1, 1, "record 1", f"record {begins.seq}", _GONE
        )

    def require_newest(self, directory: Path, head: Link | None) -> None:
        """What `audit.head` tells of the newest record: lines cut off at the end show here."""
        newest = self._link or Link()
        if head is None or self.told.broken is not None or head.seq < newest.seq or head == newest:
            return
        file, line = self._last
        if head.seq > newest.seq:
            line, found = line + 1, "the end of the record"
        else:
            found = f"one with the digest {newest.digest}"
        expected = f"record {head.seq} with the digest {head.digest}, the newest by audit.head"
        self.told.broken = Broken(
            file or str(directory), max(line, 1), min(newest.seq + 1, head.seq), expected, found
        )

    def _break(self, damage: DamagedError, remedy: str = _UP_TO_IT) -> None:
        file, line = self._last
        seq = self._link.seq + 1 if self._link else 1
        self.told.broken = Broken(file, line, seq, damage.expected, damage.found, remedy)
