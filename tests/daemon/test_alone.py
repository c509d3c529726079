"""One daemon in a network namespace, and nobody else who can keep it from starting."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from contextlib import ExitStack, closing

import pytest

from enforcer import alone as module
from enforcer.alone import Alone, NotAloneError

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
