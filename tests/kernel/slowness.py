"""How slow the machine is on which the tests run: one factor for all their patience and spans.

ENFORCER_TEST_SLOWNESS is set where a processor is emulated (tests/vm/run). Elsewhere it is 1.
"""

from __future__ import annotations

import math
import os

SLOWNESS = float(os.environ.get("ENFORCER_TEST_SLOWNESS", "1"))


def patient(seconds: float) -> float:
    """A span of time that is enough here, from one that is enough on a machine of today."""
    return seconds * SLOWNESS


def whole(seconds: int) -> int:
    """The same in whole seconds, as windows are declared."""
    return math.ceil(seconds * SLOWNESS)
