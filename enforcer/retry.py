"""When to step again after a step that failed: soon, then ever more slowly, so that a fault that
stays is no busy loop. Results and instants in nanoseconds since the epoch come in, an instant goes
out.
"""

from __future__ import annotations

RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Retry:
    """`at_ns` stands from the failure on: whoever wakes the loop meanwhile does not put it off.
    None: the last step did not fail.
    """

    def __init__(self) -> None:
        self.at_ns: int | None = None
        self._failures = 0

    def stepped(self, now_ns: int, *, failed: bool) -> None:
        """A step came to its end at `now_ns`."""
        if not failed:
            self.at_ns, self._failures = None, 0
            return
        pause_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        self.at_ns = now_ns + int(pause_s * 10**9)
