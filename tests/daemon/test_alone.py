"""One daemon in a network namespace, and nobody else who can keep it from starting."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import uuid
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from enforcer import alone as module
from enforcer.alone import Alone, NotAloneError
from enforcer.listening import ControlSocket

PATIENCE_S = 20
# A child that holds the name until its standard input ends.
HOLDER = (
    "import sys; from enforcer.alone import Alone; a = Alone(sys.argv[1].replace('@', chr(0)));"
)
HOLDER += "print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def name() -> str:
    return f"\0enforcer-test/{uuid.uuid4()}"


def test_the_second_is_told_who_holds_it_and_the_third_too(name: str) -> None:
    with closing(Alone(name)):
        for _ in range(2):
            with pytest.raises(NotAloneError, match=f"process {os.getpid()}, uid {os.getuid()}$"):
                Alone(name)
    Alone(name).close()


def test_a_killed_holder_holds_nobody_up(name: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name.replace("\0", "@")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(NotAloneError, match=f"process {holder.pid},"):
            Alone(name)
        holder.kill()
        holder.wait()
        Alone(name).close()


def test_more_may_ask_than_wait_in_the_queue_while_the_holder_turns_them_away(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUEUE", 1)
    with closing(Alone(name)) as held:
        for _ in range(5):
            with pytest.raises(NotAloneError):
                Alone(name)
            held.turn_away()


# Connects again and again, and says when it has begun; until its standard input ends.
FLOOD = """
import select, socket, sys
name, began = sys.argv[1].replace("@", chr(0)), False
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(50):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as s:
            try:
                s.connect(name)
            except BlockingIOError:
                pass
    if not began:
        print("began", flush=True)
        began = True
"""


def test_whoever_asks_without_end_is_turned_away_without_holding_the_loop(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUEUE", 4)
    with closing(Alone(name)) as held, ExitStack() as opened:
        accepted = 0
        accept = held._socket.accept

        class Counting:
            def accept(self) -> object:
                nonlocal accepted
                # As when somebody is always there again.
                while not select.select([held_socket], [], [], PATIENCE_S)[0]:
                    raise AssertionError("nobody asks")
                accepted += 1
                assert accepted < 100, "it does not come to an end"
                return accept()

        command = [sys.executable, "-c", FLOOD, name.replace("\0", "@")]
        flood = opened.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        opened.callback(flood.kill)
        assert flood.stdout is not None
        assert flood.stdout.readline() == b"began\n"
        held_socket, held._socket = held._socket, Counting()  # type: ignore[assignment]
        try:
            held.turn_away()
        finally:
            held._socket = held_socket
        assert 0 < accepted <= 5


def test_nobody_who_asks_wakes_the_loop(name: str, tmp_path: Path) -> None:
    with closing(ControlSocket(tmp_path)) as control, closing(Alone(name)) as held:
        control.beside(held)
        with pytest.raises(NotAloneError):
            Alone(name)
        assert select.select([control], [], [], 0)[0] == []
        control.serve_one(lambda *_: {})
        # And the queue is empty again.
        with pytest.raises(BlockingIOError):
            held._socket.accept()


@pytest.mark.parametrize("listens", [True, False])
def test_a_stranger_who_took_the_name_keeps_nobody_from_starting(
    name: str,
    listens: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ExitStack() as opened:
        stranger = opened.enter_context(socket.socket(socket.AF_UNIX))
        stranger.bind(name)
        if listens:
            stranger.listen()
        monkeypatch.setattr(module, "_daemons", set)
        Alone(name).close()
    assert "not_known_to_be_alone" in caplog.text


def test_a_holder_that_ends_while_it_is_asked_gives_way(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    going = socket.socket(socket.AF_UNIX)
    going.bind(name)
    monkeypatch.setattr(module.time, "sleep", lambda _: going.close())
    with closing(Alone(name)), pytest.raises(NotAloneError):
        Alone(name)
