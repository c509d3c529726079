"""Where the daemon takes decisions of people: requests of the control socket → standing orders.

In: a request and who makes it, by the kernel's word. Out: an answer; the daemon has the orders, the
disk and the record have them too. It never steps: whoever calls it lets the daemon step afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from enforcer import decisions, log
from enforcer.clock import Clock
from enforcer.daemon import Daemon
from enforcer.decisions import Decision, RefusedError
from enforcer.observe.audit import Event
from enforcer.observe.snapshot import Occurrence, Snapshot, in_force
from enforcer.observe.views import window_views
from enforcer.reconcile import Outcome
from enforcer.schedule.past import PastGuards

Answer = dict[str, Any]
VERBS = ("confirm", "close", "declared", "disarm")
NOT_UNDERSTOOD = "the request is not understood"


class Desk:
    """Decides for `daemon`, and keeps what was decided in `state_dir`; `put` is how it gets on
    record (raises OSError when it does not), `later` how it does when there is room again; `past`
    tells guard on the record.
    """

    def __init__(
        self,
        daemon: Daemon,
        state_dir: Path,
        clock: Clock,
        put: Callable[[Event], object] | None = None,
        past: Callable[[datetime], PastGuards] = lambda _: (),
        later: Callable[[Event], object] | None = None,
    ) -> None:
        self._daemon, self._state_dir, self._clock = daemon, state_dir, clock
        self._put, self._past, self._later = put, past, later

    def serve(self, request: dict[str, Any], who: str) -> Answer | None:
        """`{"error", "warning", "windows", "occurrence"}`; None when the verb is not for here.

        Requests: `confirm` {id, shift_s, at}, `close` {id, at}, `declared` {id, within_s} after
        its file was loaded, `disarm`. Instants are ISO 8601.
        """
        if request["verb"] not in VERBS:
            return None
        try:
            decision = self._decide(request, who)
            warning = self._take(decision)
        except RefusedError as refused:
            return _answer(error=str(refused))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            return _answer(error=f"{NOT_UNDERSTOOD}: {error!r}")
        now = self._clock.now()
        entry = decision.entry
        view = window_views([Occurrence.of(entry, now)])[0] if entry else None
        windows = sorted({event.window for event in decision.events if event.window})
        answer = _answer(warning=warning, windows=windows, occurrence=view)
        return {**answer, "closed": windows} if request["verb"] == "disarm" else answer

    def lapse(self) -> None:
        """Notes trials that ended unconfirmed. They have ended already: their arming ran out."""
        decision = decisions.lapse(self._daemon.config.policy, self._daemon.orders, self._now())
        if decision is None:
            return
        warning = self._take(decision)
        for event in decision.events:
            log.warning("lapsed", window=event.window, reason="not confirmed in time")
        if warning:
            log.error("orders_not_kept", error=warning)

    def _decide(self, request: dict[str, Any], who: str) -> Decision:
        policy, orders, now = self._daemon.config.policy, self._daemon.orders, self._now()
        at, past = _instant(request.get("at")), self._past(now)
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

    def _take(self, decision: Decision) -> str | None:
        before = self._daemon.orders
        warning = decisions.keep(self._state_dir, before, decision, self._put, self._later)
        self._daemon.orders = decision.orders
        return warning

    def _now(self) -> datetime:
        return self._clock.now()


def stepped(answer: Answer, outcome: Outcome, seen: Snapshot) -> Answer:
    """An answer with what the step behind it did: only then it is known what is in force. `waiting`
    are windows that nothing new may arm, `problem` is what stands against what is wanted.
    """
    view = answer["occurrence"]
    if view is not None:
        view = {**view, "state": in_force(view["state"], view["id"], outcome.armed)}
    return {
        **answer,
        "error": str(outcome.error) if outcome.error else None,
        "occurrence": view,
        "armed": list(outcome.armed),
        "waiting": list(outcome.waiting),
        "problem": seen.problem,
        "clock": {"synchronised": seen.clock_synchronised},
    }


def _answer(
    error: str | None = None,
    warning: str | None = None,
    windows: list[str] | None = None,
    occurrence: dict[str, Any] | None = None,
) -> Answer:
    windows = windows or []
    return {"error": error, "warning": warning, "windows": windows, "occurrence": occurrence}


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


def _instant(text: Any) -> datetime | None:
    if text is None:
        return None
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant needs an offset")
    return instant.astimezone(UTC)
