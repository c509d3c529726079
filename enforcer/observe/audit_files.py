"""The record on the disk: `audit.jsonl` in the state directory, and the older files beside it.

In: values of a record. Out: a sealed line, synced before `append` returns. Files are begun anew at
a size and kept as `audit-FIRST.jsonl`, FIRST being the number of their first record; the chain runs
on over them. It only ever appends, but for half a line that a crash left: that is set aside, and a
record of its own says so. Daemon and commands may write in turn: the directory is locked for the
while of one append, and what another has written is read first.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from enforcer.disk import lock_within, made, sync_directory
from enforcer.observe.audit_chain import DamagedError, Link, Record, open_line, seal
from enforcer.observe.views import utc_text
from enforcer.policy.limits import GUARD_PERIOD, GUARD_WINDOW

FILE, HEAD = "audit.jsonl", "audit.head"
# Some 6,000 records; half a year of a busy gateway is a few files.
ROTATE_BYTES = 4 << 20
KEEP_FILES = 50
# The count of 30 days is taken from the record: what it may need is kept whatever its number.
KEEP_FOR = GUARD_PERIOD + 2 * GUARD_WINDOW
_OLDER = re.compile(r"audit-(\d{9,})\.jsonl")
_LOCK_S, _LOCK_PAUSE_S = 0.25, 0.005


@dataclass(frozen=True, slots=True)
class Note:
    """Something about the files that people have to know: `what` is the event of its record."""

    what: str
    values: Mapping[str, Any]


def older_files(directory: Path) -> list[Path]:
    """The files of before `audit.jsonl`, oldest first. Raises OSError."""
    found = (_OLDER.fullmatch(name) for name in os.listdir(directory))
    return [directory / m[0] for m in sorted((m for m in found if m), key=lambda m: int(m[1]))]


def first_of(path: Path) -> int | None:
    """The number of the first record of an older file, by its name; None for another name."""
    match = _OLDER.fullmatch(path.name)
    return int(match[1]) if match else None


def files(directory: Path) -> list[Path]:
    """All files of the chain that are there, oldest first. Raises OSError."""
    current = directory / FILE
    return [*older_files(directory), *([current] if current.exists() else [])]


def records(directory: Path, words: Collection[str] = ()) -> Iterator[Record]:
    """Every record that can be read, in order; damaged lines are passed over (`audit verify` finds
    them). With `words` only those whose `what` is one of them: years of other ones cost little.
    Raises OSError.
    """
    for path in files(directory):
        yield from records_of(path, words)


def records_of(path: Path, words: Collection[str] = ()) -> Iterator[Record]:
    # Quotes inside a text are escaped, so that no reason can pose as a record's word.
    asked = re.compile(b'"what":"(?:' + "|".join(map(re.escape, words)).encode() + b')"')
    with path.open("rb") as file:
        for line in file:
            if words and not asked.search(line):
                continue
            with contextlib.suppress(DamagedError):
                yield open_line(line.rstrip(b"\n"))


class AuditLog:
    """The record in `directory`. `newest` is its last record, as of the last look."""

    def __init__(
        self, directory: Path, rotate_bytes: int = ROTATE_BYTES, keep_files: int = KEEP_FILES
    ) -> None:
        self.directory = directory
        self.newest = Link()
        self._rotate_bytes, self._keep_files = rotate_bytes, keep_files
        self._seen: tuple[int, int] | None = None
        self._owed: list[Note] = []
        self._notes: list[Note] = []

    def take_notes(self) -> list[Note]:
        """What was found and mended since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def append(self, at: datetime, values: Mapping[str, Any]) -> Link:
        """Puts a record at the end; `values` are plain ones, `at` among them too as text. Raises
        OSError: then it is not on record, and nothing half-written stays of it.
        """
        self.append_all([(at, values)])
        return self.newest

    def append_all(self, entries: Sequence[tuple[datetime, Mapping[str, Any]]]) -> int:
        """Puts several at the end, in one write for each file; how many are on record. Raises
        OSError when none is.
        """
        done = 0
        with self._open(entries[0][0]) as opened:
            descriptor = self._settled(opened, entries[0][0])
            while done < len(entries):
                size = os.fstat(descriptor).st_size
                data, count, link = self._sealed(entries[done:], size)
                try:
                    if not count:
                        descriptor = self._rotated(descriptor, opened, entries[done][0])
                        data, count, link = self._sealed(entries[done:], 0)
                    self._write(descriptor, data, link)
                except OSError:
                    if not done:
                        raise
                    break
                done += count
        return done

    def _sealed(
        self, entries: Sequence[tuple[datetime, Mapping[str, Any]]], size: int
    ) -> tuple[bytes, int, Link]:
        """The lines of as many entries as there is room for in a file of `size`; of an empty one,
        at least one.
        """
        data, link, count = b"", self.newest, 0
        for _, values in entries:
            line, after = seal(values, link)
            if size + len(data) and size + len(data) + len(line) + 1 > self._rotate_bytes:
                break
            data, link, count = data + line + b"\n", after, count + 1
        return data, count, link

    def settle(self, at: datetime) -> None:
        """Looks at the files; mends, and notes, what a crash left. Raises OSError."""
        with self._open(at) as opened:
            self._settled(opened, at)

    @contextlib.contextmanager
    def _open(self, at: datetime) -> Iterator[contextlib.ExitStack]:
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory), contextlib.ExitStack() as opened:
            yield opened

    # --- what is there -----------------------------------------------------------------------

    def _settled(self, opened: contextlib.ExitStack, at: datetime) -> int:
        """The open file, whose end is `newest` and a whole line."""
        descriptor = self._opened(opened)
        stat = os.fstat(descriptor)
        if (stat.st_ino, stat.st_size) != self._seen:
            data = _read_all(descriptor)
            if data and not _chained(data):
                # From before there was a chain: it is kept as it is, and the chain names it.
                self.newest = _last_of_older(self.directory)
                (self.directory / FILE).rename(self._adopted())
                descriptor, data = self._opened(opened), b""
            self._find_end(descriptor, data)
        while self._owed:
            note = self._owed[0]
            line, link = seal({**note.values, **_own(at, note.what)}, self.newest)
            self._write(descriptor, line + b"\n", link)
            del self._owed[0]
        return descriptor

    def _opened(self, opened: contextlib.ExitStack) -> int:
        path = self.directory / FILE
        flags = os.O_RDWR | os.O_APPEND
        try:
            descriptor = os.open(path, flags | os.O_CLOEXEC)
        except FileNotFoundError:
            descriptor = made(path, flags)
            opened.callback(os.close, descriptor)
            sync_directory(self.directory)
        else:
            opened.callback(os.close, descriptor)
        return descriptor

    def _find_end(self, descriptor: int, data: bytes) -> None:
        """Finds the last whole record; sets aside what a crash left behind it."""
        end, newest = len(data), None
        while end and newest is None:
            start = data.rfind(b"\n", 0, end - 1) + 1
            if data[end - 1 : end] == b"\n":
                with contextlib.suppress(DamagedError):
                    newest = open_line(data[start : end - 1]).link
                    break
            end = start
        self.newest = newest or _last_of_older(self.directory)
        adopted = self._adopted()
        if adopted.exists():
            old = adopted.read_bytes()
            told = {"bytes": len(old), "sha256": hashlib.sha256(old).hexdigest()}
            self._owe("adopted", {**told, "file": adopted.name})
        if lost := data[end:]:
            told = {"bytes": len(lost), "sha256": hashlib.sha256(lost).hexdigest()}
            self._owe("mended", {**told, "kept_as": self._set_aside(lost)})
            os.ftruncate(descriptor, end)
            os.fsync(descriptor)
        self._seen = os.fstat(descriptor).st_ino, end
        head = read_head(self.directory)
        if head is not None and head.seq >= self.newest.seq and head != self.newest:
            self._owe("cut", {"newest_was": head.seq, "digest_was": head.digest})

    def _adopted(self) -> Path:
        return self.directory / f"audit-adopted-{self.newest.seq + 1:09}.jsonl"

    def _set_aside(self, lost: bytes) -> str | None:
        """Keeps bytes that are no record in a file of their own; its name, None when it cannot."""
        name = f"audit-torn-{self.newest.seq + 1:09}"
        try:
            path = self.directory / name
            path.unlink(missing_ok=True)
            with os.fdopen(made(path), "wb") as file:
                file.write(lost)
        except OSError:
            return None
        return name

    def _owe(self, what: str, told: dict[str, Any]) -> None:
        """A record about the record, to be written as soon as one can be."""
        note = Note(what, told)
        if note not in self._owed:
            self._owed.append(note)
            self._notes.append(note)

    # --- writing -----------------------------------------------------------------------------

    def _write(self, descriptor: int, data: bytes, link: Link) -> None:
        """Writes whole lines, of which `link` is the last. Raises OSError: then none is there."""
        stat = os.fstat(descriptor)
        try:
            if os.write(descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)} but for half a record")
            os.fsync(descriptor)
        except OSError:
            self._seen = None
            # Half a record would be mended at the next look; better it is never seen.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, stat.st_size)
            raise
        self.newest, self._seen = link, (stat.st_ino, stat.st_size + len(data))
        # Not synced, and written after the record: it may lag behind, and never runs ahead.
        with contextlib.suppress(OSError):
            head = {"seq": link.seq, "digest": link.digest}
            path = self.directory / HEAD
            if not path.exists():
                os.close(made(path))
            path.write_text(json.dumps(head) + "\n", "ascii")

    def _rotated(self, descriptor: int, opened: contextlib.ExitStack, at: datetime) -> int:
        """Keeps the full file under the number of its first record, and opens a new one."""
        path = self.directory / FILE
        first = next(records_of(path), None)
        name = self.directory / f"audit-{first.seq if first else self.newest.seq:09}.jsonl"
        if name.exists():
            # Nothing on the record is written over: the file grows, which is the lesser evil.
            return descriptor
        path.rename(name)
        fresh = self._opened(opened)
        self._seen = os.fstat(fresh).st_ino, 0
        self._prune(fresh, at)
        return fresh

    def _prune(self, descriptor: int, at: datetime) -> None:
        """Removes the oldest files above the number that is kept, on the record."""
        older = older_files(self.directory)
        for path in older[: max(0, len(older) - self._keep_files)]:
            last: Record | None = None
            for record in records_of(path):
                last = record
            if last is None or at - last.at < KEEP_FOR:
                return
            told = {"file": path.name, "through": last.seq, "through_digest": last.digest}
            line, link = seal({**told, **_own(at, "pruned")}, self.newest)
            self._write(descriptor, line + b"\n", link)
            path.unlink()


def read_head(directory: Path) -> Link | None:
    """What `audit.head` says was the newest record; None when it says nothing."""
    try:
        told = json.loads((directory / HEAD).read_bytes())
        return Link(int(told["seq"]), str(told["digest"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _own(at: datetime, what: str) -> dict[str, Any]:
    """The common keys of a record about the record itself."""
    return {"at": utc_text(at), "what": what, "who": "enforcer", "window": "", "reference": ""}


def _chained(data: bytes) -> bool:
    """Whether any line of a file is a record of the chain."""
    for line in data.split(b"\n"):
        with contextlib.suppress(DamagedError):
            open_line(line)
            return True
    # Half of the very first record is a crash's, not a file of before.
    return b"\n" not in data


def _last_of_older(directory: Path) -> Link:
    """The last whole record of the files of before."""
    for path in reversed(older_files(directory)):
        newest: Link | None = None
        for record in records_of(path):
            newest = record.link
        if newest is not None:
            return newest
    return Link()


def _read_all(descriptor: int) -> bytes:
    chunks, at = [], 0
    while chunk := os.pread(descriptor, 1 << 20, at):
        chunks.append(chunk)
        at += len(chunk)
    return b"".join(chunks)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the directory against other writers. Waits a moment only: the daemon must not hang on
    a command that was stopped. Raises OSError.
    """
    held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not lock_within(held, _LOCK_S, _LOCK_PAUSE_S):
            raise OSError(errno.EAGAIN, "another process writes the record")
        yield
    finally:
        os.close(held)
