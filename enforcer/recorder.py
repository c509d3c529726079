"""The daemon's hand at the record. What people decide is on record before it is acknowledged; what
the daemon did is put on record as soon as that is possible, and never holds a gateway up.

Events come in; records, log lines and a `RecordState` for whoever looks go out. While the disk is
full or read-only, events wait in memory, in order and up to a bound; that it was so is a record of
its own afterwards. What repeats within a minute becomes one record that says how often.
"""

from __future__ import annotations

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
from enforcer.sources.files import RegistryError

# Ten thousand windows may be declared at once.
MOST_WAITING = 20_000
SELDOM = timedelta(minutes=1)
# More kinds of repeated events than this within a minute are counted as one kind.
MOST_KINDS = 100
_LOGGED_SINGLY = 20
_PLACES = 5


class Recorder:
    """Writes to the record in `directory`. `stamp` is put into every record: the digests of the
    policy and of the registry in force, and the name of the gateway.
    """

    def __init__(
        self, directory: Path, now: Callable[[], datetime], log_of: AuditLog | None = None
    ) -> None:
        self.audit = log_of or AuditLog(directory)
        self.stamp: Mapping[str, str] = {}
        self.state = RecordState()
        self._now = now
        self._waiting: deque[Event] = deque()
        self._lost = self._failures = 0
        self._failing_since: datetime | None = None
        self._problem: str | None = None
        self._told: dict[tuple[str, ...], datetime] = {}
        self._more: dict[tuple[str, ...], tuple[Event, int]] = {}

    def put(self, event: Event) -> None:
        """Puts what somebody decided on record, now. Raises OSError: then it is not."""
        self._flush()
        if self._waiting:
            raise OSError(None, self._problem or "earlier records still wait to be written")
        self._write([self._stamped(event)])

    def tell(self, *events: Event) -> None:
        """Puts what happened on record as soon as it can be."""
        for event in events:
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._lost += 1
            self._waiting.append(self._stamped(event))
        self._flush()

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
            self._more[key] = self._stamped(event), self._more.get(key, (event, 0))[1] + 1

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
        """Writes what waits, and looks at what others wrote. Costs a few calls of the kernel."""
        now = self._now()
        for key in [k for k, at in self._told.items() if not timedelta() <= now - at < SELDOM]:
            del self._told[key]
            if key in self._more:
                self._told[key] = now
                self._add_up(key)
        self._flush()

    def finish(self) -> None:
        """Writes all that is still to be told, as far as the disk takes it."""
        for key in list(self._more):
            self._add_up(key)
        self._flush()

    def _add_up(self, key: tuple[str, ...]) -> None:
        event, times = self._more.pop(key)
        self._waiting.append(replace(event, more={**event.more, "times": times}))

    # --- writing -----------------------------------------------------------------------------

    def _flush(self) -> None:
        try:
            self.audit.settle(self._now())
            while self._waiting:
                self._write(list(self._waiting))
            if self._failing_since is not None:
                self._recovered(self._failing_since)
        except OSError as error:
            self._fails(error)
        self._say_notes()
        newest = self.audit.newest
        self.state = RecordState(
            newest.seq, newest.digest, len(self._waiting), self._lost, self._failures, self._problem
        )

    def _write(self, events: list[Event]) -> None:
        """Writes some or all; those that were waiting no longer do. Raises OSError."""
        count = self.audit.append_all([(event.at, values(event)) for event in events])
        for event in events[:count]:
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()
        newest = self.audit.newest
        self.state = replace(self.state, records=newest.seq, digest=newest.digest)
        for offset, event in enumerate(events[:count], newest.seq - count + 1):
            last = offset == newest.seq
            if last or count <= _LOGGED_SINGLY:
                # Whoever cuts the end of the record off does not reach the journal.
                told = {"digest": newest.digest} if last else {}
                window = {"window": event.window} if event.window else {}
                log.info("on_record", seq=offset, what=event.what, **window, **told)

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
        more = {"since": since.isoformat().replace("+00:00", "Z"), "lost": self._lost}
        self._write([self._stamped(Event(self._now(), "late", "enforcer", "", "", more))])
        log.warning("audit_written_again", **more)
        self._failing_since, self._problem, self._lost = None, None, 0

    def _say_notes(self) -> None:
        for note in self.audit.take_notes():
            log.warning(f"audit_{note.what}", **note.values)

    def _stamped(self, event: Event) -> Event:
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
