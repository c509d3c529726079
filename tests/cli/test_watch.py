"""`enforcer watch` as a user has it: on a pseudo-terminal, in a pipe, with a daemon that comes and
goes. The control socket is the real one; what it answers is made up.
"""

from __future__ import annotations

import json
import select
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enforcer.listening import ControlSocket
from tests.cli.cli_worlds import Place
from tests.cli.on_terminal import PATIENCE_S, OnTerminal
from tests.cli.test_watch_text import answer


class Office:
    """A daemon that answers `watch` with figures that grow, until it is closed."""

    def __init__(self, directory: Path) -> None:
        self._control = ControlSocket(directory)
        self._open = True
        self.asked = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self._open:
            select.select([self._control], [], [], 0.02)
            self._control.serve_one(self._answer)

    def _answer(self, request: dict[str, Any], _who: str) -> dict[str, Any]:
        assert request == {"verb": "watch"}, "it reads, and asks for nothing else"
        self.asked += 1
        # A second passes from one question to the next.
        return answer(self.asked, 100 * self.asked)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._thread.join()
            self._control.close()


@pytest.fixture
def office(place: Place) -> Iterator[Office]:
    made = Office(place.run_dir)
    yield made
    made.close()


@pytest.fixture
def on_terminal(place: Place) -> Iterator[Any]:
    made: list[OnTerminal] = []

    def make(*argv: str, **more: Any) -> OnTerminal:
        made.append(OnTerminal(place.run_dir, "watch", "--interval", "0.2", *argv, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def ignored_interrupts() -> Iterator[None]:
    """As a shell leaves them to what it puts into the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_screen_that_is_drawn_again_and_again(office: Office, on_terminal: Any) -> None:
    there = on_terminal(columns=100)
    seen = there.until("armed   ddos", "held back        300", "sampled headers")
    assert seen.splitlines()[0].startswith("edge-1, enforcer 0.1.0")
    asked = office.asked
    there.until("held back        300")
    deadline = time.monotonic() + PATIENCE_S
    while office.asked < asked + 3:
        assert time.monotonic() < deadline
        there.read()
    assert (there.screen.scrolled, there.screen.overflowed) == (False, False)
    assert not there.screen.cursor_shown
    assert there.screen.styles(0) == {"bold"}
    assert there.screen.styles(1) == {"green"}
    there.type(b"q")
    assert there.ended() == 0
    assert there.given_back()
    assert there.said == ""


@pytest.mark.parametrize("how", ["ctrl-c", "term", "int"])
def test_however_it_ends_the_terminal_is_given_back_and_it_is_exit_0(
    office: Office, on_terminal: Any, how: str, ignored_interrupts: None
) -> None:
    there = on_terminal()
    there.until("armed   ddos")
    if how == "ctrl-c":
        there.type(b"\x03")
    else:
        there.process.send_signal(signal.SIGTERM if how == "term" else signal.SIGINT)
    assert there.ended() == 0
    assert there.given_back()
    assert there.said == ""


def test_sixty_columns_and_a_terminal_that_changes_its_size(
    office: Office, on_terminal: Any
) -> None:
    there = on_terminal(columns=60, rows=20)
    there.until("sampled headers", "held back", "bit/s")
    assert (there.screen.scrolled, there.screen.overflowed) == (False, False)
    there.resize(40, 8)
    there.process.send_signal(signal.SIGWINCH)
    there.until("window  measure", "packets/s")
    assert (there.screen.scrolled, there.screen.overflowed) == (False, False)
    there.resize(110, 40)
    there.process.send_signal(signal.SIGWINCH)
    there.until("sampled headers", "  packets\n")


def test_no_colour_where_it_is_not_wanted(office: Office, on_terminal: Any) -> None:
    for more, argv in (({"NO_COLOR": "1"}, ()), ({}, ("--color", "never"))):
        there = on_terminal(*argv, **more)
        there.until("armed   ddos", "held back")
        there.type(b"q")
        assert there.ended() == 0
        assert not [one for one in there.raw.split("\x1b") if one.endswith("m")]
        assert there.given_back()


def test_a_terminal_that_cannot_be_drawn_on_gets_lines(office: Office, on_terminal: Any) -> None:
    there = on_terminal("--count", "2", TERM="dumb", columns=200)
    assert there.ended() == 0
    assert "\x1b" not in there.raw
    lines = there.raw.splitlines()
    assert len(lines) == 2
    assert all("Z  ddos: guard let in 300/s 300 kbit/s, guard held back" in one for one in lines)


def test_a_daemon_that_goes_and_comes_back(place: Place, office: Office, on_terminal: Any) -> None:
    there = on_terminal(columns=130)
    there.until("armed   ddos")
    office.close()
    there.until("the daemon does not answer since", "systemctl start enforcer", "armed   ddos")
    again = Office(place.run_dir)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while "does not answer" in there.screen.text:
            assert time.monotonic() < deadline
            there.read()
        there.until("held back        300")
        there.type(b"q")
        assert there.ended() == 0
    finally:
        again.close()


def test_no_daemon_at_all(place: Place, on_terminal: Any) -> None:
    there = on_terminal("--count", "1")
    assert there.ended() == 1
    assert "the daemon does not answer" in there.raw
    assert there.given_back()
    said = place.run("watch", "--count", "2", "--interval", "0.2")
    assert said.code == 1
    assert said.out.count("the daemon does not answer") == 1, "said once"


# --- without a terminal --------------------------------------------------------------------------


@pytest.fixture
def run_dir(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENFORCER_RUN_DIR", str(place.run_dir))
    return place.run_dir


@pytest.mark.usefixtures("run_dir", "office")
def test_json_is_one_object_a_line(place: Place) -> None:
    said = place.run("watch", "--count", "3", "--interval", "0.2", "--format", "json")
    assert (said.code, said.err) == (0, "")
    objects = [json.loads(line) for line in said.out.splitlines()]
    assert len(objects) == 3
    for told in objects:
        assert told["daemon"] is True
        assert {row["verdict"]: row["packets_per_second"] for row in told["rates"]} == {
            "held_back": 300.0, "let_in": 200.0, "marked": 400.0,
        }  # fmt: skip


@pytest.mark.usefixtures("run_dir", "office")
def test_in_a_pipe_there_are_lines_without_a_sequence(place: Place) -> None:
    said = place.run("watch", "--count", "2", "--interval", "0.2")
    assert (said.code, said.err) == (0, "")
    assert "\x1b" not in said.out
    assert len(said.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (("--interval", "0"), "'0' is no interval; write seconds, 0.2 to 3600"),
        (("--interval", "nan"), "'nan' is no interval"),
        (("--interval", "soon"), "'soon' is no interval"),
        (("--count", "0"), "'0' is no number of times; write 1 or more"),
        (("--count", "-1"), "'-1' is no number of times"),
        (("--count", "99999999999"), "is no number of times"),
    ],
)
def test_wrong_arguments(place: Place, argv: tuple[str, str], why: str) -> None:
    said = place.run("watch", *argv)
    assert said.code == 64
    assert why in said.err


@pytest.mark.usefixtures("run_dir")
def test_a_daemon_of_another_version_is_told_from_none(place: Place) -> None:
    control = ControlSocket(place.run_dir)
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            control.serve_one(lambda request, who: {"error": "unknown verb 'watch'"})
            time.sleep(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        said = place.run("watch", "--count", "1", "--interval", "0.2")
    finally:
        stop.set()
        thread.join()
        control.close()
    assert said.code == 1
    assert "unknown verb 'watch'; is it of another version? restart it" in said.out
