"""What a program costs: seconds, peak memory of the process, memory of the kernel afterwards.

In: a command. Out: numbers, from /proc. Programs are ended by their own id alone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 2**20
_POLL_S = 0.001
_SETTLE_S, _STEADY_BYTES, _LONGEST_S = 0.2, 256 * 1024, 4.0


@dataclass(frozen=True, slots=True)
class Ended:
    """`peak_bytes` is the process's largest resident size."""

    seconds: float
    peak_bytes: int
    output: str


class TooSlowError(Exception):
    """The command was ended because it took too long."""


def timed(command: Sequence[str], *, within_s: float, cwd: Path | None = None) -> Ended:
    """Runs a command to its end. Raises RuntimeError or TooSlowError."""
    begun = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd
    ) as child:
        try:
            output, error = child.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            child.kill()
            raise TooSlowError(f"{command[0]}: not done after {within_s:.0f} s") from None
        except BaseException:
            child.kill()
            raise
    seconds = time.perf_counter() - begun
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: {error.strip() or child.returncode}")
    return Ended(seconds, 0, output)


def peak(command: Sequence[str], *, within_s: float) -> Ended:
    """As `timed`, for a command that prints nothing, with its peak memory."""
    begun = time.perf_counter()
    high = 0
    child = os.posix_spawnp(command[0], list(command), os.environ)
    deadline = begun + within_s
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        high = max(high, _peak_so_far(child))
        if time.perf_counter() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TooSlowError(f"{command[0]}: not done after {within_s:.0f} s")
        time.sleep(_POLL_S)
    seconds = time.perf_counter() - begun
    if status:
        raise RuntimeError(f"{' '.join(command)}: exit {os.waitstatus_to_exitcode(status)}")
    return Ended(seconds, high, "")


def _peak_so_far(pid: int) -> int:
    """VmHWM: unlike wait4's, it knows nothing of the process that this one was forked from."""
    try:
        return status_bytes(pid)[1]
    except (OSError, KeyError):  # just ended
        return 0


def status_bytes(pid: int) -> tuple[int, int]:
    """Resident memory of a process now, and at its most: VmRSS and VmHWM."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    rss, high = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return rss, high


def kernel_bytes() -> int:
    """Memory of the kernel's allocators: slabs that are not caches, and vmalloc."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(fields[name].split()[0]) * 1024 for name in ("SUnreclaim", "VmallocUsed"))


def _settled_bytes() -> int:
    """The same once it stands still: the kernel frees what was deleted a while later."""
    before = kernel_bytes()
    for _ in range(int(_LONGEST_S / _SETTLE_S)):
        time.sleep(_SETTLE_S)
        after = kernel_bytes()
        if abs(after - before) < _STEADY_BYTES:
            break
        before = after
    return after


def kernel_growth(load: Callable[[], object]) -> int:
    """By how many bytes `load` makes the kernel grow; other programs disturb it."""
    before = _settled_bytes()
    load()
    return _settled_bytes() - before
