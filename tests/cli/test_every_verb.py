"""What holds for every verb: JSON where it is asked for, and no colour where nobody can see it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from enforcer import log
from enforcer.cli.main import VERBS
from enforcer.kernel.fake import FakeKernel
from tests.cli.cli_worlds import Place

# Verb → arguments with which it ends by itself here, without a daemon. A new verb comes here, too.
ARGUMENTS = {
    "check": "",
    "plan": "",
    "status": "",
    "explain": "198.51.100.9",
    "replay": "capture.pcap",
    "watch": "--count 1 --interval 0.2",
    "windows": "",
    "declare": "--for 1h --measure mark=0x51 --reason r --reference R-1 --dry-run",
    "confirm": "ddos",
    "close": "ddos",
    "reload": "",
    "disarm": "",
    "audit": "verify",
    "report": "",
    "fetch": "--once",
    "registry": "lint",
    "export": "bird",
    "doctor": "--no-trial",
    "init": "new",
    "completion": "bash",
    "schema": "",
}
# The daemon never ends by itself, and its log is JSON (below); the lab needs root (test_lab), and
# the fleet's verbs a real etcd (test_fleet).
ELSEWHERE = {"run", "lab", "follow", "publish", "rollback", "fleet"}


def test_every_verb_is_on_the_list() -> None:
    assert {*ARGUMENTS, *ELSEWHERE} == set(VERBS), "add the new verb to ARGUMENTS"


@pytest.fixture
def here(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(place.folder)
    place.state_dir.mkdir()
    # An empty capture of Ethernet frames (pcap's file header).
    header = bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000")
    (place.folder / "capture.pcap").write_bytes(header)
    return place


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("verb", ARGUMENTS)
def test_json_is_all_that_is_printed_and_text_has_no_colour(here: Place, verb: str) -> None:
    said = here.run(verb, *ARGUMENTS[verb].split(), "--format", "json")
    assert said.code in (0, 1, 2, 3), said.err
    assert json.loads(said.out) is not None
    said = here.run(verb, *ARGUMENTS[verb].split())
    assert "\x1b" not in said.out + said.err


@pytest.mark.parametrize(
    ("argv", "form"),
    [
        ("run", "text"),
        ("run --format json", "json"),
        ("run --format json --log-format text", "text"),
        ("run --log-format json", "json"),
    ],
)
def test_the_daemons_log_has_the_form_that_is_asked_for(
    here: Place, monkeypatch: pytest.MonkeyPatch, argv: str, form: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(log, "configure", lambda form, journal: asked.append(form))
    here.write(main="version: 2")
    assert here.run(*argv.split()).code == 78
    assert asked == [form]


def on_a_terminal(here: Place, env: dict[str, str], *argv: str) -> str:
    seen, written = pty.openpty()
    command = [sys.executable, "-m", "enforcer", "--config", str(here.config), *argv]
    plain = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    done = subprocess.run(
        command, stdout=written, stderr=subprocess.PIPE, env=plain | {"TERM": "xterm"} | env,
        timeout=60, check=False,
    )  # fmt: skip
    os.close(written)
    text = b""
    try:
        while chunk := os.read(seen, 4096):
            text += chunk
    except OSError:
        # A terminal whose other side is closed.
        pass
    os.close(seen)
    assert done.returncode == 0, done.stderr
    return text.decode()


def test_colour_on_a_terminal_that_wants_it(here: Place) -> None:
    assert "\x1b[32mvalid" in on_a_terminal(here, {}, "check")
    for env, more in (
        ({"NO_COLOR": "1"}, ()),
        ({"TERM": "dumb"}, ()),
        ({}, ("--color", "never")),
        ({}, ("--format", "json")),
    ):
        assert "\x1b" not in on_a_terminal(here, env, "check", *more)


def test_the_fake_kernel_is_what_they_saw(kernel: FakeKernel, here: Place, tmp_path: Path) -> None:
    """So that no test here asks, or changes, the machine's own."""
    assert here.run("plan").code == 2
    assert kernel.calls > 0
