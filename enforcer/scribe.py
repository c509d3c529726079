"""What has to go to the disk, done in a thread of its own: the loop hands it over and goes on.

In: jobs. Out: the same, done one after the other in the order in which they were handed over, and
for each a `Job` to wait for. A disk that takes long, or hangs, holds nobody up who does not wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# At the end jobs that wait may take so long; systemd waits for longer.
PATIENCE_S = 10.0
_NOT_EXPECTED = "what was to be written ended with an exception"


class Job:
    """One piece of work. Whoever waits for it may give it up: then it is not begun any more, or,
    where it is under way, is told so by `given_up` and `claim`.
    """

    def __init__(self, work: Callable[[Job], object], slot: str | None = None) -> None:
        self.work, self.slot = work, slot
        self.error: Exception | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._claimed = self._given_up = False

    @property
    def given_up(self) -> bool:
        return self._given_up

    @property
    def claimed(self) -> bool:
        return self._claimed

    def wait(self, timeout_s: float | None = None) -> bool:
        """True when it is over, well or not (`error`)."""
        return self._over.wait(timeout_s)

    def give_up(self) -> bool:
        """True when nothing will come of it; False when it was quicker."""
        with self._lock:
            self._given_up = not (self._claimed or self._over.is_set())
            return self._given_up

    def claim(self) -> bool:
        """Asked by the work itself, when only what cannot be undone is left of it: True when it
        counts, and cannot be given up.
        """
        with self._lock:
            self._claimed = not self._given_up
            return self._claimed

    def run(self) -> None:
        try:
            if not self._given_up:
                self.work(self)
        except Exception as error:
            # Whoever waits for it has to know.
            self.error = error
        self._over.set()


class Scribe:
    """Until `start` each job is done at once, where it is handed over."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._turn = threading.Condition()
        self._thread: threading.Thread | None = None
        self._begun_s: float | None = None
        self._unexpected: Exception | None = None
        self._closed = False

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)
        self._thread.start()

    def hand(self, work: Callable[[Job], object], slot: str | None = None) -> Job:
        """Has `work` done, which is told its job and may raise OSError. Of one `slot` only one
        waits, with the newest work, at the end.
        """
        if self._unexpected is not None:
            raise RuntimeError(_NOT_EXPECTED) from self._unexpected
        job = Job(work, slot)
        if self._thread is None:
            job.run()
            self._note(job)
            return job
        with self._turn:
            for waiting in [j for j in self._jobs if slot is not None and j.slot == slot]:
                self._jobs.remove(waiting)
                waiting.work, job = work, waiting
            self._jobs.append(job)
            self._turn.notify()
        return job

    def hangs_s(self) -> float:
        """For how long the job that is under way has been; 0 when none is."""
        begun = self._begun_s
        return 0.0 if begun is None else time.monotonic() - begun

    def close(self, patience_s: float = PATIENCE_S) -> bool:
        """Has all done that waits; False when that took longer than `patience_s`."""
        with self._turn:
            self._closed = True
            self._turn.notify()
        if self._thread is None:
            return True
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._turn:
                while not self._jobs and not self._closed:
                    self._turn.wait()
                if not self._jobs:
                    return
                job = self._jobs.pop(0)
            self._begun_s = time.monotonic()
            job.run()
            self._begun_s = None
            self._note(job)

    def _note(self, job: Job) -> None:
        """A mistake of ours must not go unseen, even where nobody waits for the job."""
        if not isinstance(job.error, OSError | None):
            self._unexpected = job.error
