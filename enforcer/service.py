"""The daemon among the living: signals, timer, netlink events, control socket, metrics, systemd.

One thread, one loop: it waits for something to happen and steps. Scrapes are answered by a thread
of the status port from the last snapshot, so a slow scraper holds nobody up; and what goes to the
disk is written by the scribe, so a slow disk holds nobody up either.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from enforcer import __version__, log
from enforcer.accepting import Acceptance
from enforcer.chronicle import Chronicle
from enforcer.clock import Timer
from enforcer.control import Answer
from enforcer.daemon import Daemon
from enforcer.desk import NOT_UNDERSTOOD, Desk, stepped
from enforcer.errors import PolicyError
from enforcer.explaining import Explainer
from enforcer.feedlooks import FeedLooks
from enforcer.grounds import behind
from enforcer.keeping import Keeper
from enforcer.kernel.events import Monitor
from enforcer.listening import ControlSocket
from enforcer.loading import Loading
from enforcer.notary import Clerk
from enforcer.notify import notify, patience, watchdog_interval_s
from enforcer.observe.audit import Event
from enforcer.observe.http.routes import Sight
from enforcer.observe.metrics import Metrics
from enforcer.observe.snapshot import Snapshot
from enforcer.observe.views import status_view, utc_text
from enforcer.observe.watching import watch_view
from enforcer.policy.shrinking import ShrinkError
from enforcer.port import StatusPort
from enforcer.reconcile import Outcome
from enforcer.reloading import Reloaded, compared, warning_of
from enforcer.retry import Retry
from enforcer.ruleset.compiler import epoch_ns
from enforcer.sampler import Sampler
from enforcer.saying import Saying
from enforcer.scribe import Job
from enforcer.signals import Signals
from enforcer.sources.files import RegistryError
from enforcer.sources.load import Configuration, with_policy, with_registry
from enforcer.strangers import Strangers

# Who acts when nobody asked at the control socket.
ITSELF = "enforcer"
# So long whoever decides something waits for the disk; the kernel is seen to meanwhile.
DISK_S = 2.0
NOT_BY_THE_FILES = "it goes by the registrations in force, for the registry files are refused"
# Half of what `disarm` waits before it acts itself (control.ANSWER_S).
AWAY_S = 5.0


@dataclass(frozen=True, slots=True)
class Places:
    """`config` is the absolute path of enforcer.yaml."""

    config: Path
    state_dir: Path


class Service:
    """Runs `daemon` until SIGTERM or SIGINT. `metrics` is filled as things happen."""

    def __init__(
        self,
        daemon: Daemon,
        monitor: Monitor,
        control: ControlSocket,
        signals: Signals,
        places: Places,
        keeper: Keeper,
        chronicle: Chronicle,
        sampler: Sampler,
    ) -> None:
        self._daemon, self._control, self._sampler = daemon, control, sampler
        self._signals, self._places = signals, places
        self._clock = daemon.clock
        self._chronicle, self._recorder = chronicle, chronicle.recorder
        clerk = Clerk(places.state_dir, chronicle, self._wait)
        self._desk = Desk(daemon, self._clock, clerk, chronicle.past)
        self._timer = Timer()
        self._snapshot: Snapshot | None = None
        self.metrics = Metrics(
            lambda: self._snapshot, daemon.totals.now, lambda: self._recorder.state
        )
        sampler.tells(self.metrics.sampled)
        self._port: StatusPort | None = None
        self._turned_s = time.monotonic()
        self._keeper, self._loading = keeper, Loading(places.state_dir, self._recorder.scribe)
        self._feeds = FeedLooks(places.config.parent)
        self._declared = False
        self._retry = Retry()
        self._told = ""
        self._saying = Saying()
        self._strangers = Strangers(daemon, monitor, self.step, self._recorder, self._clock)

    def open_port(self) -> None:
        """Serves metrics and status from now on. Raises OSError or TlsError."""
        sight = Sight(
            lambda: self._snapshot,
            lambda: self._daemon.orders,
            self.metrics.registry,
            self._clock.now,
            lambda: time.monotonic() - self._turned_s,
            __version__,
            totals=self._daemon.totals.now,
            explain=Explainer(lambda: self._snapshot, lambda: self._daemon.orders, self._clock.now),
            record=lambda: self._recorder.state,
            samples=self._sampler.counts,
        )
        metrics = self._daemon.config.policy.metrics
        self._port = StatusPort(metrics, self._places.config.parent, sight)

    # --- steps -------------------------------------------------------------------------------

    def step(self, cause: str) -> Outcome:
        log.settle()
        self._heed()
        self._desk.lapse()
        begun = time.monotonic()
        outcome = self._account(cause, self._daemon.step)
        if not self._declared and outcome.error is None:
            # A daemon that cannot start leaves no trace.
            self._loaded(ITSELF, "start")
        now = self._clock.now()
        armed = [a for a in self._daemon.active(now) if a.id in outcome.armed]
        stood_down = self._daemon.standing_down is not None
        self._chronicle.after(now, armed, outcome, "stood_down" if stood_down else "withdrawn")
        self._strangers.account(outcome, time.monotonic() - begun)
        return outcome

    def _heed(self) -> None:
        """After a start, and after so long at something else that whoever asked may have given up
        and acted in our place: what they ended stays ended.
        """
        if self._declared and time.monotonic() - self._turned_s < AWAY_S:
            return
        for order in self._desk.heed():
            at = order.given_at or self._clock.now()
            self._chronicle.note(Event(at, "disarmed", order.by, order.window, ""))
            log.warning("ended_meanwhile", window=order.window, by=order.by)

    def _loaded(self, who: str, cause: str, but: object = None) -> None:
        """Tells the record what is declared now; `but` is a window that the desk tells of."""
        self._declared = True
        self._chronicle.loaded(self._daemon.config, self._clock.now(), who, cause, but)

    def _account(self, cause: str, act: Callable[[], Outcome]) -> Outcome:
        started = time.perf_counter()
        self._sampler.changing()
        outcome = act()
        daemon, active = self._daemon, self._daemon.active(self._clock.now())
        self._sampler.settled(behind(outcome, daemon.config, daemon.tables, daemon.day, active))
        self.metrics.apply_seconds.observe(time.perf_counter() - started)
        self.metrics.applies.labels(outcome.result).inc()
        self._snapshot = self._look()
        self._retry.stepped(self._clock.now_ns(), failed=outcome.result == "failed")
        if outcome.result != "failed" and not outcome.violations:
            self._keeper.keep(self._daemon.config, self._daemon.loaded_at)
        if outcome.error is None:
            self._saying.problem(self._snapshot.problem, daemon.standing_down)
        known, seconds = daemon.orders.readable, time.perf_counter() - started
        self._saying.step(cause, outcome, seconds, orders_known=known)
        return outcome

    def _look(self) -> Snapshot:
        snapshot = self._daemon.snapshot()
        fetched = self._feeds.now(snapshot.policy.registry.feeds)
        return replace(snapshot, last_good=self._keeper.state, fetched=fetched)

    # --- the loop ----------------------------------------------------------------------------

    def run(self) -> None:
        """Serves until told to stop; `step` has succeeded once before."""
        with selectors.DefaultSelector() as selector:
            for source in (self._signals, self._timer, self._control):
                selector.register(source, selectors.EVENT_READ, source)
            interval = watchdog_interval_s()
            self._tell_status("READY=1")
            while not self._signals.stop:
                self._set_timer()
                wait_s = self._strangers.attend(selector, interval)
                ready = [key.data for key, _ in selector.select(wait_s)]
                self._turned_s = time.monotonic()
                notify("WATCHDOG=1")
                self._serve(ready)
                self._tell_status()
        notify("STOPPING=1")
        if self._daemon.config.policy.gateway.on_stop == "release":
            released = self._account("stop", self._daemon.release)
            certain = released.result != "failed"
            self._chronicle.stepped(self._clock.now(), (), certain=certain, otherwise="stopped")
        self._recorder.finish()
        snapshot = self._snapshot
        log.info("stopped", armed=",".join(snapshot.armed) if snapshot else "")

    def _serve(self, ready: list[object]) -> None:
        self._signals.drain()
        # First what people ask: after a pause nothing is armed again that they want disarmed.
        self._control.serve_one(self._handle)
        if self._signals.take_hangup():
            self._reload(ITSELF, "SIGHUP")
        if self._timer in ready:
            stepped = self._timer.drain()
            if stepped:
                log.warning("clock_stepped")
            self.step("clock step" if stepped else "timer")
        self._strangers.serve(ready)
        if self._timer in ready:
            self._strangers.poll()

    def _set_timer(self) -> None:
        wake = epoch_ns(self._daemon.next_wake())
        first = wake if self._retry.at_ns is None else min(wake, self._retry.at_ns)
        self._timer.set(self._clock.shown_ns(first))

    def _wait(self, job: Job) -> bool:
        """Waits for the disk in the middle of a request; what comes due meanwhile is done."""
        until_s = time.monotonic() + max(0.0, DISK_S - self._recorder.scribe.hangs_s())
        while not job.wait(0):
            left_s = until_s - time.monotonic()
            due_s = (epoch_ns(self._daemon.next_wake()) - self._clock.now_ns()) / 10**9
            if due_s <= 0:
                self.step("timer")
            elif left_s <= 0:
                return False
            else:
                job.wait(min(left_s, due_s))
        return True

    def _reload(
        self, who: str, cause: str, accepts: Acceptance | None = None, but: object = None
    ) -> Reloaded:
        """Reads the configuration anew, for `who` asked at the socket."""
        return self._reloaded(self._daemon.reload, who, cause, accepts, but)

    def _reload_registry(self, who: str, cause: str, accepts: Acceptance | None) -> Reloaded:
        """The registry files alone, under the policy in force: what else somebody is writing in the
        configuration is not looked at.
        """
        read = partial(with_registry, self._places.config)
        done = self._reloaded(partial(self._daemon.reload_part, read), who, cause, accepts)
        if done.refusal is None and isinstance(self._daemon.refused, RegistryError | ShrinkError):
            # What was refused before was the registry: that may be mended by now.
            self._reload(who, cause)
        return done

    def _reload_for(self, window: object, who: str, cause: str) -> tuple[Reloaded, str | None]:
        """Everything, for a window that is declared; or, where the registry files alone are
        refused, everything else: who declares one in need waits for no feed. Second: a warning.
        """
        done = self._reload(who, cause, but=window)
        if not isinstance(done.refusal, RegistryError | ShrinkError):
            return done, None
        now = self._clock.now()
        under = self._daemon.orders, self._chronicle.past(now)

        def read(before: Configuration) -> Configuration:
            return with_policy(self._places.config, before, now, *under)

        rest = self._reloaded(lambda _: self._daemon.reload_part(read), who, cause, None, window)
        if rest.refusal is not None:
            return done, None
        return rest, f"{NOT_BY_THE_FILES}: {done.error}"

    def _reloaded(
        self,
        load: Callable[[Acceptance | None], PolicyError | None],
        who: str,
        cause: str,
        accepts: Acceptance | None,
        but: object = None,
    ) -> Reloaded:
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        before = self._snapshot.armed if self._snapshot else ()
        with self._loading, patience():
            error = load(accepts)
            if error is not None:
                first = error.problems[0].for_all
                log.error("reload_refused", cause=cause, errors=error.count, first=first, by=who)
                self._recorder.refused_load(error, who, cause)
            else:
                self._loaded(who, cause, but)
            outcome = self.step("reload")
        if self._port is not None:
            self._port.renew(self._daemon.config.policy.metrics)
        if error is None:
            windows = len(self._daemon.config.policy.windows)
            log.info("reloaded", cause=cause, windows=windows, by=who)
        self._tell_status("READY=1")
        assert self._snapshot is not None, "a step looks"
        return Reloaded.of(error, outcome, before, self._snapshot)

    def _tell_status(self, *more: str) -> None:
        """The line of `systemctl status`, when it changes or there is `more` to tell."""
        armed = self._snapshot.armed if self._snapshot else ()
        line = f"STATUS=armed: {', '.join(armed)}" if armed else "STATUS=no window armed"
        if more or line != self._told:
            notify(*more, line)
            self._told = line

    # --- the control socket ------------------------------------------------------------------

    def _handle(self, request: dict[str, Any], who: str) -> Answer:
        verb = request["verb"]
        if verb == "status" and self._snapshot is not None:
            return self._status()
        if verb == "watch" and self._snapshot is not None:
            return self._watched()
        if verb == "reload":
            return self._reload_asked(request, who)
        if verb == "compare":
            orders, config = self._daemon.orders, self._daemon.config
            return compared(request, self._places.config, self._clock.now(), orders, config)
        unread: str | None = None
        if verb == "declared":
            loaded, unread = self._reload_for(request.get("id"), who, verb)
            if loaded.refusal is not None:
                # What the kernel refuses is no reason to take it back: it opens as soon as it can.
                return {"error": loaded.error}
        answer = self._desk.serve(request, who)
        if answer is None:
            self._refused("unknown", who, request, NOT_UNDERSTOOD)
            return {"error": f"unknown verb {verb!r}"}
        if answer["error"] is not None:
            self._refused(verb, who, request, answer["error"])
            return answer
        log.warning(verb, by=who, windows=",".join(answer["windows"]))
        # The disk comes after the kernel: what is closed does not stay open until it answers.
        outcome = self.step(verb)
        assert self._snapshot is not None, "a step looks"
        answer = stepped(answer, outcome, self._snapshot)
        warnings = [self._desk.warning(), unread]
        if verb in ("declared", "confirm"):
            warnings.append(warning_of(outcome, self._snapshot))
        return {**answer, "warning": "\n".join(filter(None, warnings)) or None}

    def _status(self) -> Answer:
        samples = self._sampler.counts()
        return status_view(self._look(), __version__, self._recorder.state, samples)

    def _watched(self) -> Answer:
        totals, rows = self._daemon.totals.now, self._sampler.rows()
        at, monotonic_s = utc_text(self._clock.now()), time.monotonic()
        return watch_view(self._status(), totals, rows, at=at, monotonic_s=monotonic_s)

    def _reload_asked(self, request: dict[str, Any], who: str) -> Answer:
        """With the path of the configuration as `registry` only the registry files are read."""
        token, config = request.get("accept_shrink"), request.get("registry")
        accepts = None
        if config is not None and config != str(self._places.config):
            return {"error": f"the daemon reads {self._places.config}", "elsewhere": True}
        if isinstance(token, str):
            put = partial(self._recorder.put, wait=self._wait)
            accepts = Acceptance(token, who, self._clock.now, put)
        log.info("reload_asked", by=who, accept_shrink=token or "none")
        load = self._reload if config is None else self._reload_registry
        done = load(who, "reload" if config is None else "feed", accepts)
        if accepts and isinstance(done.refusal, ShrinkError):
            return done.answer(f"the files hold another update than {token} by now:\n")
        return done.answer()

    def _refused(self, verb: str, who: str, request: dict[str, Any], error: str) -> None:
        log.warning("refused", verb=verb, by=who, error=error)
        window = self._daemon.config.policy.window(str(request.get("id", "")))
        why = None if error.startswith(NOT_UNDERSTOOD) else error
        self._recorder.refused_request(verb, who, window, why)

    def close(self) -> None:
        if self._port is not None:
            self._port.close()
        self._timer.close()
        self._keeper.close()
        self._sampler.close()
