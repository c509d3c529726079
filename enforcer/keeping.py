"""Keeps the last good configuration on the disk, beside the loop and not in it.

In: the configuration in force, told after each step that went well. Out: the snapshot of
`sources.lastgood`, written by a thread of its own: a slow disk, or one that hangs, holds no window
up. What cannot be written is said, tried again, and never stops anything. Only the newest waits.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime
from pathlib import Path

from enforcer import log
from enforcer.observe.snapshot import Kept
from enforcer.sources.lastgood import LastGood, write_last_good
from enforcer.sources.load import Configuration

RETRY_S = 60.0
# At the end a write that is under way may take so long; systemd waits for longer.
PATIENCE_S = 10.0


class Keeper:
    """Writes to `directory`; `config` is the path that the configuration comes from."""

    def __init__(self, directory: Path, config: Path, before: LastGood | None = None) -> None:
        self._directory, self._config, self._before = directory, str(config), before
        self.state = Kept(before.accepted_at if before else None)
        self._told: Configuration | None = None
        self._failed_at: float | None = None
        self._waiting: tuple[Configuration, datetime] | None = None
        self._work = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None

    def keep(self, configuration: Configuration, accepted_at: datetime) -> None:
        """Has it written, unless it is on the disk or on its way there. Returns at once."""
        failed = self._failed_at
        again = failed is not None and time.monotonic() - failed >= RETRY_S
        if configuration.documents is None or (configuration is self._told and not again):
            return
        self._told, self._failed_at = configuration, None
        with self._work:
            self._waiting = configuration, accepted_at
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="last-good", daemon=True)
                self._thread.start()
            self._work.notify()

    def close(self) -> None:
        """Waits for what is being written, for a while."""
        with self._work:
            self._closed = True
            self._work.notify()
        if self._thread is not None:
            self._thread.join(PATIENCE_S)

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._work:
                while self._waiting is None and not self._closed:
                    self._work.wait()
                if self._waiting is None:
                    return
                (configuration, accepted_at), self._waiting = self._waiting, None
            self._write(configuration, accepted_at)

    def _write(self, configuration: Configuration, accepted_at: datetime) -> None:
        before, self._before = self._before, None
        try:
            if before is not None and before.is_of(configuration):
                # A restart finds it as it is: nothing to write.
                self.state = Kept(before.accepted_at)
                return
            write_last_good(self._directory, self._config, accepted_at, configuration)
        except Exception as error:
            # Whatever it was, the thread goes on: another time it may go well.
            self._failed_at = time.monotonic()
            fact = self._fact(error)
            if self.state.problem is None:
                log.warning("last_good_not_kept", error=fact, done="tried again every minute")
            self.state = Kept(self.state.at, f"the last good configuration is not kept ({fact})")
            return
        if self.state.problem is not None:
            log.info("last_good_kept_again")
        self.state = Kept(accepted_at)

    def _fact(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"{error.filename or self._directory}: {error.strerror or error}"
        # Without its text, which may say what a row says.
        why = "memory ran out" if isinstance(error, MemoryError) else type(error).__name__
        return f"{self._directory}: {why}"
