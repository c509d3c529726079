"""The lab on the real kernel: it comes up, everything passes without a daemon, nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enforcer.lab import footprint, gateway, topology
from enforcer.lab.footprint import WIREGUARD_SOCKETS
from enforcer.lab.heartbeat import silences
from enforcer.lab.machine import LabError, require, wall
from enforcer.lab.namespace import existing
from enforcer.lab.phases import PHASES, judge
from enforcer.lab.run import measure, on_the_machine, run_lab
from enforcer.lab.screen import Screen
from enforcer.lab.topology import REGISTERED
from enforcer.lab.traffic import hearts, start_servers, start_tunnels, traffic
from enforcer.lab.witness import Capture

pytestmark = [
    pytest.mark.alone,
    pytest.mark.kernel,
    pytest.mark.not_emulated("its report is of rates and of edges to the millisecond"),
]
WHOLE_RUN_S = 120


@pytest.fixture(scope="module", autouse=True)
def _machine():
    try:
        require()
    except LabError as lacking:
        pytest.skip(str(lacking))


def left_behind(pid: int) -> list[str]:
    """All that a lab of process `pid` still has on the machine."""
    found = [name for name in existing() if name.startswith(f"lab-{pid}-")]
    found += [str(path) for path in WIREGUARD_SOCKETS.glob(f"lab{pid}*")]
    found += [str(path) for path in footprint.ROOT.glob(str(pid))]
    marks = (f"lab{pid}", f"lab-{pid}-", f"{footprint.ROOT}/{pid}/")
    for entry in Path("/proc").iterdir():
        line = " ".join(footprint.command_line(int(entry.name))) if entry.name.isdecimal() else ""
        found += [line] if any(mark in line for mark in marks) else []
    return found


def test_without_a_daemon_all_traffic_passes_and_afterwards_nothing_is_left():
    with on_the_machine() as made:
        places = topology.build(made)
        start_servers(made, places, sys.executable)
        tunnels = start_tunnels(made, places)
        with (
            hearts(places) as beating,
            traffic(places, tunnels) as sending,
            Capture(places.estate, "eth0", (REGISTERED.ipv4, REGISTERED.ipv6)) as capture,
        ):
            column = judge(PHASES[0], measure(places, sending, capture))
        assert left_behind(os.getpid()) != []
    assert {row: cell.detail for row, cell in column.items() if not cell.ok} == {}
    steady = [beating.transit, beating.registered, *beating.unregistered.values()]
    assert [silences(heart.beats()) for heart in steady] == [[], [], [], []]
    assert left_behind(os.getpid()) == []


def test_what_the_kernel_holds_back_is_seen_as_held_back_by_family():
    with on_the_machine() as made:
        places = topology.build(made)
        start_servers(made, places, sys.executable)
        tunnels = start_tunnels(made, places)
        with traffic(places, tunnels) as sending:
            places.gateway.run(
                "nft",
                "table inet stand_in {\nchain c {\n"
                "type filter hook ingress device wan0 priority 0\n"
                f"ip saddr {topology.UNREGISTERED.ipv4} udp dport 51820 drop\n}}\n}}",
            )
            counts = sending.round()
    assert counts["unregistered-vpn"].by_family == ((4, 0, 5), (6, 5, 5))
    assert counts["registered-vpn"].got == counts["unregistered-tcp"].got == 10


def test_a_failure_in_the_middle_leaves_nothing():
    def fails() -> None:
        with on_the_machine() as made:
            start_tunnels(made, topology.build(made))
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fails()
    assert left_behind(os.getpid()) == []


def test_a_signal_in_the_middle_leaves_nothing_and_puts_the_handlers_back():
    before = signal.getsignal(signal.SIGTERM)

    def is_stopped() -> None:
        with on_the_machine() as made:
            topology.build(made)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        is_stopped()
    assert left_behind(os.getpid()) == []
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_kept_lab_stays_until_it_is_cleaned(tmp_path):
    program = (
        "from enforcer.lab.run import on_the_machine\n"
        "from enforcer.lab import topology\n"
        "from enforcer.lab.traffic import start_servers\n"
        "import sys\n"
        "with on_the_machine(keep=True) as made:\n"
        "    start_servers(made, topology.build(made), sys.executable)\n"
        "print(made.owner.pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )
    pid = int(done.stdout)
    assert len([name for name in existing() if name.startswith(f"lab-{pid}-")]) == 6
    assert f"removed lab {pid}: 4 processes, 6 namespaces" in footprint.clean()
    assert left_behind(pid) == []


def test_a_daemon_that_does_not_start_is_told_with_its_last_words(monkeypatch, capsys):
    def no_verb(made, place, python, config):
        argv = [python, "-c", "import sys; sys.exit('wan7: no such interface; name another')"]
        return gateway.Daemon(place, made.directory, made.spawn(place, argv, "daemon.log", {}))

    monkeypatch.setattr(gateway, "start", no_verb)
    assert run_lab(10, False, Screen()) == 1
    assert capsys.readouterr().err == (
        "daemon: ended with exit code 1; its last words:\n  wan7: no such interface; name another\n"
    )
    assert left_behind(os.getpid()) == []


def test_the_main_job_is_what_the_promises_say():
    began = wall()
    child = subprocess.Popen(
        [sys.executable, "-m", "enforcer", "--format", "json", "lab"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, err = child.communicate(timeout=WHOLE_RUN_S)
    finally:
        child.terminate()
        child.wait(timeout=20)
    assert out, err
    document = json.loads(out)
    assert document["differs"] == []
    assert child.returncode == 0
    assert wall() - began < WHOLE_RUN_S
    assert left_behind(child.pid) == []
