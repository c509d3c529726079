"""The accepted body of a feed on the disk, its state beside it, and a new body on trial.

    FILE            what the daemon reads
    FILE.state      what is known of it (`state`)
    FILE.before     while a new body is on trial: the one that was accepted
    FILE.lock       held while one process works on this feed

A new body takes the place of the old one in one rename, and the state is written once it is
accepted. Whatever ends the process in between, the next one finds by the digest which of the two
the state is of, and puts that one back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enforcer.disk import lock_within, sync_directory, write_synced
from enforcer.feeds.state import (
    MOST_BYTES,
    Accepted,
    SpoiltError,
    State,
    parsed,
    state_path,
    written,
)
from enforcer.sources.reading import read_whole

_PAUSE_S = 0.1
_MODE = 0o640


class BusyError(Exception):
    """Another process is at this feed."""


def digest_of(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


@dataclass(frozen=True, slots=True)
class Shelf:
    file: Path

    @property
    def _before(self) -> Path:
        return self.file.with_name(f"{self.file.name}.before")

    @contextmanager
    def held(self, patience_s: float) -> Iterator[None]:
        """Alone at this feed. Raises BusyError, and OSError where nothing can be written."""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self.file.with_name(f"{self.file.name}.lock"), flags, _MODE)
        try:
            if not lock_within(lock, patience_s, _PAUSE_S):
                raise BusyError("is being fetched by another process; wait for that one")
            yield
        finally:
            os.close(lock)

    def state(self) -> State:
        """Raises OSError, and SpoiltError."""
        try:
            return parsed(read_whole(state_path(self.file), MOST_BYTES, guarded=True))
        except FileNotFoundError:
            return State()
        except SpoiltError:
            raise
        except ValueError as error:
            raise SpoiltError(str(error)) from error

    def settle(self, accepted: Accepted | None) -> bool:
        """Takes back what a process that was killed left on trial. Whether the file is the accepted
        body now.
        """
        holds = accepted is not None and self._digest() == accepted.digest
        if not self._before.exists():
            return holds
        if holds:
            # Killed right after it was accepted.
            self._before.unlink()
            return True
        self.withdraw()
        return accepted is not None and self._digest() == accepted.digest

    def old(self) -> bytes | None:
        """What stood there before the body on trial. Raises OSError."""
        return self._before.read_bytes() if self._before.exists() else None

    def place(self, data: bytes) -> None:
        """Puts a new body where the daemon reads it, on trial. Raises OSError."""
        self._before.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._before.hardlink_to(self.file)
        write_synced(self.file, [data], _MODE)

    def withdraw(self) -> None:
        """The body on trial goes, and the old one is back."""
        if self._before.exists():
            self._before.replace(self.file)
        else:
            self.file.unlink(missing_ok=True)
        sync_directory(self.file.parent)

    def keep(self, state: State) -> None:
        """Writes the state; with it a body on trial is accepted. Raises OSError."""
        write_synced(state_path(self.file), [written(state)], _MODE)
        self._before.unlink(missing_ok=True)

    def _digest(self) -> str | None:
        try:
            with self.file.open("rb") as file:
                return hashlib.file_digest(
                    file, lambda: hashlib.blake2b(digest_size=32)
                ).hexdigest()
        except OSError:
            return None
