"""What the lab needs of the machine: root, a few Debian tools, /dev/net/tun, and the clock.

In: nothing but the machine itself. Out: silence, or a `LabError` of one sentence. It must never
change anything: installing is the operator's act.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from enforcer.clock import SystemClock

# Program → the Debian package that brings it.
TOOLS = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "wg": "wireguard-tools",
    "wireguard-go": "wireguard-go",
}
TUN = Path("/dev/net/tun")
COMMAND_TIMEOUT_S = 20.0


class LabError(Exception):
    """The lab cannot run or go on: `place: fact; remedy`, one sentence for a person."""


def require() -> None:
    """Raises LabError unless this process may and can build the lab."""
    if os.geteuid() != 0:
        raise LabError(
            "lab: making network namespaces needs root; run it again with sudo, or as root"
        )
    missing = {program: package for program, package in TOOLS.items() if not shutil.which(program)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise LabError(
            f"lab: {', '.join(sorted(missing))} not found; "
            f"install the Debian package: apt-get install {packages}"
        )
    if not TUN.exists():
        raise LabError(f"lab: {TUN} is not there, and wireguard-go needs it; run: modprobe tun")


def command(*argv: str, text: str = "") -> str:
    """Runs a program to its end and gives what it printed. Raises LabError when it fails."""
    try:
        done = subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"{argv[0]}: no answer in {COMMAND_TIMEOUT_S:.0f} s; try again") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(
            f"{' '.join(argv)}: {said[0] if said else f'exit {done.returncode}'}; "
            "is a lab left behind? run: enforcer lab --clean"
        )
    return done.stdout


def wall() -> float:
    """Seconds since the epoch, of the clock that windows are told in."""
    return SystemClock().now_ns() / 1e9
