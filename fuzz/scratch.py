"""A folder of this process's own, in memory where there is one: what is written is synced."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path


@cache
def scratch(name: str) -> Path:
    """The same folder each time; it goes with the process, unless libFuzzer ends that."""
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = Path(tempfile.mkdtemp(prefix=f"enforcer-fuzz-{name}-", dir=shared))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def emptied(name: str) -> Path:
    """The folder, with nothing in it."""
    folder = scratch(name)
    for path in folder.iterdir():
        path.unlink()
    return folder
