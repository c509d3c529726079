"""Whether somebody else could change what a gateway obeys: the owner and mode of a file or folder.

In: what fstat tells, and a name. Out: `fact; remedy`, or None. The rules are those of sudo for its
own files, with the exception that Debian's OpenSSH makes: a group that is the owner's alone is no
"somebody else", so that a checkout under umask 002 is accepted.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

import enforcer

# Asked once: a program whose files are moved away while it runs belongs to whom it did.
_PROGRAM_OWNER = Path(enforcer.__file__).stat().st_uid


def distrust(info: os.stat_result, *, folder: bool = False, listed: bool = False) -> str | None:
    """Why a file, or a `folder`, could be changed by others than root and the user that reads.

    In a folder that everybody may write to but whose entries are each their owner's (the sticky
    bit, as in /tmp) a file is safe that is named; in one that is `listed`, a new file is read too.
    """
    mode, owner = info.st_mode, info.st_uid
    if mode & stat.S_IWOTH and (listed or not (folder and mode & stat.S_ISVTX)):
        return "may be changed by every user of this machine; chmod o-w"
    if owner not in _trusted():
        return f"belongs to {_user(owner)}, who could change it; chown root"
    shared = mode & stat.S_IWGRP and not _is_private(info.st_gid, owner)
    if shared and (listed or not (folder and mode & stat.S_ISVTX)):
        return f"may be changed by the group {_group(info.st_gid)}; chmod g-w"
    return None


def _trusted() -> set[int]:
    """Root, the user that reads, and whoever owns this program: who can change the program needs
    no configuration file to have it do something else.
    """
    return {0, os.geteuid(), _PROGRAM_OWNER}


def _is_private(group: int, owner: int) -> bool:
    """True for a group that is the owner's own: the same name, and nobody else in it."""
    try:
        name, entry = pwd.getpwuid(owner).pw_name, grp.getgrgid(group)
    except KeyError:
        # Without names (a container), by the numbers that user private groups are given.
        return group == owner
    return entry.gr_name == name and not set(entry.gr_mem) - {name}


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return f"gid {number}"
