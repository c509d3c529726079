"""What people end, and what arrives, while the daemon starts is heard or read, and never lost."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from enforcer.control import ask
from enforcer.observe.audit_files import records
from tests.cli.cli_worlds import REGISTRY
from tests.kernel.daemon_process import Gateway, eventually
from tests.kernel.gates import GATE, IMPATIENT, Gate

pytestmark = pytest.mark.kernel

BETWEEN = f"""{GATE}
import enforcer.daemon
before = enforcer.daemon.Daemon.__init__
def held_up(self, *given, **named):
    before(self, *given, **named)
    wait_here()
enforcer.daemon.Daemon.__init__ = held_up
"""
ENDS = [("close", "ddos"), ("disarm",)]


@contextmanager
def starting(gateway: Gateway) -> Iterator[tuple[subprocess.Popen[bytes], Gate]]:
    """A daemon that has read its orders and its files, and goes on when it is let."""
    gate = Gate(gateway, BETWEEN)
    with gate.installed():
        process = gateway.spawn()
    gate.reached()
    try:
        yield process, gate
    finally:
        gate.open()


@pytest.mark.parametrize("verb", ENDS, ids=lambda verb: verb[0])
def test_what_is_ended_meanwhile_stays_ended(gateway: Gateway, verb: tuple[str, ...]) -> None:
    with starting(gateway) as (_, gate), ThreadPoolExecutor() as beside:
        done = beside.submit(gateway.run, *verb)
        eventually(lambda: done.done() or gateway.connections())
        gate.open()
        assert done.result().returncode == 0, done.result().stderr
    assert gateway.status()["windows"][0]["state"] == "closed"
    assert gateway.status()["armed"] == []
    assert not gateway.armed()


def test_a_registry_that_comes_meanwhile_is_loaded(gateway: Gateway) -> None:
    """As `fetch` and `follow` do it: first the file, then the daemon is asked."""
    with starting(gateway) as (_, gate), ThreadPoolExecutor() as beside:
        gateway.write(registry=REGISTRY + "R-9,192.0.2.99/32,freelancer,,,\n")
        config = str(gateway.config)
        answer = beside.submit(ask, gateway.run_dir, "reload", registry=config)
        eventually(lambda: answer.done() or gateway.connections())
        gate.open()
        assert answer.result()["error"] is None
    assert '"member": true' in gateway.run("explain", "192.0.2.99", "--format", "json").stdout


@pytest.mark.parametrize("verb", ENDS, ids=lambda verb: verb[0])
def test_a_start_that_ends_in_nothing_leaves_it_to_who_asked(
    gateway: Gateway, verb: tuple[str, ...]
) -> None:
    with starting(gateway) as (daemon, _), ThreadPoolExecutor() as beside:
        done = beside.submit(gateway.run, *verb)
        eventually(lambda: done.done() or gateway.connections())
        daemon.send_signal(signal.SIGKILL)
        assert done.result().returncode == 0, done.result().stderr
    assert "no daemon" in done.result().stdout + done.result().stderr
    gateway.start()
    assert gateway.status()["windows"][0]["state"] == "closed"
    assert not gateway.armed()


def test_who_could_not_wait_and_acted_himself_is_heeded(gateway: Gateway) -> None:
    impatient = Gate(gateway, IMPATIENT)
    with starting(gateway) as (_, gate):
        with impatient.installed():
            done = gateway.run("disarm")
        assert done.returncode == 0
        assert "does not answer within 0.2 s" in done.stdout
        gate.open()
        eventually(lambda: "gateway" in gateway.status())
    assert gateway.status()["armed"] == []
    assert not gateway.armed()
    assert "armed" not in {r.what for r in records(gateway.state_dir)}
    assert "warning ended_meanwhile window=ddos" in gateway.said()


def test_what_is_wrong_with_the_files_is_said_where_no_socket_can_be_had(gateway: Gateway) -> None:
    gateway.run_dir.rmdir()
    gateway.run_dir.write_text("a file in its place")
    gateway.config.write_text("version: [\n")
    done = gateway.run("run")
    assert done.returncode == 78
    assert "enforcer.yaml:" in done.stderr
