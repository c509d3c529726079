"""The unit, as systemd's own tools see it, and whether the daemon can live inside its filter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually

# Debian's systemd and strace, root for namespaces: `make kernel` brings them.
pytestmark = pytest.mark.kernel

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "enforcer.service"
WORST_SCORE = 1.8

# Refused by the filter and no harm done: numpy's OpenBLAS asks for memory near the processor, and
# takes it from anywhere when that fails.
HARMLESS = {"mbind"}


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def settings(name: str) -> list[str]:
    """The values of a setting in the unit, in order."""
    found = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found, f"{name} is not in the unit"
    return found


@pytest.fixture
def unit(tmp_path: Path) -> str:
    """The unit with a program that exists on this machine, and no other change."""
    text, count = re.subn(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text())
    assert count == 1
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    return str(copy)


def test_systemd_finds_nothing_wrong_with_the_unit(unit: str) -> None:
    done = tool("systemd-analyze", "verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_unit_is_confined(unit: str) -> None:
    done = tool("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert score is not None, done.stderr
    assert float(score[1]) <= WORST_SCORE


def test_the_daemon_has_one_capability_and_a_user_of_its_own() -> None:
    assert settings("CapabilityBoundingSet") == ["CAP_NET_ADMIN"]
    assert settings("AmbientCapabilities") == ["CAP_NET_ADMIN"]
    assert settings("User") == ["enforcer"]
    assert settings("RestartPreventExitStatus") == ["78"]


def test_user_and_directories_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    users = tool("systemd-sysusers", root, str(SYSTEMD / "enforcer.sysusers.conf"))
    assert users.returncode == 0, users.stderr
    passwd = (tmp_path / "etc" / "passwd").read_text()
    assert re.fullmatch(r"enforcer:x:\d+:\d+:[^:]+:/var/lib/enforcer:\S+/nologin\n", passwd)
    made = tool("systemd-tmpfiles", "--create", root, str(SYSTEMD / "enforcer.tmpfiles.conf"))
    assert (made.returncode, made.stderr) == (0, "")
    for folder in ("etc/enforcer", "etc/enforcer/windows.d", "var/lib/enforcer"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o750, folder


# --- what the daemon asks of the kernel, against what the unit lets it ask ------------------------


def members(group: str) -> set[str]:
    """The system calls of `@group`, groups inside it resolved."""
    done = tool("systemd-analyze", "syscall-filter", "--no-pager", group)
    assert done.returncode == 0, done.stderr
    found: set[str] = set()
    for line in done.stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= members(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


def allowed() -> set[str]:
    """As systemd.exec(5): the first line makes a list of what is allowed, later ones add or, with
    a tilde, take away. The group @default and execve itself are always in it.
    """
    found = members("@default") | {"execve"}
    for value in settings("SystemCallFilter"):
        words = value.removeprefix("~").split()
        named = {c for w in words for c in (members(w) if w.startswith("@") else {w})}
        found = found - named if value.startswith("~") else found | named
    return found


def child_of(process: subprocess.Popen[bytes]) -> int:
    """The daemon's own process id below `ip netns exec`, which becomes strace."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(eventually(lambda: listed.read_text().split())[0])


def test_the_daemon_lives_inside_the_units_filter(gateway: Gateway) -> None:
    """Start, window, scrape, reload, repair, disarm, stop: every system call is one of the unit's;
    families of sockets too, and no memory is both written and run (MemoryDenyWriteExecute).
    """
    trace = gateway.folder / "trace"
    refused = f"inject={','.join(HARMLESS)}:error=EPERM"
    process = gateway.start("strace", "-f", "-qq", "-e", refused, "-o", str(trace))
    daemon = child_of(process)
    assert gateway.armed()
    assert gateway.metrics()['enforcer_window_active{window="ddos"}'] == 1
    os.kill(daemon, signal.SIGHUP)
    eventually(lambda: "info reloaded" in gateway.said())
    gateway.inside("nft", "flush", "ruleset")
    eventually(lambda: gateway.status()["drift_repairs"] == 1)
    assert gateway.run("plan").returncode == 0
    assert gateway.run("disarm").returncode == 0
    os.kill(daemon, signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    text = trace.read_text()
    calls = set(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))
    assert {"timerfd_settime", "sendmsg", "accept4"} <= calls, "the trace is of the daemon"
    assert calls - allowed() <= HARMLESS
    families = set(re.findall(r"\bsocket(?:pair)?\((\w+)", text))
    assert families <= set(settings("RestrictAddressFamilies")[0].split())
    assert not [line for line in text.splitlines() if "PROT_WRITE|PROT_EXEC" in line]
