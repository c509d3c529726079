"""The progress bar: on a terminal, after a second, and gone afterwards."""

from __future__ import annotations

import io
import time

import pytest

from enforcer.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setenv("TERM", "xterm")
    return now


def test_nothing_is_shown_in_the_first_second(clock: list[float]) -> None:
    screen = Terminal()
    bar = Progress(100, screen)
    clock[0] += 0.9
    bar.update(50, "5 packets")
    bar.close()
    assert screen.getvalue() == ""


def test_share_bar_and_time_left(clock: list[float]) -> None:
    screen = Terminal()
    bar = Progress(100, screen)
    clock[0] += 2
    bar.update(25, "5 packets")
    assert screen.getvalue() == "\r 25% [#####...............] 5 packets, 6 s left\x1b[K"
    clock[0] += 0.1
    bar.update(30, "6 packets")
    assert "6 packets" not in screen.getvalue(), "five times a second at most"
    bar.close()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_of_a_pipe_the_share_is_not_known(clock: list[float]) -> None:
    screen = Terminal()
    bar = Progress(None, screen)
    clock[0] += 2
    bar.update(25, "5 packets")
    assert screen.getvalue() == "\r5 packets\x1b[K"


def test_never_into_a_file_or_a_dumb_terminal(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, dumb = io.StringIO(), Terminal()
    bars = [Progress(100, file)]
    monkeypatch.setenv("TERM", "dumb")
    bars.append(Progress(100, dumb))
    clock[0] += 2
    for bar in bars:
        bar.update(25, "5 packets")
        bar.close()
    assert (file.getvalue(), dumb.getvalue()) == ("", "")
