"""What people end while the daemon is at a load: it stays ended, whoever did it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from enforcer.observe.audit_files import records
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually
from tests.kernel.gates import GATE, IMPATIENT, Gate

pytestmark = pytest.mark.kernel

# However short it was busy.
BUSY = f"""{GATE}
import enforcer.daemon, enforcer.service
enforcer.service.AWAY_S = 0.0
before = enforcer.daemon.Daemon.reload
def held_up(self, *given):
    wait_here()
    return before(self, *given)
enforcer.daemon.Daemon.reload = held_up
"""


@pytest.fixture
def busy(gateway: Gateway) -> Gate:
    gate = Gate(gateway, BUSY)
    with gate.installed():
        gateway.start()
    assert gateway.armed()
    return gate


def test_what_is_disarmed_behind_its_back_stays_so(gateway: Gateway, busy: Gate) -> None:
    """By a command that does not find it, as one that has given up acts: its request is served by
    nobody later on.
    """
    with ThreadPoolExecutor() as beside:
        load = beside.submit(gateway.run, "reload")
        busy.reached()
        gateway.environment["ENFORCER_RUN_DIR"] = str(gateway.folder / "nobody")
        done = gateway.run("disarm")
        del gateway.environment["ENFORCER_RUN_DIR"]
        assert (done.returncode, done.stderr) == (0, "")
        assert gateway.ruleset() == ""
        busy.open()
        assert load.result().returncode == 0, load.result().stderr
    assert gateway.status()["armed"] == []
    assert gateway.status()["windows"][0]["state"] == "closed"
    assert not gateway.armed()
    assert gateway.map_name(), "the registry is back"
    assert "warning ended_meanwhile window=ddos" in gateway.said()
    ended = [r.values["why"] for r in records(gateway.state_dir) if r.what == "ended"]
    assert ended == ["disarmed"]


def test_the_brake_comes_before_the_next_load(gateway: Gateway, busy: Gate) -> None:
    with ThreadPoolExecutor() as beside:
        loads = [beside.submit(gateway.run, "reload")]
        busy.reached()
        loads += [beside.submit(gateway.run, "reload") for _ in range(3)]
        brake = beside.submit(gateway.run, "disarm")
        eventually(lambda: gateway.connections() >= 5, "all of them have asked")
        busy.open()
        assert brake.result().stdout.startswith("disarmed: ddos"), "the daemon itself did it"
        for load in loads:
            assert load.result().returncode == 0, load.result().stderr
    said = gateway.said()
    assert said.count("info reloaded ") == 4
    assert said.count("info reloaded ", 0, said.index("warning disarm ")) == 1
    assert gateway.status()["armed"] == []


def test_a_reload_waits_for_a_daemon_that_is_at_another_load(gateway: Gateway, busy: Gate) -> None:
    """Longer than people wait for other verbs, and the journal says what for."""
    soon = "import enforcer.cli.waiting\nenforcer.cli.waiting._ONCE_AFTER_S = 0.5\n"
    with ThreadPoolExecutor() as beside:
        first = beside.submit(gateway.run, "reload")
        busy.reached()
        with Gate(gateway, IMPATIENT + soon).installed():
            second = gateway.spawn(argv=("reload",))
        said = "the daemon is busy, with another load, say; waiting for up to 120 s\n"
        eventually(lambda: second.poll() is not None or said in gateway.said())
        busy.open()
        assert first.result().returncode == 0, first.result().stderr
    assert second.wait(PATIENCE_S) == 0, gateway.said()
