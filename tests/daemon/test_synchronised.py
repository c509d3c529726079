"""Asking another process for the clock: what an answer is worth, and what none is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from enforcer import clockd, log, synchronised
from enforcer.clock import SystemClock
from enforcer.synchronised import AskedClock


@dataclass
class Keeper:
    """`enforcer-clock` in a thread; `right` is what it reads."""

    path: Path
    right: bool = True
    read: int = 0
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, idle_s: float = 5.0) -> None:
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.path))
        listener.listen()
        thread = threading.Thread(target=self._serve, args=(listener, idle_s))
        thread.start()
        self.threads.append(thread)

    def _serve(self, listener: socket.socket, idle_s: float) -> None:
        with listener:
            clockd.serve(listener, self._look, idle_s)

    def _look(self) -> bool:
        self.read += 1
        return self.right


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path / "clock.sock")
    yield made
    for thread in made.threads:
        thread.join(20)
        assert not thread.is_alive()


@dataclass
class Turned:
    """Elapsed time and the wall clock, as a test turns them."""

    elapsed_s: float = 1000.0
    offset_ns: int = 0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Turned:
    turned = Turned()
    monkeypatch.setattr(synchronised.time, "monotonic", lambda: turned.elapsed_s)
    monkeypatch.setattr(synchronised, "_offset_ns", lambda: turned.offset_ns)
    return turned


def test_an_answer_serves_for_five_seconds(keeper: Keeper, time: Turned) -> None:
    keeper.start(idle_s=0.5)
    with closing(AskedClock(keeper.path)) as clock:
        assert clock.synchronised()
        keeper.right = False
        time.elapsed_s += 4.9
        assert clock.synchronised()
        assert keeper.read == 1
        time.elapsed_s += 0.2
        assert not clock.synchronised()
        assert keeper.read == 2


@pytest.mark.parametrize("seconds", [1, -3600, 50 * 365 * 86400])
def test_a_step_makes_an_answer_worthless(keeper: Keeper, time: Turned, seconds: int) -> None:
    keeper.start(idle_s=0.5)
    with closing(AskedClock(keeper.path)) as clock:
        assert clock.synchronised()
        keeper.right = False
        time.offset_ns += seconds * 10**9
        assert not clock.synchronised(), "asked anew at once"


def test_slewing_is_no_step(keeper: Keeper, time: Turned) -> None:
    keeper.start(idle_s=0.5)
    with closing(AskedClock(keeper.path)) as clock:
        assert clock.synchronised()
        time.offset_ns += 50_000_000
        assert clock.synchronised()
        assert keeper.read == 1


def test_nobody_there_is_not_synchronised_and_says_what_to_start(
    tmp_path: Path, time: Turned
) -> None:
    clock = AskedClock(tmp_path / "clock.sock")
    assert not clock.synchronised()
    assert clock.problem is not None
    assert clock.problem.endswith("; start it with systemctl start enforcer-clock.socket")


def test_one_that_is_gone_is_asked_again_and_its_last_word_serves_a_minute(
    keeper: Keeper, time: Turned
) -> None:
    keeper.start(idle_s=0.2)
    with closing(AskedClock(keeper.path)) as clock:
        assert clock.synchronised()
        keeper.threads[0].join(20)
        time.elapsed_s += 59
        assert clock.synchronised(), "its last word"
        assert clock.problem is not None
        keeper.start(idle_s=0.5)
        time.elapsed_s += 0.5
        keeper.right = False
        assert clock.synchronised(), "not asked again within a second"
        time.elapsed_s += 1
        assert not clock.synchronised()
        assert clock.problem is None


def test_no_word_for_a_minute_or_a_step_meanwhile_is_not_synchronised(
    keeper: Keeper, time: Turned
) -> None:
    for seconds, stepped in ((60.5, 0), (6.0, 10**10)):
        keeper.start(idle_s=0.2)
        with closing(AskedClock(keeper.path)) as clock:
            assert clock.synchronised()
            keeper.threads[-1].join(20)
            time.elapsed_s += seconds
            time.offset_ns += stepped
            assert not clock.synchronised()


def test_one_that_hangs_costs_a_moment_and_is_not_waited_for_each_time(
    tmp_path: Path, time: Turned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synchronised, "PATIENCE_S", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hung:
        hung.bind(str(tmp_path / "clock.sock"))
        hung.listen()
        clock = AskedClock(tmp_path / "clock.sock")
        assert not clock.synchronised()
        monkeypatch.setattr(AskedClock, "_exchange", lambda _: pytest.fail("asked at once"))
        assert not clock.synchronised()


def test_many_who_ask_are_served_and_nobody_keeps_the_place_for_ever(keeper: Keeper) -> None:
    keeper.start(idle_s=1.0)
    silent = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
    for one in silent:
        one.connect(str(keeper.path))
    with closing(AskedClock(keeper.path)) as clock:
        assert clock.synchronised()
    for one in silent:
        one.close()


def test_where_the_kernel_may_not_be_asked_the_keeper_is(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("text", journal=False)
    monkeypatch.setattr("enforcer.clock.kernel_says", lambda: None)
    monkeypatch.setenv("ENFORCER_CLOCK_SOCKET", str(keeper.path))
    clock = SystemClock()
    assert not clock.synchronised()
    assert not clock.synchronised()
    assert capsys.readouterr().err.count("warning clock_unknown reason=") == 1, "said once"
    keeper.start(idle_s=0.5)
    monkeypatch.setattr(synchronised, "AGAIN_S", 0.0)
    assert clock.synchronised()


@pytest.mark.parametrize("said", [True, False])
def test_where_it_may_be_asked_its_word_counts(monkeypatch: pytest.MonkeyPatch, said: bool) -> None:
    monkeypatch.setattr("enforcer.clock.kernel_says", lambda: said)
    assert SystemClock().synchronised() is said


def test_started_by_hand_it_says_how_it_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert clockd.main() == 64
    assert "systemctl start enforcer-clock.socket" in capsys.readouterr().err
