"""The daemon's hand at the record. What people decide is on record before it is acknowledged; what
the daemon did is put on record as soon as that is possible, and never holds a gateway up.

Events come in; records, log lines and a `RecordState` for whoever looks go out. They are written by
the `scribe`, whose thread waits for the disk in the loop's place. While the disk hangs, is full or
read-only, events wait in memory, in order and up to a bound; that it was so is told, and after a
failure a record of its own. What repeats within a minute becomes one record that says how often.
"""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from enforcer import log
from enforcer.errors import PolicyError, Problem
from enforcer.observe.audit import AuditLog, Event, values
from enforcer.observe.snapshot import RecordState
from enforcer.policy.model import Window
from enforcer.policy.shrinking import ShrinkError
from enforcer.scribe import Job, Scribe
from enforcer.sources.files import RegistryError

# Ten thousand windows may be declared at once.
MOST_WAITING = 20_000
SELDOM = timedelta(minutes=1)
# More kinds of repeated events than this within a minute are counted as one kind.
MOST_KINDS = 100
# A disk that takes longer is said to hang.
LATE_S = 2.0
_LOGGED_SINGLY = 20
_PLACES = 5


TOO_SLOW = "the disk does not answer"


class Recorder:
    """Writes to the record in `directory`. `stamp` is put into every record: the digests of the
    policy and of the registry in force, and the name of the gateway.
    """

    def __init__(
        self, directory: Path, now: Callable[[], datetime], log_of: AuditLog | None = None
    ) -> None:
        self.audit = log_of or AuditLog(directory)
        self.scribe = Scribe()
        self.stamp: Mapping[str, str] = {}
        self._now = now
        # Held for moments only, never while the disk is waited for.
        self._lock = threading.Lock()
        self._state = RecordState()
        self._waiting: deque[Event] = deque()
        self._under_way = 0
        self._lost = self._failures = 0
        self._failing_since: datetime | None = None
        self._problem: str | None = None
        self._said_late = self._closed = False
        self._told: dict[tuple[str, ...], datetime] = {}
        self._more: dict[tuple[str, ...], tuple[Event, int]] = {}

    @property
    def state(self) -> RecordState:
        """As of now, whatever the disk does."""
        with self._lock:
            waiting = len(self._waiting) + self._under_way
            state = replace(self._state, waiting=waiting, lost=self._lost)
        late = self._late()
        return replace(state, problem=late) if late else state

    @property
    def failing(self) -> str | None:
        """Why the disk refuses the record, as of the last attempt."""
        return self._problem

    def put(self, event: Event, wait: Callable[[Job], bool] = Job.wait) -> None:
        """Puts what somebody decided on record, now; `wait` waits for the disk, as long as it has
        patience. Raises OSError: then it is not, or must not count.
        """
        stamped = self.stamped(event)
        job = self.scribe.hand(lambda _: self.put_here(stamped))
        if not wait(job) and job.give_up():
            raise TimeoutError(errno.ETIMEDOUT, TOO_SLOW)
        if job.error is not None:
            raise job.error

    def put_here(self, event: Event) -> None:
        """The same, by the scribe itself: after all that waits, or not at all. Raises OSError."""
        self._flush()
        # What was told meanwhile waits for the next time, and says nothing of the disk.
        if self._problem is not None:
            raise OSError(None, self._problem)
        self._write([event])

    def tell(self, *events: Event) -> Job:
        """Puts what happened on record as soon as it can be."""
        for event in events:
            self._queue(self.stamped(event))
        return self.scribe.hand(lambda _: self._flush(), "record")

    def tell_seldom(self, event: Event, *kind: str) -> None:
        """As `tell`, but once a minute for each `kind`, with the number of times."""
        key = (event.what, *kind)
        if len(self._told) >= MOST_KINDS and key not in self._told:
            key = (event.what,)
        last = self._told.get(key)
        if last is None or event.at - last >= SELDOM or event.at < last:
            self._told[key] = event.at
            self.tell(event)
        else:
            self._more[key] = self.stamped(event), self._more.get(key, (event, 0))[1] + 1

    def refused_load(self, error: PolicyError, who: str, cause: str) -> None:
        """A configuration or a registry that was not taken; all as in `refusal`."""
        event = refusal(error, self._now(), who, cause)
        self.tell_seldom(event, event.more["kind"])

    def refused_request(self, verb: str, who: str, window: Window | None, why: str | None) -> None:
        """A request at the control socket that was not granted. `why` is for the record only where
        it is of a window that is known: what a client wrote may be anything.
        """
        more: dict[str, Any] = {"kind": "request", "verb": verb}
        name, reference = (window.id, window.reference) if window else ("", "")
        if window is not None and why is not None:
            more["why"] = why
        event = Event(self._now(), "refused", who, name, reference, more)
        self.tell_seldom(event, "request", verb, name)

    def look(self) -> None:
        """Has written what waits, and looked at what others wrote."""
        now = self._now()
        for key in [k for k, at in self._told.items() if not timedelta() <= now - at < SELDOM]:
            del self._told[key]
            if key in self._more:
                self._told[key] = now
                self._add_up(key)
        late = self._late()
        if late is not None and not self._said_late:
            log.error("audit_late", problem=late, waiting=self.state.waiting)
        self._said_late = late is not None
        self.scribe.hand(lambda _: self._flush(), "record")

    def finish(self) -> None:
        """Has written all that is still to be told, as far as the disk takes it; nothing is told
        afterwards.
        """
        for key in list(self._more):
            self._add_up(key)
        self.scribe.hand(lambda _: self._flush(), "record")
        self.close()

    def close(self) -> None:
        """Waits for what is on its way, for a while."""
        closed, self._closed = self._closed, True
        if not closed and not self.scribe.close():
            log.error("audit_left", problem=self._late(), lost=self.state.waiting)

    def _add_up(self, key: tuple[str, ...]) -> None:
        event, times = self._more.pop(key)
        self._queue(replace(event, more={**event.more, "times": times}))

    def _late(self) -> str | None:
        hangs_s = self.scribe.hangs_s()
        if hangs_s < LATE_S:
            return None
        return (
            f"the disk has not answered for {hangs_s:.0f} s; windows act as declared, and records "
            f"wait ({self.audit.directory})"
        )

    def _queue(self, event: Event) -> None:
        with self._lock:
            self._waiting.append(event)
            self._bound()

    def _bound(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            self._waiting.popleft()
            self._lost += 1

    # --- writing, by the scribe ----------------------------------------------------------------

    def _flush(self) -> None:
        try:
            self.audit.settle(self._now())
            self._write_waiting()
            if self._failing_since is not None:
                self._recovered(self._failing_since)
        except OSError as error:
            self._fails(error)
        self._say_notes()
        self._publish()

    def _write_waiting(self) -> None:
        """What is told meanwhile is for the next time: orders come before it. Raises OSError."""
        with self._lock:
            left = list(self._waiting)
            self._waiting.clear()
            self._under_way = len(left)
        try:
            while left:
                left = left[self._write(left) :]
        finally:
            with self._lock:
                self._waiting.extendleft(reversed(left))
                self._under_way = 0
                self._bound()

    def _write(self, events: list[Event]) -> int:
        """Writes some or all, and tells how many. Raises OSError when it is none."""
        count = self.audit.append_all([(event.at, values(event)) for event in events])
        self._publish()
        newest = self.audit.newest
        for offset, event in enumerate(events[:count], newest.seq - count + 1):
            last = offset == newest.seq
            if last or count <= _LOGGED_SINGLY:
                # Whoever cuts the end of the record off does not reach the journal.
                told = {"digest": newest.digest} if last else {}
                window = {"window": event.window} if event.window else {}
                log.info("on_record", seq=offset, what=event.what, **window, **told)
        return count

    def _publish(self) -> None:
        newest = self.audit.newest
        self._state = RecordState(
            newest.seq, newest.digest, failures=self._failures, problem=self._problem
        )

    def _fails(self, error: OSError) -> None:
        self._failures += 1
        fact = f"{error.filename or self.audit.directory}: {error.strerror or error}"
        problem = (
            f"the record cannot be written ({fact}); windows act as declared, and records wait"
        )
        if self._failing_since is None:
            self._failing_since = self._now()
        if problem != self._problem:
            log.error("audit_not_written", error=fact, waiting=len(self._waiting))
        self._problem = problem

    def _recovered(self, since: datetime) -> None:
        lost = self._lost
        more = {"since": since.isoformat().replace("+00:00", "Z"), "lost": lost}
        self._write([self.stamped(Event(self._now(), "late", "enforcer", "", "", more))])
        log.warning("audit_written_again", **more)
        self._failing_since, self._problem = None, None
        with self._lock:
            self._lost -= lost

    def _say_notes(self) -> None:
        for note in self.audit.take_notes():
            log.warning(f"audit_{note.what}", **note.values)

    def stamped(self, event: Event) -> Event:
        """With what is in force now."""
        more: Mapping[str, Any] = {**self.stamp, **event.more}
        return replace(event, more=more)


def refusal(error: PolicyError, now: datetime, who: str, cause: str) -> Event:
    """Where the mistakes are of what was not taken. What they are stands in the log: a message
    about a registration names its prefix, which is not for the record. `who` and `cause` as in
    `Chronicle.loaded`.
    """
    shrinks = isinstance(error, ShrinkError)
    kind = "registry" if isinstance(error, RegistryError) else "configuration"
    more: dict[str, Any] = {
        "kind": "shrink" if shrinks else kind,
        "errors": error.count,
        "places": [_place(problem, told=shrinks) for problem in error.problems[:_PLACES]],
        "cause": cause,
    }
    return Event(now, "refused", who, "", "", more)


def _place(problem: Problem, *, told: bool) -> str:
    if told:
        return problem.message
    return f"{problem.file}:{problem.line}" if problem.line else problem.file
