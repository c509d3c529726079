"""A file replaced as a whole: after a crash at any instant there is the old one or the new one.

In: a path and its new bytes. Out: a file on the disk, not only in the kernel's memory; and a lock
that processes hold against each other meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

# What is made in the daemon's directory: its own user writes it, its group may read it.
OURS = 0o640


def made(path: Path, flags: int = os.O_WRONLY, mode: int = OURS) -> int:
    """Makes a file and opens it by `flags`: of the owner of its folder and of just this mode, so
    that the daemon can use what root's commands made, whatever their umask is. Raises OSError, and
    then there is none.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        folder, file = path.parent.stat(), os.fstat(descriptor)
        if file.st_uid != folder.st_uid:
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        elif file.st_gid != folder.st_gid:
            # Who is not of that group makes it all the same: the owner is right.
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, -1, folder.st_gid)
        os.fchmod(descriptor, mode)
    except OSError:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise
    return descriptor


def write_synced(
    path: Path,
    parts: Iterable[bytes | memoryview],
    mode: int = 0o666,
    *,
    ours: bool = False,
    ready: Callable[[], object] | None = None,
) -> None:
    """Writes a scratch file beside `path`, syncs it, renames it, syncs the folder. Raises OSError,
    and then what was there stands, and the scratch file is gone. `ours`: as `made` makes it.
    `ready` is called before the renaming, and may raise OSError as well.
    """
    scratch = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        if ours:
            scratch.unlink(missing_ok=True)
        descriptor = made(scratch) if ours else os.open(scratch, flags, mode)
        with os.fdopen(descriptor, "wb", buffering=1024**2) as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        if ready is not None:
            ready()
        scratch.replace(path)
    except OSError:
        # A full disk is not to be kept full by half a file.
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes a rename in `directory` last over a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_within(descriptor: int, patience_s: float, pause_s: float) -> bool:
    """Takes the exclusive lock (flock) of an open file, asking for it again after each pause; False
    when another still held it after `patience_s`. Raises OSError.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(pause_s)
        else:
            return True
