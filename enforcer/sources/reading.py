"""One file, read once and whole: its bytes, or why not.

In: a path and the most that is read. Out: bytes. It never follows a name twice: what is looked at
(kind, size, owner, mode) and what is read is one open file, so that nothing can be put in its place
in between; and a file that is written to meanwhile is read again, or refused.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from enforcer.policy.words import shown
from enforcer.sources.trust import distrust

# A copy that is under way ends, or it is refused; a person or the next change tries again.
_ATTEMPTS = 3
# Files of /proc say that they are empty.
_LEAST_READ = 1024**2
_NOT_A_FILE = "is not a regular file; put a file there, or name another"


def read_whole(path: Path, most_bytes: int, *, guarded: bool = False) -> bytes:
    """Raises OSError, or ValueError with `fact; remedy`. `guarded`: refused when somebody else
    could change it.
    """
    for _ in range(_ATTEMPTS):
        data = _read(path, most_bytes, guarded)
        if data is not None:
            return data
    raise ValueError(
        "was written to while it was read; write it under another name and rename it into place"
    )


def _read(path: Path, most_bytes: int, guarded: bool) -> bytes | None:
    """The bytes, or None when the file changed meanwhile."""
    # Without O_NONBLOCK a named pipe in the place of a file would hold the daemon for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise ValueError(_NOT_A_FILE)
        if guarded and (why := distrust(before)) is not None:
            raise ValueError(why)
        data = b""
        if before.st_size <= most_bytes:
            data = file.read(min(most_bytes, max(before.st_size, _LEAST_READ)) + 1)
        if before.st_size > most_bytes or len(data) > most_bytes:
            size = f"{most_bytes // 1024**2:,} MB"
            raise ValueError(
                f"is larger than {size}, the most that is read; split it, or correct it"
            )
        after = os.fstat(descriptor)
    same = (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    whole = not before.st_size or len(data) == before.st_size
    return data if same and whole else None


def refusal(error: Exception, path: Path | None = None, comes_from: str = "") -> str:
    """Why a file could not be read, as `fact; remedy`. `comes_from`: where one like it does, for
    who has none.
    """
    match error:
        case FileNotFoundError() if path is not None and path.is_symlink():
            target = shown(os.readlink(path))
            fact = f"is a symbolic link to {target}, which does not exist"
            return f"{fact}; correct the link, or create what it names"
        case FileNotFoundError():
            hint = f" ({comes_from})" if comes_from else ""
            return f"does not exist; create it, or correct its name{hint}"
        case PermissionError():
            return "may not be read by this user; give the daemon's user or group the right to"
        case IsADirectoryError():
            return "is a directory; name a file in it"
        case NotADirectoryError():
            return "is, or lies below, a file that should be a directory; correct the path"
        case OSError() if error.errno == errno.ENXIO:
            # A socket.
            return _NOT_A_FILE
        case OSError():
            return f"cannot be read: {error.strerror or error}; check the file and its disk"
    return str(error)
