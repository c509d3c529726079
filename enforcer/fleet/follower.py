"""A gateway that follows its fleet: what etcd names is fetched, checked, put on the disk, and the
daemon asked to load it; what the gateway holds is reported under a lease.

In: settings, a spool, a store, and a way to ask the daemon. Out: revisions in force, or a refusal
that stands in the report. It has no capability and no part in what is in force: while etcd is away,
or this process is, the daemon goes on with what it has.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from enforcer import __version__, log
from enforcer.control import DeniedError, NoDaemonError
from enforcer.errors import PolicyError
from enforcer.fleet.compose import ComposeError, compose
from enforcer.fleet.loading import Ask, Check, Taken, UnansweredError, answers, load
from enforcer.fleet.pausing import Pauses
from enforcer.fleet.poke import Poke
from enforcer.fleet.reports import Report
from enforcer.fleet.revision import Revision
from enforcer.fleet.settings import Settings
from enforcer.fleet.spool import FETCHED_ANEW, Held, Spool, digest
from enforcer.fleet.store import RefusedError, Signed, Store
from enforcer.fleet.troubles import EtcdError
from enforcer.fleet.watching import FIRST_WAIT_S, LONGEST_WAIT_S, watch

LEASE_S = 30
# A watch only makes it quick: what it might have missed is looked for this often.
LOOK_S = 10.0
# Where no daemon ran that could be asked, one that has begun is noticed this soon.
BEGUN_S = 1.0
# What a revision was refused for may have gone: a full disk, a clock that was wrong.
RETRY_S = 60.0
# A daemon that did not answer is asked again soon, then ever more slowly.
FIRST_RETRY_S = 1.0


@dataclass(slots=True)
class Follower:
    """`ask(verb, …)` speaks to the daemon (`control.ask`); `check(path)` raises PolicyError when
    the configuration at that path is wrong, for when no daemon is there to say so.
    """

    settings: Settings
    spool: Spool
    store: Store
    ask: Ask
    check: Check
    now: Callable[[], datetime]
    _refused: int | None = None
    # What the daemon was asked to load, and has not said that it holds.
    _waits: int | None = None
    _problem: str | None = None
    # No daemon ran that could be asked: one that has begun since then is.
    _unasked: bool = False
    _loaded: int | None = None
    _lease: int | None = None
    _reported: Report | None = None
    # When what was refused, or not answered, is tried again (monotonic).
    _again_at: float = 0.0
    _pauses: Pauses = field(default_factory=lambda: Pauses(FIRST_RETRY_S, RETRY_S))

    # --- taking a revision ----------------------------------------------------------------------

    def turn(self) -> int | None:
        """Takes what etcd names, and reports. The revision that it names; None: none yet. Raises
        EtcdError when it cannot be asked.
        """
        due: int | None = None
        try:
            number, _ = self.store.head(self.settings.track)
            if number:
                due = number
                self.take(number)
        except RefusedError as error:
            due = due or 0
            self._refuse(0, str(error))
        self.report()
        return due

    @property
    def holds_what_is_due(self) -> bool:
        """Whether nothing that etcd named was refused, or left without the daemon's answer."""
        return self._refused is None and self._waits is None

    def take(self, number: int) -> None:
        """Brings the gateway to revision `number`, unless it holds that one or has refused it."""
        if number == self._loaded and self._unasked and answers(self.ask):
            self._loaded = None
            self.renew()
            return
        if number == self._loaded:
            self._refused = self._problem = None
            return
        if number in (self._refused, self._waits) and time.monotonic() < self._again_at:
            return
        with self._refusing(number):
            held = self.spool.held()
            if held is not None and number < held.number:
                raise RefusedError(
                    f"etcd names revision {number}, and {held.number} was held here before; it may "
                    "have been restored from an older copy: publish again, numbers go on by "
                    "themselves"
                )
            signed = self.store.signed(number)
            if signed is None:
                raise RefusedError(f"etcd has no revision {number}; publish again")
            revision = signed.revision(self.settings.fleet, number, self.settings.public_keys)
            named = digest(signed.manifest)
            if held is not None and held.number == number and held.digest != named:
                raise RefusedError(
                    f"there are two revisions {number}, and the other one was held here before; "
                    "publish again"
                )
            before = self.spool.current()
            at_hand = self.spool.files(before) if before is not None else {}
            files = self.store.fetch(revision, at_hand)
            whole = before == number and self.spool.damage(revision, signed, at_hand) is None
            self._put_in_force(revision, signed, files, whole=whole)

    def renew(self) -> None:
        """Puts this gateway's sections as they are now into the revision that is in force. All of
        it is on the disk: etcd is not asked. Where it is not any more, it is refused, and the next
        turn fetches it.
        """
        number = self.spool.current()
        if number is None:
            return
        with self._refusing(number):
            signed = self.spool.signed(number)
            revision = signed.revision(self.settings.fleet, number, self.settings.public_keys)
            files = self.spool.files(number)
            if (damage := self.spool.damage(revision, signed, files)) is not None:
                raise RefusedError(f"{damage}; {FETCHED_ANEW}")
            self._put_in_force(revision, signed, files, whole=True)

    @contextmanager
    def _refusing(self, number: int) -> Iterator[None]:
        try:
            yield
        except (RefusedError, ComposeError) as error:
            self._refuse(number, str(error))
        except PolicyError as error:
            # It goes to the journal and into etcd: no word of a registry's row (promise 6).
            self._refuse(number, error.for_all)
        except UnansweredError as error:
            self._unanswered(number, str(error))
        except OSError as error:
            fact = f"{error.filename or self.spool.directory}: {error.strerror or error}"
            self._refuse(number, f"{fact}; make room, or give the folder to this user")

    def _put_in_force(
        self, revision: Revision, signed: Signed, files: Mapping[str, bytes], *, whole: bool
    ) -> None:
        """`whole`: the daemon reads these files already, the main one with whatever sections."""
        number, main = revision.number, revision.main
        composed, taken = self._composed(revision, files), Taken(None, asked=True)
        made = Held(number, digest(signed.manifest), digest(composed))
        held, before = self.spool.held(), self.spool.current()
        old = self.spool.composed(main) if whole else None
        if old != composed or held != made:
            if held is not None:
                # Whatever ends this process from here on: the next one asks the daemon again.
                self.spool.hold(replace(held, answered=""))
            if old is None:
                self.spool.write(number, files, main, composed, signed)
                self.spool.switch(number)
            elif old != composed:
                self.spool.compose(main, composed)
            try:
                taken = load(self.ask, self.check, self.spool.main / main, revision.accepts_shrink)
            except BaseException:
                self._take_back(number, before, main, old if old != composed else None)
                raise
            self.spool.hold(made if taken.asked else replace(made, answered=""))
        self.spool.tidy()
        self._loaded, self._problem, self._unasked = number, taken.problem, not taken.asked
        self._refused = self._waits = None
        self._pauses.over()
        log.info("revision_taken", revision=number, by=revision.made_by)

    def _take_back(self, number: int, before: int | None, main: str, old: str | None) -> None:
        """What the disk had before the daemon was asked, for it to begin with; `old` is the main
        file where that alone was exchanged.
        """
        if old is not None:
            self.spool.compose(main, old)
        elif before != number:
            self.spool.switch_back(before)
        else:
            # Put there by a follower that was killed before the daemon had answered it.
            held = self.spool.held()
            if held is None or (held.number != number and self.spool.has(held.number)):
                self.spool.switch_back(held.number if held else None)

    def _composed(self, revision: Revision, files: Mapping[str, bytes]) -> str:
        made_of = (
            f"Revision {revision.number} of fleet {revision.fleet}, with this gateway's sections; "
            "changes here are lost."
        )
        try:
            return compose(files[revision.main].decode(), self.settings.text, made_of)
        except UnicodeDecodeError as error:
            raise RefusedError(f"its file {revision.main} is not UTF-8; publish again") from error

    def _refuse(self, number: int, why: str) -> None:
        if (self._refused, self._problem) != (number, why):
            log.error("revision_refused", revision=number, error=why)
        self._refused, self._waits, self._problem = number, None, why
        self._again_at = time.monotonic() + RETRY_S

    def _unanswered(self, number: int, why: str) -> None:
        """Nobody knows what the daemon holds now: not even that it is still the one before."""
        if (self._waits, self._problem) != (number, why):
            done = "what it held is on the disk again; it is asked again"
            log.warning("revision_unanswered", revision=number, error=why, done=done)
        self._loaded = self._refused = None
        self._waits, self._problem = number, why
        self._again_at = time.monotonic() + self._pauses.next_s()

    # --- telling --------------------------------------------------------------------------------

    def report(self) -> None:
        """Says what this gateway holds, when that has changed, and keeps the lease alive."""
        if self._lease is not None and not self.store.client.keep_alive(self._lease):
            self._lease = None
        if self._lease is None:
            self._lease, self._reported = self.store.client.grant(LEASE_S), None
        report = self._state()
        if self._reported is None or _timeless(report) != _timeless(self._reported):
            self.store.report(report, self._lease)
            self._reported = report

    def _state(self) -> Report:
        armed: tuple[str, ...] = ()
        problem = self._problem
        try:
            status = self.ask("status")
            armed = tuple(map(str, status.get("armed", ())))
            config = status.get("config", {})
            if self.holds_what_is_due:
                problem = config.get("error") or status.get("problem")
        except (NoDaemonError, DeniedError) as error:
            problem = problem or str(error)
        s, held = self.settings, self._loaded
        if held is None and not self.holds_what_is_due:
            held = self.spool.current()
        at = self.now().isoformat(timespec="seconds")
        return Report(
            s.gateway, s.track, held, self._refused, problem, armed, __version__,
            s.labels, at, self.spool.local(),
        )  # fmt: skip

    def leave(self) -> None:
        """Ends the lease, so that the fleet sees at once that nobody follows here. Where etcd is
        away it ends by itself.
        """
        if self._lease is not None:
            with suppress(EtcdError):
                self.store.client.revoke(self._lease)

    # --- for as long as it lasts ----------------------------------------------------------------

    def run(self, poke: Poke, settings: Callable[[], Settings | None]) -> None:
        """Until `poke.end()`. `settings()` gives new ones after a SIGHUP, which pokes as well."""
        of_ours = (self.store, lambda: self.settings.track, poke)
        threading.Thread(target=watch, args=of_ours, name="watch", daemon=True).start()
        pauses, lost = Pauses(FIRST_WAIT_S, LONGEST_WAIT_S), False
        # A follower before us may have been killed before the daemon had answered it.
        self.renew()
        self._again_at = 0.0
        while not poke.ended:
            if (new := settings()) is not None:
                self.settings, self._loaded, self._refused, self._waits = new, None, None, None
                self.renew()
                # They may mend what was refused; and what the disk has lost is fetched now.
                self._again_at = 0.0
            try:
                self.turn()
                if lost:
                    log.info("etcd_back")
                pauses.over()
                lost = False
            except EtcdError as error:
                if not lost:
                    log.warning("etcd_lost", error=str(error), done="what is in force stays")
                lost = True
            if lost:
                poke.wait(pauses.next_s())
            else:
                self._rest(poke)

    def _rest(self, poke: Poke) -> None:
        """Until somebody pokes, it is time, or a daemon begins where none could be asked."""
        until = time.monotonic() + self._rest_s()
        while self._unasked and until - time.monotonic() > BEGUN_S:
            if poke.wait(BEGUN_S) or answers(self.ask):
                return
        poke.wait(max(0.0, until - time.monotonic()))

    def _rest_s(self) -> float:
        if self._waits is None:
            return LOOK_S
        return min(LOOK_S, max(0.1, self._again_at - time.monotonic()))


def _timeless(report: Report) -> tuple[Any, ...]:
    return tuple(getattr(report, s) for s in Report.__slots__ if s != "at")
