"""How often in a row the daemon has died while it took its files in, counted on the disk.

A registry that takes more memory than there is gets the daemon killed, and again at each restart:
what is in force would run out with its lease. After MOST_DEATHS such deaths in a row the next start
takes the last good configuration where that is in force (`starting`), and says why. A death counts
from before the files are read until the kernel has what they say.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from enforcer.scribe import Job, Scribe

FILE = "loading"
MOST_DEATHS = 3


class Loading:
    """Used as a context around each load; whatever ends the load but death ends the count. Where
    nothing can be written nothing is counted. With a `scribe` nobody waits for the disk.
    """

    def __init__(self, directory: Path, scribe: Scribe | None = None) -> None:
        self._path = directory / FILE
        self._scribe = scribe or Scribe()
        self._goes_on = False

    @property
    def deaths(self) -> int:
        """In a row, up to now."""
        try:
            text = self._path.read_bytes()[:4]
        except OSError:
            return 0
        return int(text) if text.isdigit() else 0

    @property
    def gives_up(self) -> bool:
        """Asked while a load is under way, which counts as a death itself until it ends."""
        return self.deaths > MOST_DEATHS

    def go_on(self) -> None:
        """What died before was not tried this time: its deaths still count."""
        self._goes_on = True

    def __enter__(self) -> None:
        self._scribe.hand(self._count, FILE)

    def _count(self, _: Job) -> None:
        # Not synced: what is to be outlived is the process, and a machine that starts anew has
        # nothing in force.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(str(min(self.deaths + 1, 999)))

    def __exit__(self, *_: object) -> None:
        if self._goes_on:
            self._goes_on = False
            return
        self._scribe.hand(self._end, FILE)

    def _end(self, _: Job) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
