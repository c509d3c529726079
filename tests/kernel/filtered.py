"""Runs a program inside the unit's own filter of system calls: the kernel's, by libseccomp.

    python filtered.py "read write …" "AF_UNIX AF_INET …" PROGRAM ARGUMENTS

The first word lists what is allowed, the second the families a socket may be of. Everything else is
EPERM, as with SystemCallErrorNumber=EPERM; a family that is not listed is EAFNOSUPPORT, as with
RestrictAddressFamilies=; memory that is to be written and run is EPERM (MemoryDenyWriteExecute=).
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import sys

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EQUAL, _MASKED = 4, 7
_WRITE_AND_RUN = 2 | 4


class _Compare(ctypes.Structure):
    """struct scmp_arg_cmp of <seccomp.h>."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    for name in ("seccomp_rule_add_array", "seccomp_load"):
        getattr(library, name).argtypes = None
    return library


def confine(calls: list[str], families: list[str]) -> None:
    """Loads the filters into this process; they stay through exec and cannot be taken off."""
    library = _library()
    allowed = {getattr(socket, family).value for family in families}
    refused = [n for n in range(46) if n not in allowed]
    rules = [(number(library, "socket"), [_Compare(0, _EQUAL, n, 0)]) for n in refused]
    _load(library, _ALLOW, _ERRNO | errno.EAFNOSUPPORT, rules)
    both = _Compare(2, _MASKED, _WRITE_AND_RUN, _WRITE_AND_RUN)
    rules = [(number(library, name), [both]) for name in ("mmap", "mprotect", "pkey_mprotect")]
    _load(library, _ALLOW, _ERRNO | errno.EPERM, rules)
    # Last: seccomp(2) itself may not be in it.
    known = {number(library, name) for name in calls}
    _load(library, _ERRNO | errno.EPERM, _ALLOW, [(n, []) for n in sorted(known) if n >= 0])


def number(library: ctypes.CDLL, name: str) -> int:
    return int(library.seccomp_syscall_resolve_name(name.encode()))


def _load(
    library: ctypes.CDLL, otherwise: int, action: int, rules: list[tuple[int, list[_Compare]]]
) -> None:
    made = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(otherwise)))
    for call, compares in rules:
        array = (_Compare * max(1, len(compares)))(*compares)
        done = library.seccomp_rule_add_array(
            made, ctypes.c_uint32(action), ctypes.c_int(call), len(compares), array
        )
        # -EINVAL: a call that this machine has under no number of its own.
        if done not in (0, -errno.EINVAL):
            raise OSError(-done, f"seccomp_rule_add_array: {call}")
    done = library.seccomp_load(made)
    if done != 0:
        raise OSError(-done, "seccomp_load")


if __name__ == "__main__":
    confine(sys.argv[1].split(), sys.argv[2].split())
    os.execvp(sys.argv[3], sys.argv[3:])
