"""Whether events were missed is asked of a monitor that was drained, not of one that rests."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from daemon_worlds import INSIDE, World

from enforcer import strangers
from enforcer.contest import BURST
from enforcer.kernel.events import KernelEvent, Monitor
from enforcer.kernel.fake import FakeKernel
from enforcer.reconcile import Outcome
from enforcer.strangers import Strangers


class Waiting(Monitor):
    """The real bookkeeping of generations, over a kernel of values; a drain tells of all."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._heard_nothing({})
        self._kernel = kernel

    def drain(self) -> list[KernelEvent]:
        self._advance(self._kernel.generation())
        return []


class Loop:
    """The part of the service that strangers need, with a clock that tests turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, took_s: float) -> None:
        self.now_s, self.took_s, self.causes = 1000.0, took_s, list[str]()
        monkeypatch.setattr(strangers, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.world = World(INSIDE)
        self.monitor = Waiting(self.world.kernel)
        recorder: Any = SimpleNamespace(tell_seldom=lambda *_: None)
        self.strangers = Strangers(
            self.world.daemon, self.monitor, self.step, recorder, self.world.clock
        )

    def step(self, cause: str) -> Outcome:
        self.causes.append(cause)
        outcome = self.world.daemon.step()
        self.strangers.account(outcome, self.took_s)
        return outcome

    def after(self, seconds: float) -> None:
        self.now_s += seconds
        self.world.clock.at += timedelta(seconds=seconds)

    def timer(self, *, told: bool = True) -> None:
        """A turn of the loop for the timer; `told`: the monitor has what waits, if it is heard."""
        self.after(10)
        heard = told and self.now_s >= self.strangers._listen_at
        self.step("timer")
        self.strangers.serve([self.monitor] if heard else [])
        self.strangers.poll()

    def maps(self) -> list[str]:
        sets = self.world.kernel.read().sets
        return sorted(name for name, held in sets.items() if held.kind == "registered")


def test_in_a_contest_nothing_is_missed_and_the_registry_stays_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A repair of a million prefixes: the pauses are longer than two looks of the timer.
    loop = Loop(monkeypatch, took_s=1.5)
    loop.step("start")
    loop.monitor.drain()
    for _ in range(BURST):
        loop.after(1)
        loop.world.kernel.edit(lambda table: table.rules.clear() if table else None)
        loop.monitor.drain()
        loop.step("ours")
    assert loop.world.daemon.standing_down
    held = loop.maps()
    assert held
    for _ in range(6):
        loop.timer()
        assert loop.maps() == held
    assert "events missed" not in loop.causes
    assert "contest over" in loop.causes


def test_what_nobody_told_of_is_seen_outside_a_contest(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch, took_s=0.01)
    loop.step("start")
    loop.monitor.drain()
    loop.world.kernel.edit()
    loop.timer(told=False)
    assert "events missed" not in loop.causes, "a number may be there before its event"
    loop.timer(told=False)
    assert loop.causes[-1] == "events missed"
