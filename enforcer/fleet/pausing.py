"""Pauses between attempts at what may mend itself.

Each is twice as long as the one before, up to a longest, and of random length: hundreds of gateways
must not come back at one instant. In: that something went wrong, or well. Out: seconds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Pauses:
    first_s: float
    longest_s: float
    _failures: int = 0

    def next_s(self) -> float:
        """How long to wait after one more failure: half of a pause at the least."""
        pause_s = min(self.longest_s, self.first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return pause_s * random.uniform(0.5, 1.0)

    def over(self) -> None:
        """It went well: the next pause is a first one."""
        self._failures = 0
