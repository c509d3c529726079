"""`enforcer run` where it cannot: one sentence with the remedy, an exit code, nothing left."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.kernel.namespace import in_namespace
from tests.cli.cli_worlds import MAIN
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually, knock, stop

pytestmark = pytest.mark.kernel

NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
NET_ADMIN = "-all,+net_admin"
AS_THE_SERVICE = (
    *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs"),
    *(f"--inh-caps={NET_ADMIN}", f"--ambient-caps={NET_ADMIN}", f"--bounding-set={NET_ADMIN}"),
)
CAP_NET_ADMIN = 1 << 12


def refused(gateway: Gateway, code: int, *before: str) -> str:
    """The one line with which a daemon refuses to start; nothing of it is left."""
    done = gateway.run("run", before=before)
    assert (done.returncode, done.stdout) == (code, "")
    (line,) = done.stderr.splitlines()
    assert gateway.untouched()
    return line


def test_a_bad_configuration(gateway: Gateway) -> None:
    gateway.config.write_text(MAIN.replace("lease: 10m", "lease: soon"))
    assert refused(gateway, 78).startswith("enforcer.yaml:2:")


def test_a_configuration_that_is_not_there(gateway: Gateway) -> None:
    gateway.config.unlink()
    line = refused(gateway, 78)
    assert line.startswith(f"{gateway.config}: does not exist; create it, or correct its name (")


def test_a_bad_registry(gateway: Gateway) -> None:
    (gateway.folder / "registry.csv").write_text("acme-ltd,198.51.100.7/32\n")
    said = "registry.csv:1:1: the line is not the header; begin with id,prefix,category,"
    assert refused(gateway, 78).startswith(said), "no word of a row where it may be the journal"


def test_an_uplink_that_is_not_there(gateway: Gateway) -> None:
    gateway.write(main=MAIN.replace("[wan0]", "[wan7]"))
    assert refused(gateway, 1) == (
        "enforcer: start: gateway.uplinks: wan7 does not exist; create the interface or name one "
        "of those there are: lan0, lan0-peer, wan0, wan0-peer"
    )


def test_a_link_whose_device_is_not_there_is_told_and_the_rest_goes_on(gateway: Gateway) -> None:
    gateway.write(main=MAIN.replace("device: wan0", "device: wan7"))
    gateway.start()
    assert gateway.armed()
    assert gateway.status()["missing_devices"] == ["wan7"]
    assert 'warning device_missing place="links.wan.device: wan7"' in gateway.said()


def test_a_restart_while_the_uplink_is_gone_keeps_what_is_in_force(gateway: Gateway) -> None:
    process = gateway.start()
    process.kill()
    process.wait(PATIENCE_S)
    gateway.inside("ip", "link", "delete", "wan0")
    gateway.start()
    assert gateway.armed()
    told = gateway.status()
    assert (told["armed"], told["missing_devices"]) == (["ddos"], ["wan0"])


def test_no_right_to_change_the_network(gateway: Gateway) -> None:
    line = refused(gateway, 1, *NO_CAPABILITIES)
    assert "Operation not permitted; needs CAP_NET_ADMIN" in line


def test_a_metrics_port_in_use(gateway: Gateway) -> None:
    with in_namespace(gateway.namespace):
        holder = socket.socket()
    with holder:
        holder.bind(("127.0.0.1", 9435))
        holder.listen()
        assert refused(gateway, 1) == (
            "enforcer: start: metrics.listen: 127.0.0.1:9435 cannot be used (Address already in "
            "use); stop what holds it, or choose another address"
        )


def test_a_run_directory_that_cannot_be_used(gateway: Gateway) -> None:
    gateway.run_dir.rmdir()
    gateway.run_dir.write_text("a file in its place")
    line = refused(gateway, 1)
    assert line.startswith(f"enforcer: start: {gateway.run_dir}: no control socket there (")
    assert "create the directory and give it to the daemon's user" in line


def test_a_table_of_somebody_else(gateway: Gateway) -> None:
    """A failure after the metrics server runs: its thread does not keep the process alive."""
    gateway.inside("nft", "add", "table", "inet", "enforcer")
    done = gateway.run("run")
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert "somebody else's table inet enforcer is there" in line
    assert "nft delete table inet enforcer" in line
    assert not gateway.socket.exists()
    assert not gateway.shaped()
    assert gateway.ruleset() == "table inet enforcer {\n}\n"


def test_a_second_daemon_is_refused_and_the_first_stays(gateway: Gateway) -> None:
    first = gateway.start()
    before = gateway.handles()
    done = gateway.run("run")
    assert done.returncode == 1
    assert done.stderr == (
        f"enforcer: start: {gateway.socket} is held by a running daemon; stop that one first, "
        "or use another ENFORCER_RUN_DIR\n"
    )
    assert first.poll() is None
    assert gateway.status()["armed"] == ["ddos"]
    assert gateway.handles() == before


def test_a_second_daemon_elsewhere_is_refused_and_the_first_stays(gateway: Gateway) -> None:
    first = gateway.start()
    before = gateway.handles()
    elsewhere = {}
    for name in ("RUN", "STATE"):
        elsewhere[f"ENFORCER_{name}_DIR"] = str(gateway.folder / f"other-{name}")
    gateway.environment = elsewhere
    gateway.write(main=MAIN.replace("9435", "9436"))
    done = gateway.run("run")
    assert done.returncode == 1
    assert done.stderr == (
        f"enforcer: start: another daemon is at work in this network namespace (process "
        f"{first.pid}, uid {os.getuid()}), and two would undo what the other does; stop that one, "
        "or run this one in a namespace of its own\n"
    )
    gateway.environment = {}
    assert gateway.status()["armed"] == ["ddos"]
    assert gateway.handles() == before
    first.kill()
    first.wait(PATIENCE_S)
    gateway.environment = elsewhere
    gateway.socket = Path(elsewhere["ENFORCER_RUN_DIR"]) / "control.sock"
    gateway.start()
    assert gateway.handles() == before, "the kernel lets go of the name, and it goes on at once"


def test_spoilt_orders_are_said_and_nothing_new_is_armed(gateway: Gateway) -> None:
    """A window may have been closed early by them: what is not known never restricts more."""
    (gateway.state_dir / "orders.json").write_text("{")
    gateway.start()
    assert "error orders_unreadable error=" in gateway.said()
    assert not gateway.armed()


@pytest.fixture
def of_nobody(namespace: str) -> Iterator[Gateway]:
    """A gateway whose files a user without rights can read, and whose directories are its own."""
    folder = Path(tempfile.mkdtemp(prefix="enforcer-test-"))
    made = Gateway(namespace, folder)
    try:
        folder.chmod(0o755)
        for each in (made.run_dir, made.state_dir):
            shutil.chown(each, "nobody", "nogroup")
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


def readable_by_nobody() -> bool:
    done = subprocess.run(
        [*AS_THE_SERVICE, sys.executable, "-c", "import enforcer"],
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode == 0


def test_a_user_with_cap_net_admin_alone_is_enough(of_nobody: Gateway) -> None:
    if not readable_by_nobody():
        pytest.skip("this Python is not readable by nobody")
    gateway = of_nobody
    process = gateway.start(*AS_THE_SERVICE)
    fields = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    found = dict(line.split(":\t", 1) for line in fields if ":\t" in line)
    assert int(found["CapEff"], 16) == int(found["CapBnd"], 16) == CAP_NET_ADMIN
    assert os.stat(gateway.socket).st_uid != 0
    assert gateway.armed()
    assert gateway.shaped()
    assert gateway.hooks() == {"prerouting", "postrouting"}
    knock(gateway.namespace)
    assert any("held_back" in key and value == 1 for key, value in gateway.metrics().items())
    gateway.inside("nft", "flush", "ruleset")
    eventually(lambda: gateway.status()["drift_repairs"] == 1)
    assert gateway.run("disarm").returncode == 0
    assert not gateway.shaped()
    assert (gateway.state_dir / "orders.json").exists()
    assert stop(process) == 0
