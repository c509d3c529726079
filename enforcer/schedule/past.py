"""Guard that has been armed already, as the record tells it: what the ceilings count beside the
windows that are declared now. A value; who reads it from a disk is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class PastGuard:
    """`window` guarded `estate` from `starts_at` to `ends_at` (aware, UTC), or will to its end."""

    starts_at: datetime
    ends_at: datetime
    window: str
    estate: str


PastGuards = tuple[PastGuard, ...]
