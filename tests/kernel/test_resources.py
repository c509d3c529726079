"""The real daemon without descriptors, memory or peace: windows open and end all the same."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from enforcer.kernel.namespace import in_namespace
from enforcer.loading import MOST_DEATHS
from tests.cli.cli_worlds import REGISTRY
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually

pytestmark = pytest.mark.kernel


def system_calls(pid: int, seconds: int) -> int:
    """How many system calls a process makes in a while, in all of its threads."""
    watch = ["timeout", "--signal=INT", str(seconds), "strace", "-f", "-c", "-p", str(pid)]
    done = subprocess.run(
        watch, capture_output=True, text=True, timeout=seconds + PATIENCE_S, check=False
    )
    assert f"Process {pid} attached" in done.stderr, done.stderr
    found = re.search(r"^100\.00\s.*?(\d+)(?:\s+\d+)? total$", done.stderr, re.M)
    # It prints no table when there is nothing to count.
    return int(found[1]) if found else 0


def limit_descriptors(pid: int, most: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, hard))


def lowest_free(pid: int) -> int:
    """The descriptor that the next file would get: below it there is no room. What threads write
    files with comes and goes.
    """
    free = []
    for _ in range(20):
        taken = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        free.append(min(set(range(len(taken) + 1)) - taken))
        time.sleep(0.02)
    return min(free)


def test_without_a_descriptor_left_windows_open_and_end_and_nothing_spins(gateway: Gateway) -> None:
    gateway.write(windows=gateway.window(6, 18))
    process = gateway.start()
    limit_descriptors(process.pid, lowest_free(process.pid))
    with ExitStack() as stack:
        for _ in range(100):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(gateway.socket))
            with in_namespace(gateway.namespace):
                stack.enter_context(socket.create_connection(("127.0.0.1", 9435), PATIENCE_S))
        eventually(gateway.armed, "the window opens")
        # A loop that is woken again and again by whom it cannot take in makes tens of thousands.
        assert system_calls(process.pid, 3) < 2000
        turned_away = gateway.run("close", "ddos")
        assert turned_away.returncode == 1
        assert "the daemon hangs up without an answer" in turned_away.stderr
        assert gateway.armed(), "nothing was done behind the back of a daemon that lives"
        eventually(lambda: not gateway.armed(), "the window ends")
    said = gateway.said()
    assert 'warning control_short error="Too many open files"' in said
    assert said.count("control_short error") <= 30, "a storm is not written down"
    limit_descriptors(process.pid, 1024)
    eventually(lambda: gateway.run("status").returncode == 0)
    assert gateway.status()["armed"] == []
    assert gateway.metrics()["enforcer_promise_violations_total"] == 0
    assert gateway.run("reload").returncode == 0


def test_a_flood_of_silent_local_clients_holds_neither_windows_nor_people_up(
    gateway: Gateway,
) -> None:
    gateway.write(windows=gateway.window(4, 3600))
    process = gateway.start()
    with ExitStack() as stack:
        dripping = []
        for _ in range(300):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(gateway.socket))
            dripping.append(client)
        eventually(gateway.armed, "the window opens")
        for client in dripping:
            with suppress(OSError):
                client.send(b"{")
        assert gateway.status()["armed"] == ["ddos"]
        assert system_calls(process.pid, 2) < 2000
    assert gateway.metrics()['enforcer_window_active{window="ddos"}'] == 1


def test_an_idle_daemon_hardly_wakes(gateway: Gateway) -> None:
    """With a window armed and renewed, and a look at the kernel every ten seconds."""
    process = gateway.start()
    eventually(lambda: (gateway.state_dir / "last-good").exists())
    assert system_calls(process.pid, 12) < 400


# --- memory ---------------------------------------------------------------------------------------


class MemoryGroup:
    """A cgroup that is given so much memory, of either version of cgroups."""

    def __init__(self, limit_bytes: int) -> None:
        root = Path("/sys/fs/cgroup")
        unified = (root / "cgroup.controllers").exists()
        parent = root if unified else root / "memory"
        self.path = parent / f"enforcer-test-{os.getpid()}"
        limit = "memory.max" if unified else "memory.limit_in_bytes"
        self._killed = "memory.events" if unified else "memory.oom_control"
        try:
            self.path.mkdir()
            (self.path / limit).write_text(str(limit_bytes))
        except OSError as error:
            self.close()
            pytest.skip(f"no cgroup with a limit of memory can be made here: {error}")

    def take_in(self, process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        """From now on; what it has taken before (it has hardly begun) is not counted."""
        (self.path / "cgroup.procs").write_text(str(process.pid))
        return process

    @property
    def killed(self) -> int:
        words = dict(line.split() for line in (self.path / self._killed).read_text().splitlines())
        return int(words["oom_kill"])

    def close(self) -> None:
        if self.path.exists():
            self.path.rmdir()


@pytest.fixture
def memory(gateway: Gateway) -> Iterator[MemoryGroup]:
    group = MemoryGroup(130 * 1024**2)
    try:
        yield group
    finally:
        gateway.close()
        eventually(lambda: not (group.path / "cgroup.procs").read_text())
        group.close()


def test_killed_for_want_of_memory_it_adopts_what_is_in_force_and_keeps_it(
    gateway: Gateway, memory: MemoryGroup
) -> None:
    process = memory.take_in(gateway.spawn())
    eventually(lambda: (gateway.state_dir / "last-good").exists())
    before = gateway.handles()
    # 800,000 rows, which take more than there is.
    addresses = (f"{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(800_000))
    rows = "".join(f"R-{n},{11 + n % 2}.{a}/32,freelancer,,,\n" for n, a in enumerate(addresses))
    (gateway.folder / "registry.csv").write_text(REGISTRY + rows)
    process.send_signal(signal.SIGHUP)
    assert process.wait(PATIENCE_S * 2) == -signal.SIGKILL
    # As its service manager does, again and again.
    for _ in range(MOST_DEATHS - 1):
        assert gateway.armed(), "the kernel keeps what is in force"
        killed = memory.take_in(gateway.spawn())
        assert killed.wait(PATIENCE_S * 2) == -signal.SIGKILL
    assert memory.killed == MOST_DEATHS
    memory.take_in(gateway.spawn())
    eventually(lambda: gateway.socket.exists() and gateway.run("status").returncode == 0)
    assert gateway.handles() == before, "adopted, not loaded anew"
    assert gateway.armed()
    told = gateway.status()["config"]
    assert not told["ok"]
    assert told["error"].startswith(
        "registry: the daemon died 3 times in a row while it took it in, as when memory runs out;"
    )
    gateway.write()
    assert gateway.run("reload").returncode == 0
    assert gateway.status()["config"]["ok"]
    assert not (gateway.state_dir / "loading").exists()


def test_memory_that_runs_out_in_a_reload_is_a_refused_reload(gateway: Gateway) -> None:
    """Where the kernel says no instead of killing: RLIMIT_AS."""
    process = gateway.start()
    before = gateway.handles()
    used = int(
        re.findall(r"VmSize:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())[0]
    )
    limit = used * 1024 + 8 * 1024**2
    resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    rows = "".join(f"R-{n},11.{n >> 8}.{n & 255}.7/32,freelancer,,,\n" for n in range(60_000))
    (gateway.folder / "registry.csv").write_text(REGISTRY + rows * 20)
    refused = gateway.run("reload")
    assert refused.returncode == 78
    assert refused.stderr.startswith("configuration: cannot be taken in: memory ran out;")
    assert gateway.handles() == before
    assert gateway.armed()
    resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    gateway.write()
    assert gateway.run("reload").returncode == 0
