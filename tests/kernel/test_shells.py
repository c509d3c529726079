"""Completion in the real shells, at a real terminal: what stands on the line after the tab key."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.cli import shells
from enforcer.cli.grammar import read_grammar
from tests.cli.cli_worlds import MAIN, REGISTRY, window_text
from tests.kernel.daemon_process import PATIENCE_S

# Needs Debian's zsh and fish, which `make kernel` brings; neither root nor a namespace.
pytestmark = pytest.mark.kernel

STARTS = {
    "bash": ("bash", "--norc", "--noprofile", "-i"),
    "zsh": ("zsh", "-f", "-i"),
}
READY = {
    "bash": "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; source script",
    "zsh": "autoload -Uz compinit; compinit -u -D; unsetopt beep; source script",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with the window `attack-1`, a file with a space, and `enforcer` to run."""
    from enforcer.clock import SystemClock

    now = SystemClock().now()
    (tmp_path / "enforcer.yaml").write_text(MAIN)
    (tmp_path / "registry.csv").write_text(REGISTRY)
    (tmp_path / "windows.d").mkdir()
    declared = window_text(
        "attack-1", now.replace(year=now.year - 1), now.replace(year=now.year + 1)
    )
    staged = declared.replace("    guard: {estate: concentrators}\n", "")
    (tmp_path / "windows.d" / "w.yaml").write_text(staged)
    (tmp_path / "a capture.pcap").write_text("")
    (tmp_path / "enforcer").write_text(f'#!/bin/sh\nexec {sys.executable} -m enforcer "$@"\n')
    (tmp_path / "enforcer").chmod(0o755)
    return tmp_path


class Terminal:
    """An interactive shell in `folder`, typed to as by a person."""

    def __init__(self, shell: str, folder: Path) -> None:
        (folder / "script").write_text(shells.SCRIPTS[shell](read_grammar()))
        ours, theirs = pty.openpty()
        environment = os.environ | {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "TERM": "dumb",
            "PS1": "$ ",
            "HOME": str(folder),
            "ENFORCER_STATE_DIR": str(folder / "state"),
            "COLUMNS": "200",
        }
        self._process = subprocess.Popen(
            STARTS[shell], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._seen = ours
        self.text = ""
        self.type(f"{READY[shell]}; echo is''ready\r")
        self.until("isready")

    def type(self, keys: str) -> None:
        os.write(self._seen, keys.encode())

    def until(self, wanted: str) -> None:
        """Reads on until what a person sees has it."""
        deadline = time.monotonic() + PATIENCE_S
        while wanted not in self.text:
            left = max(0.0, deadline - time.monotonic())
            assert select.select([self._seen], [], [], left)[0], self.text
            read = os.read(self._seen, 4096).decode(errors="replace")
            self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", read)

    def completes(self, typed: str, into: str) -> None:
        """One tab makes `typed` into `into`; the line is then thrown away."""
        self.text = ""
        self.type(typed + "\t")
        self.until(into)
        self.type("\x15")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)
        os.close(self._seen)


@pytest.fixture(params=STARTS)
def terminal(request: pytest.FixtureRequest, folder: Path) -> Iterator[Terminal]:
    made = Terminal(request.param, folder)
    try:
        yield made
    finally:
        made.close()


def test_a_tab_completes_verbs_options_values_files_and_windows(terminal: Terminal) -> None:
    terminal.completes("enforcer dis", "enforcer disarm ")
    terminal.completes("enforcer --format json expl", "enforcer --format json explain ")
    terminal.completes("enforcer windows --da", "enforcer windows --days ")
    terminal.completes("enforcer windows --format i", "enforcer windows --format ics ")
    terminal.completes("enforcer audit ver", "enforcer audit verify ")
    terminal.completes("enforcer audit verify a", "enforcer audit verify a\\ capture.pcap ")
    terminal.completes("enforcer init windo", "enforcer init windows.d/")
    terminal.completes(
        "enforcer --config enforcer.yaml close att", "--config enforcer.yaml close attack-1 "
    )
    terminal.completes(
        "enforcer confirm --at 2026-12-01T00:00Z --config enforcer.yaml ", "enforcer.yaml attack-1 "
    )


def fish(folder: Path, typed: str) -> list[str]:
    (folder / "script").write_text(shells.SCRIPTS["fish"](read_grammar()))
    done = subprocess.run(
        ["fish", "--no-config", "-c", "source script; complete -C $argv[1]", "--", typed],
        cwd=folder,
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stderr == ""
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def test_fish_offers_the_same(folder: Path) -> None:
    assert fish(folder, "enforcer dis") == ["disarm"]
    assert fish(folder, "enforcer windows --da") == ["--days"]
    assert fish(folder, "enforcer windows --format ") == ["ics", "json", "text"]
    assert fish(folder, "enforcer close --con") == ["--config"]
    assert fish(folder, "enforcer --config enforcer.yaml close ") == ["attack-1"]
    assert "a capture.pcap" in fish(folder, "enforcer audit verify a")
    assert "windows.d/" in fish(folder, "enforcer init w")
    assert fish(folder, "enforcer close --da") == [], "an option of another verb"


@pytest.mark.parametrize("shell", shells.SCRIPTS)
def test_the_shell_itself_finds_no_fault_in_the_script(shell: str, folder: Path) -> None:
    script = shells.SCRIPTS[shell](read_grammar())
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
