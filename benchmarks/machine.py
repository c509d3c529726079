"""What the bench ran on, for the head of a report.

In: /proc and a few programs' versions. Out: names and values. No name and no path of the machine.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

from benchmarks import cores
from benchmarks.case import now
from benchmarks.wire import run
from enforcer import __version__


def facts() -> dict[str, str]:
    """In the order in which they are printed."""
    return {
        "date": now().strftime("%Y-%m-%d %H:%M UTC"),
        "enforcer": __version__,
        "kernel": platform.release(),
        "processor": _processor(),
        "cores": f"{len(cores.ALLOWED)}, core {cores.SENDER} sends",
        "memory": f"{_memory_gb():.0f} GB",
        "Python": platform.python_version(),
        "nft": _version("nft", "--version"),
        "ipset": _version("ipset", "--version"),
        "iptables": _version("iptables-nft", "--version"),
        "load at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _version(*command: str) -> str:
    try:
        found = re.search(r"v?(\d+(?:\.\d+)+)", run(*command))
    except (OSError, RuntimeError):
        return "not installed"
    return found[1] if found else "unknown"
