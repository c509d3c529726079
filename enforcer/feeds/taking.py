"""One turn for one feed: fetched, checked, put where the daemon reads it, loaded, written down.

In: settings and a way to ask the daemon. Out: `Told`, whatever happened. What is accepted is what
the daemon has in force, or, where no daemon runs, what it will begin with. Everything else leaves
the old body where it was: no fault of a registrar, a mirror or a disk takes a registration away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from enforcer.control import LOAD_S, DeniedError, HungDaemonError, NoDaemonError
from enforcer.errors import PolicyError
from enforcer.feeds.checking import Checked, RefusedError, terms_of
from enforcer.feeds.clock import clock_told
from enforcer.feeds.credentials import read_credentials
from enforcer.feeds.fetching import Fetch, Found, NothingError, Pause
from enforcer.feeds.settings import Settings
from enforcer.feeds.shelf import BusyError, Shelf, digest_of
from enforcer.feeds.state import Accepted, Result, SpoiltError, State, state_path
from enforcer.feeds.transfer import Line
from enforcer.policy.feed import Feed
from enforcer.policy.registry import parse_registry
from enforcer.policy.shrinking import ShrinkError, refuse_shrinking
from enforcer.sources.guarded import CredentialError

Ask = Callable[..., Mapping[str, Any]]


class _FailedError(Exception):
    """Something other than the body was in the way, as `fact; remedy`."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a turn. `state` is what is known afterwards; `notes` what else a person may
    want to know; `details` are for a terminal alone; `wait_s`: a server asks not to come before.
    """

    feed: str
    result: Result
    state: State
    problem: str | None = None
    notes: tuple[str, ...] = ()
    details: str = ""
    wait_s: float = 0.0

    @property
    def good(self) -> bool:
        return self.result in ("accepted", "unchanged")


@dataclass(frozen=True, slots=True)
class Taker:
    """`ask(verb, …)` speaks to the daemon (`control.ask`), `synchronised()` tells of the clock."""

    settings: Settings
    ask: Ask
    now: Callable[[], datetime]
    synchronised: Callable[[], bool]
    pause: Pause

    def turn(self, feed: Feed, accept_shrink: str = "", patience_s: float = 0.0) -> Told:
        """`accept_shrink` is the token of a body that may remove more than `shrink_limit`."""
        shelf = Shelf(self.settings.file(feed))
        state = State()
        try:
            with shelf.held(patience_s):
                state = self._state(shelf, feed)
                told = self._tried(feed, shelf, state, accept_shrink)
                shelf.keep(told.state)
                return told
        except (BusyError, _FailedError) as error:
            return Told(feed.name, "failed", state, str(error))
        except OSError as error:
            place = error.filename or shelf.file
            fact = f"{place}: {error.strerror or error}; make room, or give the folder to this user"
            return Told(feed.name, "failed", state, fact)
        except Exception as error:
            return Told(feed.name, "failed", state, _mistake(error))

    def _state(self, shelf: Shelf, feed: Feed) -> State:
        try:
            return shelf.state()
        except SpoiltError as error:
            if not feed.public_keys:
                return State()
            raise _FailedError(
                f"{state_path(shelf.file)} cannot be read ({error}), so an old body could pass for "
                "a new one; remove it when you are sure of who serves the feed"
            ) from error

    def _tried(self, feed: Feed, shelf: Shelf, state: State, accept_shrink: str) -> Told:
        result: Result
        details, wait_s = "", 0.0
        notes: tuple[str, ...] = ()
        accepted = state.accepted
        try:
            accepted, result, notes = self._taken(feed, shelf, state, accept_shrink)
            problem = None
        except NothingError as error:
            result, problem = ("refused" if error.refused else "failed"), str(error)
            details, wait_s = error.details, error.wait_s
        except RefusedError as error:
            result, problem, details = "refused", str(error), error.details
        except (_FailedError, CredentialError) as error:
            result, problem = "failed", str(error)
        except OSError:
            raise
        except Exception as error:
            result, problem = "failed", _mistake(error)
        after = replace(state.counted(result, self.now(), problem), accepted=accepted)
        return Told(feed.name, result, after, after.problem, notes, details, wait_s)

    def _taken(
        self, feed: Feed, shelf: Shelf, state: State, accept_shrink: str
    ) -> tuple[Accepted | None, Result, tuple[str, ...]]:
        """What is accepted now, and whether it is new. Raises NothingError, RefusedError,
        CredentialError, _FailedError, and OSError.
        """
        before = state.accepted
        on_disk = shelf.settle(before)
        terms = terms_of(feed, self.settings.categories)
        held = on_disk and before is not None and before.terms == terms
        found = self._fetched(feed, state, held=held)
        notes = tuple(f"passed over: {failure}" for failure in found.failures)
        checked = found.checked
        if before is not None and (checked is None or checked.kept is None):
            if checked is not None:
                # The same bytes: what is new is what the server and the signature say of them.
                before = _renewed(before, found, checked)
            return self._asked_since(feed, before, accept_shrink), "unchanged", notes
        assert checked is not None, "where nothing is held, something comes"
        assert checked.kept is not None, "a body that is not held comes whole"
        loaded, asked = self._in_force(feed, shelf, checked, accept_shrink)
        notes += (loaded,)
        made = Accepted(
            digest_of(checked.kept), checked.body, found.url, terms, checked.rows, self.now(),
            checked.serial, found.known.etag, found.known.last_modified, checked.named,
            found.address, asked,
        )  # fmt: skip
        return made, "accepted", notes

    def _fetched(self, feed: Feed, state: State, *, held: bool) -> Found:
        credentials = read_credentials(feed, self.settings.config.parent)
        line = Line(
            feed.timeout_s,
            credentials.context,
            credentials.headers,
            credentials.secret,
            lambda: clock_told(self.now(), self.synchronised(), state.checked_at),
        )
        categories, before = self.settings.categories, state.accepted
        return Fetch(feed, line, categories, before, held, self.pause).run()

    def _asked_since(self, feed: Feed, accepted: Accepted, accept: str) -> Accepted:
        """Where no daemon ran when it came: one that has begun since then may have refused it.
        Raises RefusedError or _FailedError; nothing is taken back, for nothing better is there.
        """
        if not accepted.asked:
            _, asked = self._loaded(feed, accept, lambda: None)
            accepted = replace(accepted, asked=asked)
        return accepted

    def _in_force(
        self, feed: Feed, shelf: Shelf, checked: Checked, accept: str
    ) -> tuple[str, bool]:
        """Has the daemon load the new body: what came of it, and whether one was asked. Raises
        RefusedError or _FailedError when it does not load it, and then the old one is back.
        """
        assert checked.kept is not None, "something to load"
        shelf.place(checked.kept)
        try:
            check = partial(self._shrinks, feed, shelf, checked, accept)
            return self._loaded(feed, accept, check)
        except BaseException:
            shelf.withdraw()
            raise

    def _loaded(self, feed: Feed, accept: str, check: Callable[[], None]) -> tuple[str, bool]:
        """`check` raises RefusedError where no daemon says so."""
        accepted = {"accept_shrink": accept} if accept else {}
        try:
            answer = self.ask(
                "reload", registry=str(self.settings.config), wait_s=LOAD_S, **accepted
            )
        except (HungDaemonError, DeniedError) as error:
            raise _FailedError(f"the daemon cannot be asked to load it ({error})") from error
        except NoDaemonError as error:
            if not error.none_runs:
                raise _FailedError(f"the daemon did not say that it loads it ({error})") from error
            check()
            return "no daemon runs; it is read when one starts", False
        if answer.get("elsewhere"):
            check()
            return f"not loaded: {answer.get('error')}, and not this configuration", False
        if answer.get("refused"):
            said = str(answer.get("error"))
            if answer.get("shrink"):
                raise RefusedError(_meant(said, feed))
            first, details = answer.get("first"), str(answer.get("details", said))
            raise RefusedError(f"is refused by the daemon: {first}", details=details)
        if answer.get("error") is not None:
            # It was taken, and something else is wrong: the kernel, say. The daemon tries again.
            return f"loaded, but: {answer['error']}", True
        return "loaded by the daemon", True

    def _shrinks(self, feed: Feed, shelf: Shelf, checked: Checked, accept: str) -> None:
        """Where no daemon says so: whether too much of a category would go."""
        old = shelf.old()
        if old is None or checked.registry is None:
            return
        try:
            before = parse_registry(feed.name, old, self.settings.categories)
        except PolicyError:
            # Of other categories, say: nothing that could be compared.
            return
        try:
            limit, day = self.settings.shrink_limit, self.now().date()
            refuse_shrinking(before, checked.registry, limit, day)
        except ShrinkError as error:
            if len(accept) < len(error.token) or not checked.registry.digest.startswith(accept):
                raise RefusedError(_meant(str(error), feed)) from error


def _mistake(error: Exception) -> str:
    """A fault of ours, which a body or a server has found: the other feeds go on. Without the
    error's own text, which may hold a row of the registry (promise 6).
    """
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at else "nowhere"
    return (
        f"met a mistake in enforcer itself ({type(error).__name__}, {where}); what was accepted "
        "before stays: please report it, with the body if you may"
    )


def _meant(said: str, feed: Feed) -> str:
    """A refusal of the shrink guard, with the remedy that is right for a feed."""
    ours = f"ask who publishes it or, if it is meant: enforcer fetch --once {feed.name} "
    theirs = "check the registry files, or, if it is meant: enforcer reload "
    *others, last = said.replace(theirs, ours).splitlines()
    # A line for each category, and each with the same remedy: once is enough.
    return " · ".join([*(line.partition("; ask who")[0] for line in others), last])


def _renewed(before: Accepted, found: Found, checked: Checked) -> Accepted:
    return replace(
        before,
        url=found.url,
        serial=checked.serial,
        etag=found.known.etag,
        last_modified=found.known.last_modified,
        named=checked.named,
        address=found.address,
    )
