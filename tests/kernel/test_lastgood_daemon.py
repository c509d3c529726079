"""The real daemon and its last good configuration: restarts, shrinks, full and read-only disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cli_worlds import MAIN, REGISTRY
from tests.kernel.daemon_process import (
    PATIENCE_S,
    Gateway,
    eventually,
    stop,
    with_full_disk,
    with_read_only_disk,
)

pytestmark = pytest.mark.kernel

STRICT = MAIN.replace("90%", "20%")
MANY = REGISTRY + "".join(f"R-{n},203.0.114.{n}/32,freelancer,,,\n" for n in range(20))


def snapshot(gateway: Gateway) -> Path:
    return gateway.state_dir / "last-good"


def kept(gateway: Gateway) -> dict[str, Any]:
    """What `status` says once it was written, or could not be."""

    def said() -> dict[str, Any] | None:
        told: dict[str, Any] = gateway.status()["last_good"]
        return told if told["accepted_at"] or told["problem"] else None

    return eventually(said, "the snapshot is written or its failure is told")


def prefixes(gateway: Gateway) -> int:
    return int(gateway.status()["prefixes"]["ipv4"])


def audited(gateway: Gateway, what: str) -> list[dict[str, Any]]:
    lines = (gateway.state_dir / "audit.jsonl").read_text().splitlines()
    return [r for r in map(json.loads, lines) if r["what"] == what]


def test_a_shrink_is_refused_over_a_restart_too_until_somebody_accepts_it(
    gateway: Gateway,
) -> None:
    gateway.write(main=STRICT, registry=MANY)
    process = gateway.start()
    whole = prefixes(gateway)
    kept(gateway)
    before = gateway.handles()
    assert "will refuse" not in gateway.run("plan").stderr
    gateway.write(main=STRICT, registry=REGISTRY)
    planned = gateway.run("plan").stderr
    assert planned.startswith("`enforcer reload` will refuse these files:\nregistry: ")
    refused = gateway.run("reload")
    assert refused.returncode == 78
    assert planned.splitlines()[1] in refused.stderr
    assert refused.stderr.endswith("refused; what was loaded before stays in force\n")
    assert prefixes(gateway) == whole
    # A restart is no way around it.
    assert stop(process) == 0
    gateway.start()
    assert prefixes(gateway) == whole
    assert gateway.handles() == before, "what was loaded was adopted"
    assert gateway.armed()
    told = gateway.status()["config"]
    assert not told["ok"]
    assert "prefixes of category freelancer would be removed" in told["error"]
    told_by_metrics = gateway.metrics()
    assert told_by_metrics["enforcer_config_last_reload_success"] == 0
    assert told_by_metrics["enforcer_registry_shrink_refused"] == 1
    assert "error last_good_in_force errors=1 first=" in gateway.said()
    token = told["error"].rpartition(" ")[2]
    # Somebody else's update, and one that was exchanged after the look, are not what was accepted.
    assert gateway.run("reload", "--accept-shrink", "0" * 8).returncode == 78
    gateway.write(main=STRICT, registry="\n".join(MANY.splitlines()[:-15]) + "\n")
    other = gateway.run("reload", "--accept-shrink", token)
    assert other.returncode == 78
    assert other.stderr.startswith(f"the files hold another update than {token} by now:\n")
    assert prefixes(gateway) == whole
    gateway.write(main=STRICT, registry=REGISTRY)
    done = gateway.run("reload", "--accept-shrink", token)
    assert (done.returncode, done.stderr) == (0, "")
    assert prefixes(gateway) < whole
    assert gateway.metrics()["enforcer_registry_shrink_refused"] == 0
    (accepted,) = audited(gateway, "accepted")
    assert accepted["token"] == token
    assert accepted["removed"] == {"freelancer": 20}
    assert accepted["who"].startswith("root (uid 0, pid ")


def test_a_registry_broken_at_a_restart_leaves_an_armed_window_armed(gateway: Gateway) -> None:
    process = gateway.start()
    kept(gateway)
    before = gateway.handles()
    process.kill()
    process.wait(PATIENCE_S)
    (gateway.folder / "registry.csv").write_text("<html>sign in</html>\n")
    gateway.start()
    assert gateway.handles() == before
    assert gateway.armed()
    assert gateway.status()["config"]["error"].startswith("registry.csv:1:1: is HTML or XML")
    assert gateway.metrics()["enforcer_config_last_reload_success"] == 0
    gateway.write()
    assert gateway.run("reload").returncode == 0
    assert gateway.status()["config"]["ok"]


DECLARE = (
    *("declare", "--for", "1h", "--measure", "mark=0x51", "--reason", "attack"),
    *("--reference", "NOC-2", "--declared-by", "noc@isp.example", "--id"),
)


@pytest.mark.parametrize(
    ("registry", "why"),
    [
        pytest.param("<html>sign in</html>\n", "registry.csv:1:1: is HTML or XML", id="broken"),
        pytest.param(REGISTRY, "registry: 20 of 22 prefixes of category freelancer", id="shrunk"),
        pytest.param(None, "registry.csv: does not exist", id="gone"),
    ],
)
def test_who_declares_a_window_in_need_waits_for_no_registry(
    gateway: Gateway, registry: str | None, why: str
) -> None:
    """It goes by the registrations in force, over a restart too, and the refusal stays said."""
    gateway.write(main=STRICT, registry=MANY)
    process = gateway.start()
    whole = prefixes(gateway)
    if registry is None:
        (gateway.folder / "registry.csv").unlink()
    else:
        gateway.write(main=STRICT, registry=registry)
    assert gateway.run("reload").returncode == 78

    declared = gateway.run(*DECLARE, "need")
    warning = "it goes by the registrations in force, for the registry files are refused: "
    assert declared.returncode == 0, declared.stderr
    assert declared.stderr.startswith(f"{warning}{why}")
    assert {"ddos", "need"} == set(gateway.status()["armed"])
    assert prefixes(gateway) == whole
    assert gateway.status()["config"]["error"].startswith(why)
    assert gateway.metrics()["enforcer_config_last_reload_success"] == 0
    eventually(lambda: b"need" in snapshot(gateway).read_bytes(), "it is kept as the last good")

    assert stop(process) == 0
    meanwhile = gateway.run(*DECLARE, "meanwhile")
    assert meanwhile.returncode == 0
    assert "the registry files are refused: a daemon that is started goes by" in meanwhile.stderr
    gateway.start()
    assert {"ddos", "need", "meanwhile"} == set(gateway.status()["armed"])
    assert gateway.status()["config"]["error"].startswith(why)
    assert prefixes(gateway) == whole
    assert gateway.run("close", "need").returncode == 0

    # With other registry files named the registrations in force are not meant any more.
    other = STRICT.replace("registry.csv", "other.csv")
    (gateway.folder / "enforcer.yaml").write_text(other)
    refused = gateway.run(*DECLARE, "more")
    assert refused.returncode == 1
    assert refused.stderr.startswith("enforcer: other.csv: does not exist")
    assert not (gateway.folder / "windows.d" / "more.yaml").exists()
    assert "more" not in gateway.status()["armed"]


def test_a_registry_broken_where_nothing_is_in_force_is_exit_78(gateway: Gateway) -> None:
    """The snapshot is there, but the kernel is empty, as after a reboot."""
    process = gateway.start()
    kept(gateway)
    stop(process)
    gateway.inside("nft", "flush", "ruleset")
    gateway.inside("tc", "qdisc", "del", "dev", "wan0", "root")
    (gateway.folder / "registry.csv").write_text("<html>sign in</html>\n")
    done = gateway.run("run")
    assert done.returncode == 78
    assert done.stderr.startswith("registry.csv:1:1: is HTML or XML")
    assert gateway.untouched()


def test_a_configuration_broken_at_a_restart_is_exit_78_and_nothing_is_touched(
    gateway: Gateway,
) -> None:
    process = gateway.start()
    kept(gateway)
    process.kill()
    process.wait(PATIENCE_S)
    before = gateway.handles()
    gateway.config.write_text(MAIN.replace("lease: 10m", "lease: soon"))
    assert gateway.run("run").returncode == 78
    assert gateway.handles() == before
    assert gateway.armed()


def test_a_spoilt_snapshot_is_set_aside_and_a_new_one_written(gateway: Gateway) -> None:
    process = gateway.start()
    kept(gateway)
    stop(process)
    whole = snapshot(gateway).read_bytes()
    snapshot(gateway).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    gateway.start()
    assert kept(gateway)["problem"] is None
    assert (gateway.state_dir / "last-good.spoilt").read_bytes()[:-1] == whole[:-1]
    assert "error last_good_spoilt error=" in gateway.said()
    eventually(lambda: snapshot(gateway).exists())
    assert gateway.status()["config"]["ok"]


def test_on_a_full_disk_the_daemon_runs_and_says_so(gateway: Gateway) -> None:
    state = gateway.state_dir
    process = gateway.start(*with_full_disk(state))
    problem = f"the last good configuration is not kept ({state}: No space left on device)"
    assert kept(gateway) == {"accepted_at": None, "problem": problem}
    assert gateway.armed()
    told = gateway.metrics()
    assert told["enforcer_config_last_reload_success"] == 1
    eventually(lambda: gateway.metrics()["enforcer_last_good_success"] == 0, "at the next step")
    assert "last_good_not_kept" in gateway.said()
    assert problem in gateway.run("status").stdout
    # Room again, and the next configuration is kept.
    inside = ("nsenter", "--mount", "--target", str(process.pid))
    subprocess.run([*inside, "rm", f"{state}/full"], check=True, timeout=PATIENCE_S)
    gateway.write(registry=MANY)
    process.send_signal(signal.SIGHUP)
    eventually(lambda: gateway.status()["last_good"]["problem"] is None, "it is kept again")
    listed = subprocess.run(
        [*inside, "ls", "-A", str(state)], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert "last-good" in listed.stdout.split()
    assert ".last-good.new" not in listed.stdout.split()


def test_on_a_read_only_disk_the_daemon_runs_and_says_so(gateway: Gateway) -> None:
    state = gateway.state_dir
    gateway.start(*with_read_only_disk(state))
    told = kept(gateway)
    assert told["problem"].startswith("the last good configuration is not kept (")
    assert told["problem"].endswith("Read-only file system)")
    assert gateway.armed()
    assert os.listdir(state) == []
    # What removes registrations must be on the record, and no record can be written.
    gateway.write(registry="\n".join(REGISTRY.splitlines()[:2]) + "\n")
    token = gateway.run("reload").stderr.splitlines()[0].rpartition(" ")[2]
    refused = gateway.run("reload", "--accept-shrink", token)
    assert refused.returncode == 78
    assert "what removes registrations must be on the record" in refused.stderr


def test_reload_says_when_there_is_no_daemon_and_what_is_no_token(gateway: Gateway) -> None:
    done = gateway.run("reload")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("systemctl start enforcer\n")
    told = json.loads(gateway.run("reload", "--format", "json").stdout)
    assert "no daemon answers" in told["error"]
    wrong = gateway.run("reload", "--accept-shrink", "yes")
    assert wrong.returncode == 64
    assert "'yes' is no token; the refusal in `enforcer status` names it" in wrong.stderr
