"""A daemon that is held up at a place of its code until a test lets it go on: a large registry, or
a slow disk, without the time that those take.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kernel.daemon_process import Gateway, eventually

# In front of code that calls `wait_here()`; a gate that nobody opens opens by itself.
GATE = """
import pathlib, time
folder = pathlib.Path(__file__).parent
def wait_here():
    (folder / "reached").touch()
    until_s = time.monotonic() + 120
    while not (folder / "open").exists() and time.monotonic() < until_s:
        time.sleep(0.01)
"""
# A command that takes the daemon for hung soon.
IMPATIENT = """
import enforcer.control
enforcer.control.ANSWER_S = 0.2
"""


class Gate:
    """`code` is run by Python itself (sitecustomize) in the processes begun while `installed`."""

    _numbers = itertools.count()

    def __init__(self, gateway: Gateway, code: str) -> None:
        self._gateway = gateway
        self._folder = gateway.folder / f"site-{next(self._numbers)}"
        self._folder.mkdir()
        (self._folder / "sitecustomize.py").write_text(code)

    @contextmanager
    def installed(self) -> Iterator[None]:
        self._gateway.environment["PYTHONPATH"] = str(self._folder)
        try:
            yield
        finally:
            del self._gateway.environment["PYTHONPATH"]

    def reached(self) -> None:
        eventually(lambda: (self._folder / "reached").exists(), "the gate is reached")

    def open(self) -> None:
        (self._folder / "open").touch()
