"""Waits for the packets that are on their way through the rules.

A packet reads the rules of one generation and looks things up by whichever is the newest. One that
was held up, as on a processor that the host of a virtual machine took away, may do the first before
a transaction and the second after the one behind it. So nothing goes that the rules before may
still ask for until all who read them are through: in the kernel, one grace period of RCU, which
membarrier(2) waits for (MEMBARRIER_CMD_GLOBAL; some 10 ms, and no right is needed).
"""

from __future__ import annotations

import ctypes
import platform
import time

_libc = ctypes.CDLL(None, use_errno=True)
_GLOBAL = 1
# The C library has no function for it. Numbers: asm/unistd.h of each.
_NUMBERS = {"x86_64": 324, "aarch64": 283, "riscv64": 283}
# Where the kernel refuses, as with nohz_full: longer than its grace periods are, if not proof.
_OTHERWISE_S = 0.05


def wait_for_packets() -> bool:
    """Returns once every packet is through that was on its way; whether the kernel vouches."""
    number = _NUMBERS.get(platform.machine())
    if number is not None and _libc.syscall(number, _GLOBAL, 0, 0) == 0:
        return True
    time.sleep(_OTHERWISE_S)
    return False
