"""Other programs at our table: hearing of them, putting right what they did, giving in to a loop.

In: the monitor's events, and the outcome of every step. Out: steps, log lines, records, and pauses
in which events are left waiting in the kernel. It never blocks.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from enforcer import log
from enforcer.clock import Clock
from enforcer.contest import Contest
from enforcer.daemon import Daemon
from enforcer.drift import Suspicion, needed
from enforcer.kernel.events import Monitor
from enforcer.observe.audit import Event
from enforcer.reconcile import Outcome
from enforcer.recorder import Recorder
from enforcer.watch import Culprit, Noticed, notice

# After events that were nothing to repair we hear no more of them for so many times what the look
# took, so that a storm of them costs a fifth of a core at the most.
REST = 4.0


class Strangers:
    """`step` lets the daemon step, for a cause; it tells `account` of the outcome."""

    def __init__(
        self,
        daemon: Daemon,
        monitor: Monitor,
        step: Callable[[str], Outcome],
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._daemon, self._monitor, self._step = daemon, monitor, step
        self._recorder, self._clock = recorder, clock
        self._contest = Contest()
        self._noticed: Noticed | None = None
        # The table was changed since the last look of a contest.
        self._touched = False
        # Monotonic: until then the monitor's events wait in the kernel.
        self._listen_at = 0.0
        self._generation: int | None = None

    # --- the loop's side -----------------------------------------------------------------------

    def attend(self, selector: selectors.BaseSelector, longest_s: float | None) -> float | None:
        """Listens to the monitor, unless it is to rest; how many seconds to wait for anything."""
        rest = self._listen_at - time.monotonic()
        listening = any(key.data is self._monitor for key in selector.get_map().values())
        if rest <= 0 and not listening:
            selector.register(self._monitor, selectors.EVENT_READ, self._monitor)
        elif rest > 0 and listening:
            selector.unregister(self._monitor)
        if rest <= 0:
            return 0 if self._contest.on else longest_s
        return rest if longest_s is None else min(rest, longest_s)

    def serve(self, ready: list[object]) -> None:
        """What waits of the monitor's, or the look that a contest has due."""
        if self._contest.on:
            if time.monotonic() >= self._listen_at:
                self._look_again()
        elif self._monitor in ready:
            self._notice()

    def poll(self) -> None:
        """After a step that no event caused, and `serve`: whether all that happened before has been
        told of. In a contest or a rest events wait unread, so that nothing can be missed in them.
        """
        if self._contest.on or time.monotonic() < self._listen_at:
            return
        if self._generation is not None and self._monitor.missed(self._generation):
            log.warning("events_missed", generation=self._generation, done="registry loaded anew")
            self._daemon.distrust(Suspicion(everything=True))
            self._step("events missed")

    # --- events ----------------------------------------------------------------------------------

    def _notice(self) -> None:
        """Somebody changed a ruleset, or a device came or went: look whether ours still stands."""
        noticed = self._hear()
        if noticed is None:
            return
        begun = time.monotonic()
        if self._step_for(noticed).result == "unchanged":
            now = time.monotonic()
            self._listen_at = now + REST * (now - begun)

    def _hear(self) -> Noticed | None:
        noticed = notice(self._monitor.drain(), needed(self._daemon.config.policy))
        if noticed is not None:
            self._daemon.distrust(noticed.suspicion)
        return noticed

    def _step_for(self, noticed: Noticed | None) -> Outcome:
        self._noticed = noticed
        try:
            return self._step(noticed.cause if noticed else "contested")
        finally:
            self._noticed = None

    # --- repairs --------------------------------------------------------------------------------

    def account(self, outcome: Outcome, took_s: float) -> None:
        """Tells of a repair, and gives in when there are too many."""
        self._generation = outcome.state.generation if outcome.state else None
        if not outcome.drift or outcome.result == "failed":
            return
        noticed = self._noticed
        culprit = noticed.culprit if noticed else Culprit()
        kinds = ",".join(sorted(outcome.drift))
        by, pid = culprit.program or "", culprit.pid or 0
        what = noticed.cause if noticed else "found by looking"
        log.warning("drift", kinds=kinds, by=by, pid=pid, what=what)
        self._record("repaired", by, kinds=kinds, by=str(culprit))
        self._touched = True
        if outcome.drift == {"link"} or not self._contest.repaired(time.monotonic(), took_s):
            return
        self._daemon.standing_down = (
            f"{culprit} keeps changing table inet enforcer, {self._contest.repairs} times in a row "
            "after it was put right; no window acts until it leaves the table alone, so that "
            "nobody is held back meanwhile; stop that program, or have it spare the table"
        )
        # First nobody is held back; then it is told.
        self._step("contested")
        log.error("contested", by=by, pid=pid, repairs=self._contest.repairs, done="stood down")
        self._record("stood_down", by, by=str(culprit))
        self._touched = False
        self._listen_at = self._contest.look_at

    def _look_again(self) -> None:
        """Stood down: whether the table has been left alone since the last look."""
        begun = time.monotonic()
        noticed = self._hear()
        outcome = self._step_for(noticed)
        touched = self._touched or outcome.result == "failed" or bool(noticed and noticed.touched)
        self._touched = False
        now = time.monotonic()
        if self._contest.looked(now, now - begun, touched=touched):
            self._daemon.standing_down = None
            log.info("contest_over")
            self._record("stood_up")
            self._step("contest over")
        else:
            self._listen_at = self._contest.look_at

    def _record(self, what: str, program: str = "", **more: str) -> None:
        event = Event(self._clock.now(), what, "enforcer", "", "", dict(more))
        # A loop of repairs is a few records that say how often.
        self._recorder.tell_seldom(event, more.get("kinds", ""), program)
