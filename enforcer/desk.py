"""Where the daemon takes decisions of people: requests of the control socket → standing orders.

In: a request and who makes it, by the kernel's word. Out: an answer; the daemon has the orders, the
disk and the record have them too. It never steps: whoever calls it lets the daemon step afterwards,
and asks `warning` then: what ends a window is not put off until the disk has it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from enforcer import decisions, log
from enforcer.clock import Clock
from enforcer.daemon import Daemon
from enforcer.decisions import Decision, RefusedError
from enforcer.notary import Notary, Warned
from enforcer.observe.snapshot import Occurrence, Snapshot, in_force
from enforcer.observe.views import window_views
from enforcer.policy.times import saved_or_none
from enforcer.reconcile import Outcome
from enforcer.schedule.orders import Order
from enforcer.schedule.past import PastGuards

Answer = dict[str, Any]
VERBS = ("confirm", "close", "declared", "disarm")
NOT_UNDERSTOOD = "the request is not understood"


class Desk:
    """Decides for `daemon`; `notary` keeps what was decided. `past` tells guard on the record."""

    def __init__(
        self,
        daemon: Daemon,
        clock: Clock,
        notary: Notary,
        past: Callable[[datetime], PastGuards] = lambda _: (),
    ) -> None:
        self._daemon, self._clock, self._notary, self._past = daemon, clock, notary, past
        self._warned: Warned = _nothing
        self._busy = False

    def serve(self, request: dict[str, Any], who: str) -> Answer | None:
        """`{"error", "warning", "windows", "occurrence"}`; None when the verb is not for here.

        Requests: `confirm` {id, shift_s, at}, `close` {id, at}, `declared` {id, within_s} after
        its file was loaded, `disarm`. Instants are ISO 8601.
        """
        if request["verb"] not in VERBS:
            return None
        self._daemon.clock.look()
        try:
            decision = self._decide(request, who)
            self._take(decision)
        except RefusedError as refused:
            return _answer(error=str(refused))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return _answer(error=f"{NOT_UNDERSTOOD}: {error!r}")
        now = self._clock.now()
        entry = decision.entry
        view = window_views([Occurrence.of(entry, now)])[0] if entry else None
        windows = sorted({event.window for event in decision.events if event.window})
        answer = _answer(windows=windows, occurrence=view)
        return {**answer, "closed": windows} if request["verb"] == "disarm" else answer

    def warning(self) -> str | None:
        """What went wrong with the last decision that was taken all the same."""
        warned, self._warned = self._warned, _nothing
        return warned()

    def lapse(self) -> None:
        """Notes trials that ended unconfirmed. They have ended already: their arming ran out."""
        clock = self._daemon.clock
        clock.look()
        # A step while a decision waits for the disk: it was taken under the orders as they are. And
        # by a clock that ran away for a moment a trial would be closed for good.
        if self._busy or not clock.known:
            return
        before = self._daemon.orders
        decision = decisions.lapse(self._daemon.config.policy, before, self._now())
        if decision is None:
            return
        self._notary.ending(before, decision)
        self._daemon.orders = decision.orders
        for event in decision.events:
            log.warning("lapsed", window=event.window, reason="not confirmed in time")

    def heed(self) -> tuple[Order, ...]:
        """Takes over what was ended behind the daemon's back, as it is on the disk. Whoever did
        that has put it on record.
        """
        if self._busy:
            # As in `lapse`; the step that follows the decision comes here again.
            return ()
        written, problem = self._notary.written()
        if problem is not None:
            log.warning("orders_not_read_again", error=problem)
        before = self._daemon.orders
        ended = before.ended_in(written)
        if ended:
            self._daemon.orders = after = before.given(ended)
            if after != written:
                self._notary.ending(written, Decision(after, (), None, opens=False))
        return ended

    def _decide(self, request: dict[str, Any], who: str) -> Decision:
        policy, orders, now = self._daemon.config.policy, self._daemon.orders, self._now()
        at, past = saved_or_none(request.get("at")), self._past(now)
        match request["verb"]:
            case "confirm":
                shift = _span(request.get("shift_s"))
                return decisions.confirm(policy, orders, now, _id(request), who, shift, at, past)
            case "close":
                return decisions.close(policy, orders, now, _id(request), who, at)
            case "declared":
                within = _span(request.get("within_s"))
                return decisions.declare(policy, orders, now, _id(request), who, within, past)
        return decisions.close_all(orders, now, self._daemon.on(), who)

    def _take(self, decision: Decision) -> None:
        before, self._warned = self._daemon.orders, _nothing
        if decision.opens:
            self._busy = True
            try:
                self._notary.opening(before, decision)
            finally:
                self._busy = False
        else:
            self._warned = self._notary.ending(before, decision)
        self._daemon.orders = decision.orders

    def _now(self) -> datetime:
        return self._clock.now()


def _nothing() -> str | None:
    return None


def stepped(answer: Answer, outcome: Outcome, seen: Snapshot) -> Answer:
    """An answer with what the step behind it did: only then it is known what is in force. `waiting`
    are windows that wait for the clock, `problem` is what stands against what is wanted.
    """
    view = answer["occurrence"]
    if view is not None:
        view = {**view, "state": in_force(view["state"], view["id"], outcome.armed)}
    return {
        **answer,
        "error": str(outcome.error) if outcome.error else None,
        "occurrence": view,
        "armed": list(outcome.armed),
        "waiting": list(seen.blamed_on_clock),
        "problem": seen.problem,
        "clock": {"synchronised": seen.clock_synchronised},
    }


def _answer(
    error: str | None = None,
    windows: list[str] | None = None,
    occurrence: dict[str, Any] | None = None,
) -> Answer:
    windows = windows or []
    return {"error": error, "warning": None, "windows": windows, "occurrence": occurrence}


def _id(request: dict[str, Any]) -> str:
    window_id = request["id"]
    if not isinstance(window_id, str):
        raise TypeError("id is no text")
    return window_id


def _span(seconds: Any) -> timedelta | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int):
        raise TypeError("a span is a whole number of seconds")
    return timedelta(seconds=seconds)
