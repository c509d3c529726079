"""The unit, as systemd's own tools see it, and whether the daemon can live inside its filter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from enforcer.synchronised import AskedClock, kernel_says
from tests.cli.cli_worlds import MAIN
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually, stop

# Debian's systemd and strace, root for namespaces: `make kernel` brings them.
pytestmark = pytest.mark.kernel

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "enforcer.service"
CLOCK_UNIT = SYSTEMD / "enforcer-clock.service"
FOLLOW_UNIT = SYSTEMD / "enforcer-follow.service"
FETCH_UNIT = SYSTEMD / "enforcer-fetch.service"
WORST_SCORE = {UNIT: 1.4, CLOCK_UNIT: 0.5, FOLLOW_UNIT: 1.1, FETCH_UNIT: 1.1}

# Refused by the filter and no harm done: numpy's OpenBLAS asks for memory near the processor, and
# takes it from anywhere when that fails; the clock is asked by another way when this one is shut.
HARMLESS = {"mbind", "adjtimex", "clock_adjtime"}


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def settings(name: str, unit: Path = UNIT) -> list[str]:
    """The values of a setting in the unit, in order."""
    found = re.findall(rf"^{name}=(.*)$", unit.read_text(), re.MULTILINE)
    assert found, f"{name} is not in the unit"
    return found


def runnable(folder: Path, unit: Path) -> str:
    """The unit with a program that exists on this machine, and no other change."""
    text = re.sub(
        r"(?m)^(Exec(?:Start|Reload))=/usr/bin/enforcer\S*", r"\1=/bin/true", unit.read_text()
    )
    assert "=/usr/bin/enforcer" not in text
    copy = folder / unit.name
    copy.write_text(text)
    return str(copy)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    socket = tmp_path / "enforcer-clock.socket"
    socket.write_text((SYSTEMD / socket.name).read_text())
    units = [runnable(tmp_path, unit) for unit in WORST_SCORE]
    done = tool("systemd-analyze", "verify", "--man=no", *units, str(socket))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", WORST_SCORE, ids=lambda unit: unit.name)
def test_the_units_are_confined(unit: Path, tmp_path: Path) -> None:
    copy = runnable(tmp_path, unit)
    done = tool("systemd-analyze", "security", "--offline=true", "--no-pager", copy)
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert score is not None, done.stderr
    assert float(score[1]) <= WORST_SCORE[unit]


def test_the_daemon_has_one_capability_and_a_user_of_its_own() -> None:
    assert settings("CapabilityBoundingSet") == ["CAP_NET_ADMIN"]
    assert settings("AmbientCapabilities") == ["CAP_NET_ADMIN"]
    assert settings("User") == ["enforcer"]
    assert settings("CapabilityBoundingSet", CLOCK_UNIT) == [""], "whoever may ask the clock"


def test_a_configuration_that_is_refused_restarts_nothing() -> None:
    for unit in (UNIT, FETCH_UNIT, FOLLOW_UNIT):
        assert settings("RestartPreventExitStatus", unit) == ["78"]


def test_who_reads_what_strangers_send_writes_beside_the_daemons_state_alone() -> None:
    """Not the record, the orders or the last good configuration."""
    assert settings("StateDirectory", FETCH_UNIT) == ["enforcer/feeds"]
    assert settings("StateDirectory", FOLLOW_UNIT) == ["enforcer/fleet"]
    for unit in (FETCH_UNIT, FOLLOW_UNIT):
        assert settings("ProtectSystem", unit) == ["strict"]
        assert "ReadWritePaths" not in unit.read_text()


def test_user_and_directories_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    users = tool("systemd-sysusers", root, str(SYSTEMD / "enforcer.sysusers.conf"))
    assert users.returncode == 0, users.stderr
    passwd = (tmp_path / "etc" / "passwd").read_text()
    assert re.fullmatch(r"enforcer:x:\d+:\d+:[^:]+:/var/lib/enforcer:\S+/nologin\n", passwd)
    made = tool("systemd-tmpfiles", "--create", root, str(SYSTEMD / "enforcer.tmpfiles.conf"))
    assert (made.returncode, made.stderr) == (0, "")
    folders = ("etc/enforcer", "etc/enforcer/windows.d", "var/lib/enforcer")
    for folder in (*folders, "var/lib/enforcer/feeds", "var/lib/enforcer/fleet"):
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


def allowed(unit: Path = UNIT) -> set[str]:
    """As systemd.exec(5): the first line makes a list of what is allowed, later ones add or, with
    a tilde, take away. The group @default and execve itself are always in it; ProtectClock= takes
    the whole of @clock away.
    """
    found = members("@default") | {"execve"}
    for value in settings("SystemCallFilter", unit):
        words = value.removeprefix("~").split()
        named = {c for w in words for c in (members(w) if w.startswith("@") else {w})}
        found = found - named if value.startswith("~") else found | named
    return found - members("@clock") if "ProtectClock=yes" in unit.read_text() else found


def confined(unit: Path) -> tuple[str, ...]:
    """What puts a program into the unit's filter."""
    families = settings("RestrictAddressFamilies", unit)[0]
    script = Path(__file__).with_name("filtered.py")
    return (sys.executable, str(script), " ".join(sorted(allowed(unit))), families)


def test_in_the_real_filter_it_does_its_work_and_asks_enforcer_clock(gateway: Gateway) -> None:
    """The kernel itself refuses what the units do not allow, to both processes."""
    gateway.write(main=MAIN.replace("clock: false", "clock: true"))
    path = gateway.folder / "clock.sock"
    gateway.environment["ENFORCER_CLOCK_SOCKET"] = str(path)
    process = gateway.start(*confined(UNIT))
    status = Path(f"/proc/{process.pid}/status").read_text()
    assert "Seccomp:\t2" in status
    assert not gateway.status()["clock"]["synchronised"], "not known is not right"
    assert f"warning clock_unknown reason={chr(34)}{path}: No such file" in gateway.said()
    assert not gateway.armed()
    asked = subprocess.Popen(
        [
            *("systemd-socket-activate", "--seqpacket", "-l", str(path)),
            *(*confined(CLOCK_UNIT), sys.executable, "-c", LIAR),
        ],
        stderr=subprocess.DEVNULL,
    )
    gateway.processes.append(asked)

    def armed_at_last() -> bool:
        """It looks every ten seconds by itself; a reload is a look as well."""
        process.send_signal(signal.SIGHUP)
        return bool(gateway.armed())

    eventually(armed_at_last, "the clock is said to be right")
    assert gateway.status()["clock"]["synchronised"]
    assert "info reloaded" in gateway.said()
    gateway.inside("nft", "flush", "ruleset")
    eventually(lambda: gateway.status()["drift_repairs"] >= 1)
    assert gateway.metrics()["enforcer_clock_synchronised"] == 1
    assert settings("ExecReload") == ["/usr/bin/enforcer reload"]
    assert gateway.run("reload", before=confined(UNIT)).returncode == 0
    assert gateway.run("disarm").returncode == 0
    assert "already closed ddos" in gateway.run("close", "ddos").stdout
    assert stop(process) == 0
    assert "Traceback" not in gateway.said()


# The program of enforcer-clock, on a machine whose clock is right.
LIAR = """\
import os, sys
from enforcer import clockd
# What is true here depends on the machine; that the kernel lets it ask does not.
assert clockd.kernel_says() is not None
clockd.kernel_says = lambda: True
os.environ["LISTEN_PID"] = str(os.getpid())
sys.exit(clockd.main())
"""


def test_enforcer_clock_says_what_the_kernel_says(tmp_path: Path) -> None:
    path = tmp_path / "clock.sock"
    process = subprocess.Popen(
        ["systemd-socket-activate", "--seqpacket", "-l", str(path), sys.executable, "-c", PLAIN],
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(path.exists)
        clock = AskedClock(path)
        truth = kernel_says()
        assert truth is not None

        def answered() -> bool:
            clock.synchronised()
            return clock.problem is None

        eventually(answered)
        assert clock.synchronised() == truth
        clock.close()
    finally:
        process.kill()
        process.wait(PATIENCE_S)


PLAIN = "import sys; from enforcer.clockd import main; sys.exit(main())"


def child_of(process: subprocess.Popen[bytes]) -> int:
    """The daemon's own process id below `ip netns exec`, which becomes strace."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return int(eventually(lambda: listed.read_text().split())[0])


def test_the_daemon_lives_inside_the_units_filter(gateway: Gateway) -> None:
    """Start, window, scrape, reload, repair, disarm, stop: every system call is one of the unit's;
    families of sockets too, and no memory is both written and run (MemoryDenyWriteExecute).
    """
    trace = gateway.folder / "trace"
    refused = f"inject={','.join(sorted(HARMLESS))}:error=EPERM"
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
