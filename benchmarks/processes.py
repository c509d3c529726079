"""What a program costs: seconds, peak memory of the process, memory of the kernel afterwards.

In: a command. Out: numbers, from wait4(2) and /proc. Programs are ended by their own id alone.
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
_SETTLE_S = 0.3


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
    child = os.posix_spawnp(command[0], list(command), os.environ)
    deadline = begun + within_s
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.perf_counter() > deadline:
            os.kill(child, signal.SIGKILL)
            os.wait4(child, 0)
            raise TooSlowError(f"{command[0]}: not done after {within_s:.0f} s")
        time.sleep(0.0005)
    seconds = time.perf_counter() - begun
    if status:
        raise RuntimeError(f"{' '.join(command)}: exit {os.waitstatus_to_exitcode(status)}")
    return Ended(seconds, usage.ru_maxrss * 1024, "")


def status_bytes(pid: int) -> tuple[int, int]:
    """Resident memory of a process now, and at its most: VmRSS and VmHWM."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    rss, high = (int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
    return rss, high


def kernel_bytes() -> int:
    """Memory of the kernel's allocators: slabs, large kmallocs among them, and vmalloc."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Slab", "VmallocUsed"))


def kernel_growth(load: Callable[[], object]) -> int:
    """By how many bytes `load` makes the kernel grow; other programs disturb it."""
    time.sleep(_SETTLE_S)
    before = kernel_bytes()
    load()
    time.sleep(_SETTLE_S)
    return kernel_bytes() - before
