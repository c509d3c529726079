"""What became of windows, told by comparing: what the record says is open, and what is armed.

After each step of the daemon an outcome comes in; records of arming, change and end go out, the end
with the totals of the window. What ended while no daemon ran is told at the next start, with what
is known of it. Declarations in files are told when the configuration is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from enforcer.errors import KernelError
from enforcer.observe.attribution import Attribution, Rows, Sums, rows, sums_of
from enforcer.observe.audit import Event, values
from enforcer.observe.audit_files import KEEP_FOR, records
from enforcer.observe.audit_windows import WORDS, History, Opening
from enforcer.observe.facts import ARMED_FACTS, armed_facts, declaration_of, declared_facts
from enforcer.observe.views import utc_text
from enforcer.policy.model import Activation
from enforcer.reconcile import Outcome
from enforcer.recorder import Recorder
from enforcer.schedule.past import PastGuards
from enforcer.scribe import Job
from enforcer.seen import Seen, read_seen, write_seen
from enforcer.sources.load import Configuration

# How much of a window's counts a loss of power may take with it.
LOOK_EVERY = timedelta(minutes=1)
# An end that is told later than this was not seen.
_SEEN_WITHIN = timedelta(seconds=30)


class Chronicle:
    """Tells `recorder` what `totals` and outcomes say. `read` comes first, then `begin`.

    `why` of an end: `end`, `closed`, `disarmed`, `lapsed`, `withdrawn` (the files no longer have
    it so), `lease` (the kernel ended it, for no daemon renewed it), `promise`, `stopped`,
    `stood_down` (another program would not leave our table alone).
    """

    def __init__(self, recorder: Recorder, totals: Callable[[], Sums]) -> None:
        self.recorder, self._totals = recorder, totals
        self._history = History()
        self._shares = Attribution()
        self._seen = Seen()
        # Windows that the kernel may arm although they are on no longer.
        self._lingering: set[str] = set()

    @property
    def open(self) -> Mapping[str, Opening]:
        return self._history.open

    def past(self, now: datetime) -> PastGuards:
        """Guard as it was and is armed, for the ceilings."""
        return self._history.guards(now, KEEP_FOR)

    def read(self) -> str | None:
        """Reads the record of before; what is wrong when that cannot be done."""
        directory = self.recorder.audit.directory
        self._seen = read_seen(directory)
        try:
            self._history = History(records(directory, WORDS))
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"{error.filename or directory}: {error.strerror or error}"
        return None

    def begin(self, config: Configuration, now: datetime, held: Collection[str]) -> None:
        """Before the first step: `held` are the windows that the kernel arms now. What it arms no
        longer has ended while no daemon ran.
        """
        self._stamp(config)
        self.recorder.look()
        lease_s = config.policy.gateway.lease_s
        seen = {o.window: sums_of(o.window, self._rows_seen(o)) for o in self.open.values()}
        with suppress(KernelError):
            self._shares.begin(self._totals(), seen)
        for opening in list(self.open.values()):
            if opening.window in held:
                self._lingering.add(opening.window)
            else:
                self._end(opening, now, self._ended_unseen(opening, lease_s, now), seen=False)

    def _ended_unseen(self, opening: Opening, lease_s: int, now: datetime) -> tuple[str, datetime]:
        """Why and when, at the latest, a window ended that the kernel no longer arms."""
        latest = opening.ends_at
        if opening.facts.get("lease") != "until-end" and self._seen.at is not None:
            # The lease was renewed after that once more, at the latest just before the next look.
            latest = self._seen.at + LOOK_EVERY + timedelta(seconds=lease_s)
        closing = opening.closing
        if closing is not None and closing.at < min(opening.ends_at, latest):
            # `disarm` takes it out of the kernel; of what was closed without a daemon, the kernel
            # goes on until its end or lease.
            at = min(opening.ends_at, latest, now) if closing.what == "closed" else closing.at
            return closing.what, at
        return ("lease", latest) if latest < opening.ends_at else ("end", opening.ends_at)

    # --- after a step --------------------------------------------------------------------------

    def after(
        self, now: datetime, armed: Iterable[Activation], outcome: Outcome, otherwise: str
    ) -> None:
        """What an outcome means for the record; `armed` and `otherwise` as in `stepped`."""
        if outcome.violations:
            promises = sorted({v.partition(":")[0] for v in outcome.violations})
            more: dict[str, Any] = {"kind": "promise", "promises": promises}
            self.recorder.tell_seldom(Event(now, "refused", "enforcer", "", "", more), "promise")
        self.stepped(
            now,
            armed,
            certain=outcome.result != "failed",
            waiting=outcome.waiting,
            otherwise="promise" if outcome.violations else otherwise,
        )

    def stepped(
        self,
        now: datetime,
        armed: Iterable[Activation],
        *,
        certain: bool = True,
        waiting: Collection[str] = (),
        otherwise: str = "withdrawn",
    ) -> None:
        """`armed` are the occurrences that are on; unless `certain`, others may be on as well.
        `otherwise` says why a window ended for which nothing else is a reason.
        """
        current = {a.id: a for a in armed}
        for opening in list(self.open.values()):
            activation = current.get(opening.window)
            if activation is not None and activation.starts_at == opening.starts_at:
                if armed_facts(activation) != {k: opening.facts.get(k) for k in ARMED_FACTS}:
                    self._tell_open("changed", activation, now, opening.armed_at)
                continue
            if certain or opening.ends_at <= now:
                why = "lease" if opening.window in waiting else otherwise
                opening = self._let_go(opening, now)
                self._end(opening, now, _why(opening, now, why))
            else:
                self._lingering.add(opening.window)
        for activation in current.values():
            if activation.id not in self.open:
                self._tell_open("armed", activation, now, max(activation.starts_at, now))
        if self.open and (
            self._seen.at is None or not timedelta() <= now - self._seen.at < LOOK_EVERY
        ):
            self._look(now)
        self.recorder.look()

    def _let_go(self, opening: Opening, now: datetime) -> Opening:
        """What was closed and stayed armed has ended with the step that took it out."""
        stayed, closing = opening.window in self._lingering, opening.closing
        self._lingering.discard(opening.window)
        if not stayed or closing is None or closing.at > now:
            return opening
        return replace(opening, closing=replace(closing, at=now))

    def note(self, event: Event) -> None:
        """Takes in what is on record: it may be the reason of an end that follows."""
        self._history.take(event.what, values(event))

    def tell(self, event: Event) -> Job:
        """Puts what happened on record as soon as it can be."""
        self.note(event)
        return self.recorder.tell(event)

    def _tell_open(self, what: str, a: Activation, now: datetime, armed_at: datetime) -> None:
        more = {**armed_facts(a), "armed_at": utc_text(armed_at)}
        self.tell(Event(now, what, "enforcer", a.id, a.window.reference, more))
        if what == "armed":
            self._look(now)

    def _end(
        self, opening: Opening, now: datetime, why: tuple[str, datetime], *, seen: bool = True
    ) -> None:
        totals, as_of = self._share(opening, now)
        ended_at = max(why[1], opening.armed_at)
        more: dict[str, Any] = {
            **{key: opening.facts.get(key) for key in ARMED_FACTS},
            "armed_at": utc_text(opening.armed_at),
            "ended_at": utc_text(ended_at),
            "why": why[0],
            # Whether the daemon saw it end; otherwise `ended_at` is the latest that it can be.
            "seen": seen and now - ended_at <= _SEEN_WITHIN,
            "totals": totals,
            "totals_at": utc_text(as_of) if as_of else None,
        }
        if opening.closing is not None and why[0] == opening.closing.what:
            more["ended_by"] = opening.closing.who
        reference = str(opening.facts.get("reference", ""))
        self.tell(Event(now, "ended", "enforcer", opening.window, reference, more))

    # --- what was counted ----------------------------------------------------------------------

    def _share(
        self, opening: Opening, now: datetime
    ) -> tuple[list[dict[str, Any]] | None, datetime | None]:
        """The totals of a window at its end, and of when they are; None when nothing is known."""
        try:
            sums = self._totals()
        except KernelError:
            seen = self._rows_seen(opening)
            return (seen, self._seen.at) if seen else (None, None)
        share = self._shares.share(opening.window, sums)
        there = any(name.window == opening.window for name in sums)
        self._shares.close(opening.window, sums)
        if there:
            return rows(share), now
        return (rows(share), self._seen.at) if share else (None, None)

    def _rows_seen(self, opening: Opening) -> Rows:
        return self._seen.windows.get((opening.window, utc_text(opening.starts_at)), [])

    def _look(self, now: datetime) -> None:
        with suppress(KernelError):
            sums = self._totals()
            shares = {
                (o.window, utc_text(o.starts_at)): rows(self._shares.share(o.window, sums))
                for o in self.open.values()
            }
            seen = self._seen = Seen(now, shares)
            directory = self.recorder.audit.directory
            self.recorder.scribe.hand(lambda _: write_seen(directory, seen), "seen")

    # --- declarations --------------------------------------------------------------------------

    def loaded(
        self, config: Configuration, now: datetime, who: str, cause: str, but: object = None
    ) -> None:
        """Tells what the files declare now and did not before; `but` is told by somebody else.
        `who` had them read, if anybody did; otherwise `cause` says why they were.
        """
        self._stamp(config)
        policy = config.policy
        events: list[Event] = []
        declared = self._history.declared
        for window in policy.windows:
            declaration = declaration_of(window)
            if declared.get(window.id) != declaration and window.id != but:
                more = {**declared_facts(window), "declaration": declaration, "cause": cause}
                events.append(Event(now, "declared", who, window.id, window.reference, more))
        for gone in sorted(declared.keys() - {window.id for window in policy.windows}):
            events.append(Event(now, "withdrawn", who, gone, "", {"cause": cause}))
        for event in events:
            self.note(event)
        self.recorder.tell(*events)

    def _stamp(self, config: Configuration) -> None:
        self.recorder.stamp = {
            "gateway": config.policy.gateway.name,
            "policy": config.policy.digest,
            "registry": config.registry.digest,
        }


def _why(opening: Opening, now: datetime, otherwise: str) -> tuple[str, datetime]:
    """Why, and when, a window ended that is on no longer."""
    closing = opening.closing
    if closing is not None and (closing.what == "lapsed" or closing.at < opening.ends_at):
        return closing.what, min(closing.at, opening.ends_at)
    return ("end", opening.ends_at) if opening.ends_at <= now else (otherwise, now)
