"""The wall clock stepped by an hour, forward and backward, under the real daemon and real packets.

Only inside a virtual machine that tests/vm/run booted for this: the clock of another machine is
never touched. Packets are dated by the monotonic clock, which nobody steps.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enforcer.clock import Timer
from tests.kernel.edge_worlds import LATE_END_S, REGISTERED, STRANGER, Gateway, wall
from tests.kernel.slowness import patient, whole

pytestmark = pytest.mark.kernel
HOUR = 3600
SETTLE_S, LOOK_S = patient(1), patient(2)


@pytest.fixture(autouse=True)
def _only_in_a_machine_made_for_it() -> None:
    if "virtme" not in Path("/proc/cmdline").read_text():
        pytest.skip("steps the clock: only inside tests/vm/run")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    one = Gateway(tmp_path, now=time.monotonic)
    before, since = wall(), time.monotonic()
    try:
        one.build()
        one.start()
        one.stream()
        yield one
    finally:
        one.destroy()
        # Shown when a test fails.
        print((tmp_path / "daemon.log").read_text())
        time.clock_settime(time.CLOCK_REALTIME, before + time.monotonic() - since)


def step(seconds: float) -> float:
    """Steps the wall clock; when that was, on the monotonic one."""
    time.clock_settime(time.CLOCK_REALTIME, wall() + seconds)
    return time.monotonic()


def test_a_step_that_nobody_was_waiting_for_is_told_all_the_same() -> None:
    """Between two armings of the timer, as while the daemon is at work."""
    timer = Timer()
    at_rest = wall(), time.monotonic()
    try:
        for seconds in (HOUR, -HOUR):
            timer.set(time.time_ns() + 10 * HOUR * 10**9)
            step(seconds)
            timer.set(time.time_ns() + 10 * HOUR * 10**9)
            assert select.select([timer], [], [], 1)[0], "not told at once"
            assert timer.drain()
            assert not timer.drain()
            timer.set(time.time_ns() + 10 * HOUR * 10**9)
            assert not select.select([timer], [], [], 0.1)[0]
    finally:
        timer.close()
        time.clock_settime(time.CLOCK_REALTIME, at_rest[0] + time.monotonic() - at_rest[1])


def settled(gateway: Gateway, armed: bool) -> None:
    want: list[str] = ["w0"] if armed else []
    deadline = time.monotonic() + patient(10)
    while gateway.ask("status")["armed"] != want:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(SETTLE_S)


Look = Callable[[float, float], None]


def held(gateway: Gateway) -> Look:
    def look(after: float, before: float) -> None:
        assert gateway.streams[STRANGER].count(after, before) > 10
        assert gateway.streams[STRANGER].through(after, before) == []

    return look


def passing(gateway: Gateway) -> Look:
    def look(after: float, before: float) -> None:
        assert gateway.streams[STRANGER].count(after, before) > 10
        assert gateway.streams[STRANGER].lost(after, before) == []

    return look


def after_step(gateway: Gateway, seconds: float, look: Look) -> None:
    """Steps, waits half a second, and looks at what was sent from then on."""
    stepped = step(seconds)
    time.sleep(LATE_END_S + LOOK_S)
    begin, end = stepped + LATE_END_S, time.monotonic()
    gateway.end_stream()
    look(begin, end)
    assert gateway.streams[REGISTERED].lost() == [], f"stepped at {stepped}"


def test_forward_over_the_end_ends_it(gateway: Gateway) -> None:
    now = int(wall())
    gateway.declare((now - 60, now + HOUR // 2))
    settled(gateway, armed=True)
    after_step(gateway, HOUR, passing(gateway))


def test_backward_to_before_the_opening_ends_it(gateway: Gateway) -> None:
    now = int(wall())
    gateway.declare((now - HOUR // 2, now + HOUR))
    settled(gateway, armed=True)
    after_step(gateway, -HOUR, passing(gateway))


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_step_within_the_window_lets_nobody_slip_in(gateway: Gateway, seconds: int) -> None:
    now = int(wall())
    gateway.declare((now - 2 * HOUR, now + 2 * HOUR))
    settled(gateway, armed=True)
    armed = time.monotonic()
    after_step(gateway, seconds, lambda _, before: held(gateway)(armed, before))


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_a_step_into_a_window_opens_it(gateway: Gateway, seconds: int) -> None:
    middle = int(wall()) + seconds
    gateway.declare((middle - HOUR // 2, middle + HOUR // 2))
    settled(gateway, armed=False)
    after_step(gateway, seconds, held(gateway))


def test_stepped_backward_a_window_still_ends_at_its_declared_end(gateway: Gateway) -> None:
    """A kernel timeout that was right before the step would be wrong by an hour after it."""
    now = int(wall())
    end = now - HOUR + whole(15)
    gateway.declare((now - 2 * HOUR, end), (now - 2 * HOUR, now + whole(60)))
    step(-HOUR)
    gateway_end = time.monotonic() + end - wall()
    time.sleep(max(0.0, gateway_end - time.monotonic()) + LATE_END_S)
    sets = gateway.ask("status")["armed"]
    assert sets == ["w1"]


def test_killed_and_stepped_the_kernel_ends_it_after_its_length(gateway: Gateway) -> None:
    """Without a daemon nobody tells the kernel of a step: its timeout counts elapsed time."""
    now, lasts_s = int(wall()), whole(6)
    gateway.declare((now - 60, now + lasts_s))
    settled(gateway, armed=True)
    end = time.monotonic() + now + lasts_s - wall()
    gateway.kill()
    step(-HOUR)
    time.sleep(max(0.0, end - time.monotonic()) + LATE_END_S + LOOK_S)
    gateway.end_stream()
    passing(gateway)(end + LATE_END_S, time.monotonic())
