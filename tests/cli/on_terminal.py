"""A command on a pseudo-terminal of its own, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.cli.terminal_screen import Terminal

PATIENCE_S = 60.0


class OnTerminal:
    """`enforcer ARGV`, for the daemon of `run_dir`."""

    def __init__(
        self, run_dir: Path, *argv: str, columns: int = 80, rows: int = 24, **env: str
    ) -> None:
        self.screen = Terminal(columns, rows)
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows, tell=False)
        self.before = termios.tcgetattr(self.slave)
        hidden = {"NO_COLOR", "COLUMNS", "LINES"}
        plain = {k: v for k, v in os.environ.items() if k not in hidden}
        self.process = subprocess.Popen(
            # Its controlling terminal: what is typed there can interrupt it.
            ["setsid", "--ctty", sys.executable, "-m", "enforcer", *argv],
            stdin=self.slave, stdout=self.slave, stderr=subprocess.PIPE,
            env=plain | {"TERM": "xterm", "ENFORCER_RUN_DIR": str(run_dir)} | env,
        )  # fmt: skip
        self.raw = ""

    def resize(self, columns: int, rows: int, *, tell: bool = True) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, size)
        if tell:
            self.screen = Terminal(columns, rows)

    def read(self, seconds: float = 0.05) -> None:
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            # A character may be cut in two: none of ours is outside of ASCII.
            told = os.read(self.master, 65536).decode("ascii")
            self.raw += told
            self.screen.feed(told)

    def until(self, *words: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while not all(word in self.screen.text for word in words):
            assert time.monotonic() < deadline, f"no {words} in:\n{self.screen.text}"
            assert self.process.poll() is None, self.raw
            self.read()
        return self.screen.text

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def ended(self) -> int:
        deadline = time.monotonic() + PATIENCE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self.read()
        for _ in range(5):
            self.read(0.01)
        assert self.process.stderr is not None
        self.said = self.process.stderr.read().decode()
        return int(self.process.returncode)

    def given_back(self) -> bool:
        s = self.screen
        mode = termios.tcgetattr(self.slave)
        return s.entered == s.left and s.cursor_shown and mode == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        os.close(self.master)
        os.close(self.slave)
