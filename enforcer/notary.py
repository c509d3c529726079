"""How what people decide gets onto the disk and onto the record.

In: a decision, and the orders of before. Out: nothing, a warning, or a RefusedError. What opens a
window is on both before it counts, or it does not count; what ends one is done first. `Notary` does
it where it stands, for commands and tests; the daemon's `Clerk` through the scribe: a disk that
hangs is waited for a while by whoever waits, and never by the loop.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from enforcer import log
from enforcer.chronicle import Chronicle
from enforcer.decisions import Decision, RefusedError, keep
from enforcer.observe.audit import Event
from enforcer.recorder import LATE_S, TOO_SLOW
from enforcer.schedule.orders import Orders
from enforcer.scribe import Job
from enforcer.standing import read_or_none_new, write_orders

# Tells what went wrong with a decision that was taken all the same.
Warned = Callable[[], str | None]


class Notary:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def written(self) -> tuple[Orders, str | None]:
        """The orders as they are on the disk, and why they cannot be read (none then)."""
        return read_or_none_new(self._directory)

    def opening(self, before: Orders, decision: Decision) -> None:
        """Keeps what opens something. Raises RefusedError: then nothing of it counts."""
        keep(self._directory, before, decision)

    def ending(self, before: Orders, decision: Decision) -> Warned:
        """Keeps what ends something, which is done already. What it returns may wait."""
        warning = keep(self._directory, before, decision)
        return lambda: warning


class Clerk(Notary):
    """`wait` waits for a job, as long as it has patience; False when it was not done by then."""

    def __init__(
        self, directory: Path, chronicle: Chronicle, wait: Callable[[Job], bool] = Job.wait
    ) -> None:
        super().__init__(directory)
        self._chronicle, self._recorder, self._wait = chronicle, chronicle.recorder, wait

    def written(self) -> tuple[Orders, str | None]:
        """As above. Nothing is stepped for meanwhile: it is asked in the middle of a step."""
        scribe, read = self._recorder.scribe, super().written
        found: list[tuple[Orders, str | None]] = []
        scribe.hand(lambda _: found.append(read())).wait(max(0.0, LATE_S - scribe.hangs_s()))
        return found[0] if found else (Orders(readable=False), f"{self._directory}: {TOO_SLOW}")

    def opening(self, before: Orders, decision: Decision) -> None:
        events = tuple(self._recorder.stamped(event) for event in decision.events)
        refused: list[RefusedError] = []

        def put(job: Job, event: Event) -> None:
            if job.given_up:
                raise TimeoutError(errno.ETIMEDOUT, TOO_SLOW)
            self._recorder.put_here(event)

        def work(job: Job) -> None:
            told = replace(decision, events=events)
            try:
                keep(self._directory, before, told, partial(put, job), job.claim)
            except RefusedError as error:
                refused.append(error)
                if job.claimed:
                    # Whoever asked may have been told already that it is taken.
                    log.error("orders_not_kept", error=str(error))

        job = self._recorder.scribe.hand(work)
        if not self._wait(job) and job.give_up():
            raise RefusedError(
                f"{self._directory}: {TOO_SLOW}; what opens a window must be on the record: see to "
                "the disk, then again"
            )
        if refused:
            raise refused[0]
        if job.error is not None:
            raise job.error
        for event in decision.events:
            self._chronicle.note(event)

    def ending(self, before: Orders, decision: Decision) -> Warned:
        written = None
        if decision.orders != before:
            written = self._recorder.scribe.hand(partial(self._write, decision.orders), "orders")
        told = [self._chronicle.tell(event) for event in decision.events]

        def warning() -> str | None:
            if written is not None and (problem := self._problem(written)) is not None:
                return f"{problem}; it is done, but a restart would open it again"
            if told and not self._wait(told[-1]):
                return f"{self._directory}: {TOO_SLOW}; it is done, but not on the record yet"
            failing = self._recorder.failing
            return f"{failing}; it is done, but not on the record yet" if told and failing else None

        return warning

    def _problem(self, job: Job) -> str | None:
        """Why what it writes is not on the disk."""
        if not self._wait(job):
            return f"{self._directory}: {TOO_SLOW}"
        if isinstance(job.error, OSError):
            return f"{self._directory}: {job.error.strerror or job.error}"
        return None

    def _write(self, orders: Orders, _: Job) -> None:
        try:
            write_orders(self._directory, orders)
        except OSError as error:
            # Whoever asked may have gone by now.
            log.error("orders_not_kept", error=f"{self._directory}: {error.strerror or error}")
            raise
