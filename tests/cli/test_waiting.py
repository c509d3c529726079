"""A line while something takes long: on a terminal only, and gone when it is over."""

from __future__ import annotations

import io
import os
import pty
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from enforcer.cli.waiting import Waiting


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TextIO, int]]:
    """The side that a program writes to, and the descriptor that a person sees."""
    monkeypatch.setenv("TERM", "xterm")
    seen, written = pty.openpty()
    with os.fdopen(written, "w") as stream:
        yield stream, seen
    os.close(seen)


def test_a_line_appears_after_a_while_and_is_wiped(terminal: tuple[TextIO, int]) -> None:
    stream, seen = terminal
    with Waiting("reading", stream, first_after_s=0.01):
        assert os.read(seen, 100).decode() == "\rreading … 0 s"
    assert os.read(seen, 100).decode() == "\r\x1b[K"


def test_what_is_quick_and_what_is_no_terminal_says_nothing(
    terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, seen = terminal
    with Waiting("reading", stream, first_after_s=3600):
        pass
    monkeypatch.setenv("TERM", "dumb")
    with Waiting("reading", stream, first_after_s=0):
        threading.Event().wait(0.05)
    print("after", file=stream, end="", flush=True)
    assert os.read(seen, 100).decode() == "after"
    file = io.StringIO()
    with Waiting("reading", file, first_after_s=0):
        threading.Event().wait(0.05)
    assert file.getvalue() == ""


def test_it_ends_with_the_work_that_fails(terminal: tuple[TextIO, int]) -> None:
    stream, seen = terminal

    def work() -> None:
        with Waiting("reading", stream, first_after_s=0.01):
            os.read(seen, 100)
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        work()
    assert os.read(seen, 100).decode() == "\r\x1b[K"


def test_what_is_no_terminal_is_told_once_what_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("enforcer.cli.waiting._ONCE_AFTER_S", 0.01)
    told = threading.Event()

    class Journal(io.StringIO):
        def flush(self) -> None:
            told.set()

    journal = Journal()
    with Waiting("reading", journal, once="the daemon is busy"):
        assert told.wait(60)
    assert journal.getvalue() == "the daemon is busy\n"
    monkeypatch.setattr("enforcer.cli.waiting._ONCE_AFTER_S", 3600)
    with Waiting("reading", quick := io.StringIO(), once="the daemon is busy"):
        pass
    assert quick.getvalue() == ""
