"""A gateway that follows its fleet: what etcd names is fetched, checked, put on the disk, and the
daemon asked to load it; what the gateway holds is reported under a lease.

In: settings, a spool, a store, and a way to ask the daemon. Out: revisions in force, or a refusal
that stands in the report. It has no capability and no part in what is in force: while etcd is away,
or this process is, the daemon goes on with what it has.
"""

from __future__ import annotations

import hashlib
import os
import random
import select
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from enforcer import __version__, log
from enforcer.control import DeniedError, NoDaemonError
from enforcer.errors import PolicyError
from enforcer.fleet.compose import ComposeError, compose
from enforcer.fleet.reports import Report
from enforcer.fleet.revision import Revision
from enforcer.fleet.settings import Settings
from enforcer.fleet.spool import Held, Spool
from enforcer.fleet.store import RefusedError, Signed, Store
from enforcer.fleet.troubles import EtcdError

LEASE_S = 30
# A watch only makes it quick: what it might have missed is looked for this often.
LOOK_S = 10.0
# What a revision was refused for may have gone: a full disk, a clock that was wrong.
RETRY_S = 60.0
_SILENCE_S = 25.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 15.0

Ask = Callable[..., Mapping[str, Any]]


def digest_of(signed: Signed) -> str:
    return hashlib.sha256(signed.manifest.encode()).hexdigest()[:16]


@dataclass(slots=True)
class Follower:
    """`ask(verb, …)` speaks to the daemon (`control.ask`); `check(path)` raises PolicyError when
    the configuration at that path is wrong, for when no daemon is there to say so.
    """

    settings: Settings
    spool: Spool
    store: Store
    ask: Ask
    check: Callable[[Path], None]
    now: Callable[[], datetime]
    _refused: int | None = None
    _problem: str | None = None
    _loaded: int | None = None
    _lease: int | None = None
    _reported: Report | None = None
    _refused_at: float = 0.0

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
        """Whether nothing that etcd named was refused."""
        return self._refused is None

    def take(self, number: int) -> None:
        """Brings the gateway to revision `number`, unless it holds that one or has refused it."""
        again = time.monotonic() - self._refused_at >= RETRY_S
        if number == self._loaded:
            self._refused = self._problem = None
        if number == self._loaded or (number == self._refused and not again):
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
            if held is not None and held.number == number and held.digest != digest_of(signed):
                raise RefusedError(
                    f"there are two revisions {number}, and the other one was held here before; "
                    "publish again"
                )
            before = self.spool.current()
            at_hand = self.spool.files(before) if before is not None else {}
            self._put_in_force(revision, signed, self.store.fetch(revision, at_hand))

    def renew(self) -> None:
        """Puts this gateway's sections as they are now into the revision that is in force. All of
        it is on the disk: etcd is not asked.
        """
        number = self.spool.current()
        if number is None:
            return
        with self._refusing(number):
            signed = self.spool.signed(number)
            revision = signed.revision(self.settings.fleet, number, self.settings.public_keys)
            self._put_in_force(revision, signed, self.spool.files(number))

    @contextmanager
    def _refusing(self, number: int) -> Iterator[None]:
        try:
            yield
        except (RefusedError, ComposeError, PolicyError) as error:
            self._refuse(number, str(error))
        except OSError as error:
            fact = f"{error.filename or self.spool.directory}: {error.strerror or error}"
            self._refuse(number, f"{fact}; make room, or give the folder to this user")

    def _put_in_force(self, revision: Revision, signed: Signed, files: Mapping[str, bytes]) -> None:
        self._problem = None
        before, main = self.spool.current(), revision.main
        composed, old = self._composed(revision, files), self.spool.composed(main)
        if before != revision.number or old != composed:
            same = before == revision.number and old is not None
            if same:
                self.spool.compose(main, composed)
            else:
                self.spool.write(revision.number, files, main, composed, signed)
                self.spool.switch(revision.number)
            try:
                self._load(self.spool.main / main, revision.accepts_shrink)
            except (RefusedError, PolicyError):
                if same and old is not None:
                    self.spool.compose(main, old)
                else:
                    self.spool.switch_back(before)
                raise
        self.spool.hold(Held(revision.number, digest_of(signed)))
        self.spool.tidy()
        self._loaded, self._refused = revision.number, None
        log.info("revision_taken", revision=revision.number, by=revision.made_by)

    def _composed(self, revision: Revision, files: Mapping[str, bytes]) -> str:
        made_of = (
            f"Revision {revision.number} of fleet {revision.fleet}, with this gateway's sections; "
            "changes here are lost."
        )
        try:
            return compose(files[revision.main].decode(), self.settings.text, made_of)
        except UnicodeDecodeError as error:
            raise RefusedError(f"its file {revision.main} is not UTF-8; publish again") from error

    def _load(self, main: Path, accepts_shrink: str) -> None:
        """Has the daemon load it, now or when it starts. Raises RefusedError or PolicyError when
        it does not.
        """
        try:
            accepted = {"accept_shrink": accepts_shrink} if accepts_shrink else {}
            answer = self.ask("reload", **accepted)
        except (NoDaemonError, DeniedError) as error:
            # Nobody else would notice that it is wrong before the daemon has to start with it.
            self.check(main)
            self._problem = str(error)
            return
        if answer.get("refused"):
            raise RefusedError(str(answer.get("error")))
        if answer.get("error") is not None:
            # It was taken, and something else is wrong: the kernel, say. The daemon tries again.
            self._problem = str(answer["error"])

    def _refuse(self, number: int, why: str) -> None:
        if (self._refused, self._problem) != (number, why):
            log.error("revision_refused", revision=number, error=why)
        self._refused, self._problem, self._refused_at = number, why, time.monotonic()

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
            if self._refused is None:
                problem = config.get("error") or status.get("problem")
        except (NoDaemonError, DeniedError) as error:
            problem = problem or str(error)
        s, held = self.settings, self._loaded
        if held is None and self._refused is not None:
            held = self.spool.current()
        at = self.now().isoformat(timespec="seconds")
        return Report(
            s.gateway, s.track, held, self._refused, problem, armed, __version__,
            s.labels, at,
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
        watcher = threading.Thread(target=self._watch, args=(poke,), name="watch", daemon=True)
        watcher.start()
        wait_s, lost = _FIRST_WAIT_S, False
        while not poke.ended:
            if (new := settings()) is not None:
                self.settings, self._loaded, self._refused = new, None, None
                self.renew()
            try:
                self.turn()
                if lost:
                    log.info("etcd_back")
                wait_s, lost, pause_s = _FIRST_WAIT_S, False, LOOK_S
            except EtcdError as error:
                if not lost:
                    log.warning("etcd_lost", error=str(error), done="what is in force stays")
                # Hundreds of gateways must not come back at one instant.
                lost, pause_s = True, wait_s * random.uniform(0.5, 1.0)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            poke.wait(pause_s)

    def _watch(self, poke: Poke) -> None:
        """Pokes when the head of our track may have moved."""
        while not poke.ended:
            track = self.settings.track
            try:
                _, revision = self.store.head(track)
                poke.now()
                prefix = self.store.key("head", track)
                for _ in self.store.client.watch(prefix, revision, _SILENCE_S):
                    poke.now()
            except (EtcdError, RefusedError):
                time.sleep(random.uniform(1.0, 3.0))


class Poke:
    """Something to wait for: time, a poke from the watch or a handler of signals, or the end.

    A descriptor and no lock: a handler that runs while its own thread holds a lock would wait for
    itself.
    """

    def __init__(self) -> None:
        self.ended = False
        self._poked = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def now(self) -> None:
        os.eventfd_write(self._poked, 1)

    def end(self) -> None:
        self.ended = True
        self.now()

    def wait(self, seconds: float) -> bool:
        """Whether somebody poked."""
        select.select([self._poked], [], [], seconds)
        with suppress(BlockingIOError):
            os.eventfd_read(self._poked)
            return True
        return False


def _timeless(report: Report) -> tuple[Any, ...]:
    return tuple(getattr(report, s) for s in Report.__slots__ if s != "at")
