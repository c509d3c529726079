"""Whether this machine's clock may be why a certificate looks out of date.

In: instants, and whether somebody keeps the clock right. Out: `fact; remedy`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import enforcer

# Asked once: its files may be moved away while it runs.
_BUILT_AT = datetime.fromtimestamp(Path(enforcer.__file__).stat().st_mtime, UTC)


def clock_told(now: datetime, synchronised: bool, known: datetime | None) -> str:
    """`known` is an instant that is certainly past, such as that of an earlier success."""
    says = f"this machine's clock says {now.astimezone(UTC):%Y-%m-%d %H:%MZ}"
    past = max(built_at(), known or built_at())
    if now < past:
        return f"{says}, and it was {past:%Y-%m-%d} before: the clock is wrong, set it"
    if not synchronised:
        return f"{says} and nobody keeps it right: set the clock, then look at the certificate"
    return f"{says} and is synchronised: have the server's certificate renewed"


def built_at() -> datetime:
    """When this program was put here: the clock was past that once."""
    return _BUILT_AT
