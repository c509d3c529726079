"""The real daemon over its life: windows, reloads, stops, kills, and strangers at its table."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.cli_worlds import MAIN, REGISTRY
from tests.kernel.daemon_process import PATIENCE_S, Gateway, Manager, eventually, knock, stop

pytestmark = pytest.mark.kernel

ALL_HOOKS = {"prerouting", "postrouting"}
HELD = (
    'enforcer_packets_total{category="unregistered",family="ipv4",measure="guard",'
    'verdict="held_back",window="ddos"}'
)


def in_force(gateway: Gateway) -> bool:
    return gateway.hooks() == ALL_HOOKS and gateway.armed() and gateway.shaped()


def inert(gateway: Gateway) -> bool:
    return gateway.hooks() == set() and not gateway.shaped()


def test_a_window_opens_and_closes_and_leaves_nothing_hooked(gateway: Gateway) -> None:
    gateway.write(windows=gateway.window(3600, 7200))
    process = gateway.start()
    assert inert(gateway)
    assert gateway.map_name(), "the registry is loaded before the window"
    gateway.write_windows(gateway.window(2, 12))
    process.send_signal(signal.SIGHUP)
    eventually(lambda: in_force(gateway), "the window opens")
    knock(gateway.namespace)
    assert gateway.status()["armed"] == ["ddos"]
    eventually(lambda: inert(gateway), "the window closes")
    eventually(lambda: gateway.status()["armed"] == [])
    told = gateway.metrics()
    assert told['enforcer_window_active{window="ddos"}'] == 0
    assert told[HELD] == 1, "what was counted stays on the record"
    assert told["enforcer_drift_repairs_total"] == 0


def test_a_good_reload_is_taken_and_a_bad_one_leaves_the_old_in_force(gateway: Gateway) -> None:
    process = gateway.start()
    before = gateway.handles()
    gateway.config.write_text(MAIN.replace("lease: 10m", "lease: soon"))
    process.send_signal(signal.SIGHUP)
    refused = eventually(lambda: None if (s := gateway.status())["config"]["ok"] else s)
    assert refused["config"]["error"].startswith("enforcer.yaml:2:")
    assert gateway.metrics()["enforcer_config_last_reload_success"] == 0
    assert gateway.handles() == before
    assert in_force(gateway)
    assert "error reload_refused cause=SIGHUP errors=1 first=" in gateway.said()
    gateway.write(registry=REGISTRY + "R-9,192.0.2.99/32,freelancer,,,\n")
    process.send_signal(signal.SIGHUP)
    eventually(lambda: gateway.status()["prefixes"] == {"ipv4": 3, "ipv6": 1})
    assert gateway.metrics()["enforcer_config_last_reload_success"] == 1
    assert in_force(gateway)
    assert gateway.run("explain", "192.0.2.99").returncode == 0
    assert "restart_needed" not in gateway.said()
    gateway.config.write_text(MAIN.replace(":9435", ":9436"))
    process.send_signal(signal.SIGHUP)
    eventually(lambda: "warning restart_needed setting=metrics.listen" in gateway.said())
    assert process.poll() is None


def test_a_clean_stop_leaves_the_window_armed_to_its_lease(gateway: Gateway) -> None:
    process = gateway.start()
    assert stop(process) == 0
    assert in_force(gateway)
    assert not gateway.socket.exists()
    said = gateway.run("status")
    assert said.returncode == 1
    assert "armed   ddos for " in said.stdout
    assert "info stopped armed=ddos" in gateway.said()


def test_a_clean_stop_releases_when_told_to(gateway: Gateway) -> None:
    gateway.write(main=MAIN.replace("lease: 10m", "lease: 10m, on_stop: release"))
    process = gateway.start()
    assert in_force(gateway)
    assert stop(process, signal.SIGINT) == 0
    assert inert(gateway)
    assert not gateway.armed()


def test_a_kill_and_a_restart_change_no_rule_and_no_counter(gateway: Gateway) -> None:
    process = gateway.start()
    before = gateway.handles()
    knock(gateway.namespace)
    stop(process, signal.SIGKILL)
    assert in_force(gateway)
    knock(gateway.namespace)
    gateway.start()
    assert gateway.handles() == before
    assert in_force(gateway)
    knock(gateway.namespace)
    told = gateway.metrics()
    assert told[HELD] == 3, "before, in between and after"
    assert told['enforcer_apply_total{result="changed"}'] == 0
    assert told["enforcer_drift_repairs_total"] == 0


def test_a_stopped_daemon_cannot_hold_a_window_open(gateway: Gateway) -> None:
    """SIGSTOP: a daemon that hangs. The kernel disarms by itself at the window's end."""
    process = gateway.start()
    far = gateway.status()["windows"][0]["ends_at"]
    gateway.write_windows(gateway.window(-60, 8))
    process.send_signal(signal.SIGHUP)
    eventually(lambda: gateway.status()["windows"][0]["ends_at"] != far)
    process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: not gateway.armed(), "the kernel disarms at the end")
        assert gateway.hooks() == ALL_HOOKS, "the rules still stand, and match nothing"
    finally:
        process.send_signal(signal.SIGCONT)
    eventually(lambda: inert(gateway), "the daemon clears up once it runs again")


def test_a_dead_daemon_leaves_a_window_no_longer_than_its_lease(gateway: Gateway) -> None:
    gateway.write(main=MAIN.replace("lease: 10m", "lease: 10s"))
    stop(gateway.start(), signal.SIGKILL)
    assert gateway.armed()
    eventually(lambda: not gateway.armed(), "the kernel disarms at the lease")


# --- disarm ---------------------------------------------------------------------------------------


def test_disarm_ends_the_window_and_no_restart_opens_it_again(gateway: Gateway) -> None:
    process = gateway.start()
    done = gateway.run("disarm")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "disarmed: ddos; none of them opens again by itself\n"
    assert inert(gateway)
    (window,) = gateway.status()["windows"]
    assert window["state"] == "closed"
    process.send_signal(signal.SIGHUP)
    assert stop(process) == 0
    gateway.start()
    assert inert(gateway)
    assert gateway.run("disarm").stdout == "nothing was armed\n"


def test_disarm_without_a_daemon_takes_everything_out_and_no_start_opens_it_again(
    gateway: Gateway,
) -> None:
    stop(gateway.start(), signal.SIGKILL)
    done = gateway.run("disarm")
    assert done.returncode == 0
    assert "disarmed: ddos\n" in done.stdout
    assert gateway.ruleset() == ""
    assert not gateway.shaped()
    gateway.start()
    assert inert(gateway)


def test_close_without_a_daemon_owns_up_to_what_the_kernel_still_arms(gateway: Gateway) -> None:
    stop(gateway.start(), signal.SIGKILL)
    done = gateway.run("close", "ddos")
    assert done.returncode == 1
    assert "ddos is closed and stays so, but the kernel still arms it, until " in done.stderr
    assert gateway.armed()
    assert '"state": "armed"' in gateway.run("windows", "--format", "json").stdout
    gateway.start()
    assert inert(gateway)
    record = [json.loads(line) for line in (gateway.state_dir / "audit.jsonl").open()]
    closed = next(v for v in record if v["what"] == "closed")
    ended = next(v for v in record if v["what"] == "ended")
    assert (ended["why"], ended["ended_by"]) == ("closed", closed["who"])
    assert ended["ended_at"] > closed["at"], "not at the word, but when it was taken out"


def test_disarm_while_the_daemon_hangs_holds_also_when_it_wakes(gateway: Gateway) -> None:
    process = gateway.start()
    process.send_signal(signal.SIGSTOP)
    try:
        done = gateway.run("disarm")
        assert done.returncode == 0
        assert "does not answer within 10 s; it may hang" in done.stdout
        assert gateway.ruleset() == ""
    finally:
        process.send_signal(signal.SIGCONT)
    eventually(lambda: gateway.status().get("windows", [{}])[0].get("state") == "closed")
    assert inert(gateway)


# --- strangers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "flush ruleset",
        "delete table inet enforcer",
        "flush map inet enforcer MAP",
        "flush chain inet enforcer guard.ddos.new4",
        "flush set inet enforcer armed.ddos",
        "add rule inet enforcer mark.ddos drop",
    ],
)
def test_what_others_do_to_our_table_is_put_right_and_counted(
    gateway: Gateway, command: str
) -> None:
    gateway.start()
    before = gateway.inside("nft", "-s", "list", "table", "inet", "enforcer").splitlines()
    gateway.inside("nft", *command.replace("MAP", gateway.map_name()).split())

    def repaired() -> bool:
        listed = gateway.inside("nft", "-s", "list", "table", "inet", "enforcer", check=False)
        return static(listed.splitlines()) == static(before)

    eventually(repaired, command)
    eventually(lambda: gateway.metrics()["enforcer_drift_repairs_total"] >= 1)
    assert in_force(gateway)
    eventually(lambda: "drift" in gateway.said())


def static(lines: list[str]) -> list[str]:
    """What is left of a listing without running timers, in an order of its own."""
    return sorted(line.partition(" expires ")[0].partition(" timeout ")[0] for line in lines)


def test_an_uplink_that_goes_and_comes_back_is_guarded_again(gateway: Gateway) -> None:
    gateway.start()
    gateway.inside("ip", "link", "delete", "wan0")
    eventually(lambda: gateway.status()["missing_devices"] == ["wan0"])
    assert gateway.hooks() == {"prerouting"}
    assert "missing" in gateway.run("status").stdout
    gateway.inside("ip", "link", "add", "wan0", "type", "veth", "peer", "name", "wan0-peer")
    gateway.inside("ip", "link", "set", "wan0", "up")
    eventually(lambda: in_force(gateway), "armed on the new device")
    eventually(lambda: gateway.status()["missing_devices"] == [])


def test_a_wrong_uplink_is_told_wherever_people_ask(gateway: Gateway) -> None:
    gateway.start()
    assert health(gateway) == "ok\n"
    gateway.write(main=MAIN.replace("uplinks: [wan0]", "uplinks: [wan9]"))
    warning = "uplink wan9 is not there: nothing that comes in by it is guarded; see: ip link\n"
    done = gateway.run("reload")
    assert (done.returncode, done.stderr) == (0, warning)
    assert done.stdout.splitlines()[1:] == ["armed now: ddos"]
    assert 'warning device_missing place="gateway.uplinks: wan9"' in gateway.said()
    problem = "no uplink is there (wan9), so guard holds back nothing: ddos; see: ip link\n"
    assert health(gateway) == problem
    assert problem.strip() in gateway.run("explain", "192.0.2.99", "--format", "json").stdout
    why = ("--reason", "r", "--reference", "f", "--measure", "guard=concentrators")
    done = gateway.run("declare", "--for", "1h", "--id", "more", *why)
    assert (done.returncode, done.stderr) == (0, warning)
    gateway.write()
    done = gateway.run("reload")
    assert (done.returncode, done.stderr) == (0, "")
    assert health(gateway) == "ok\n"
    gateway.run("close", "more")
    gateway.write(windows="")
    done = gateway.run("reload")
    assert done.stdout.splitlines()[1:] == ["armed now: nothing", "ended: ddos"]


def health(gateway: Gateway) -> str:
    command = ["ip", "netns", "exec", gateway.namespace, "curl", "-sS", "-m", "20"]
    return subprocess.run(
        [*command, "http://127.0.0.1:9435/healthz"],
        capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    ).stdout  # fmt: skip


# --- systemd --------------------------------------------------------------------------------------


def test_systemd_hears_readiness_the_watchdog_and_the_end(gateway: Gateway) -> None:
    manager = Manager(gateway.folder)
    try:
        gateway.environment = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"}
        process = gateway.spawn()
        assert manager.next() == ["READY=1", "STATUS=armed: ddos"]
        assert in_force(gateway), "ready means in force"
        for _ in range(3):
            manager.until("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        reload = manager.until("READY=1")
        assert any("RELOADING=1" in message for message in reload)
        assert ["WATCHDOG_USEC=1600000"] in reload, "a large load is no hang"
        assert ["WATCHDOG=1", "WATCHDOG_USEC=400000"] in reload
        assert gateway.run("disarm").returncode == 0
        assert manager.until("STATUS=")[-1] == ["STATUS=no window armed"]
        process.send_signal(signal.SIGTERM)
        assert manager.until("STOPPING=1")
    finally:
        manager.close()


def test_the_journal_gets_priorities(gateway: Gateway) -> None:
    gateway.environment = {"JOURNAL_STREAM": "8:1"}
    stop(gateway.start())
    assert all(line.startswith("<6>") for line in gateway.said().splitlines())


def test_a_signal_while_it_starts_is_answered_once_it_has_started(gateway: Gateway) -> None:
    process = gateway.spawn()
    # Before its handlers stand a SIGTERM ends it, as it ends any program: nothing is there yet.

    def handlers_stand() -> bool:
        fields = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(fields.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> (signal.SIGHUP - 1) & 1)

    eventually(handlers_stand)
    process.send_signal(signal.SIGHUP)
    assert stop(process) == 0
