"""The verbs against the real kernel, with the daemon and without."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import datetime, timedelta

import pytest

from tests.cli.cli_worlds import MAIN, REGISTRY
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually, stop

pytestmark = pytest.mark.kernel

NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def test_plan_before_with_and_after_the_daemon(gateway: Gateway) -> None:
    assert gateway.run("plan").returncode == 2
    gateway.start()
    done = gateway.run("plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to do: the kernel holds just this (" in done.stdout
    gateway.write(
        registry=REGISTRY.replace("R-3,2001:db8:5::/48", "R-3,2001:db8:6::/48")
        + "R-9,192.0.2.99/32,software-house,,,\n"
    )
    done = gateway.run("plan")
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert lines[1:3] == [
        "category software-house: +1, -0 prefixes, 2 then",
        "category freelancer: +1, -1 prefixes, 2 then",
    ]
    assert f"+ add element inet enforcer {gateway.map_name()} # 257 elements" in lines
    assert gateway.run("plan").stdout.splitlines()[1:] == lines[1:], "a plan changes nothing"


def test_plan_of_another_configuration_is_not_compared_with_the_daemons(gateway: Gateway) -> None:
    gateway.start()
    other = gateway.folder / "other.yaml"
    other.write_text(gateway.config.read_text().replace("lease: 10m", "lease: 5m"))
    done = gateway.run("plan", "--config", str(other))
    assert done.returncode == 2
    said = "registrations are not compared with those in force"
    assert f"{said}: the daemon reads {gateway.config}, not" in done.stderr


def test_explain_agrees_with_the_kernel_until_somebody_meddles(gateway: Gateway) -> None:
    process = gateway.start()
    for argv, code in (
        (("198.51.100.9", "--to", "203.0.113.5", "--service", "udp/51820"), 0),
        (("2001:db8:5::1", "--to", "2001:db8:10::1"), 0),
        (("192.0.2.99", "--to", "203.0.113.5"), 3),
    ):
        done = gateway.run("explain", *argv)
        assert (done.returncode, done.stderr) == (code, "")
    process.send_signal(signal.SIGSTOP)
    try:
        name, element = gateway.map_name(), "{ 198.51.100.9 : 0x12345678 }"
        gateway.inside("nft", f"delete element inet enforcer {name} {{ 198.51.100.9 }}")
        done = gateway.run("explain", "198.51.100.9")
        assert "registered as software-house, but the kernel does not hold it" in done.stderr
        gateway.inside("nft", f"add element inet enforcer {name} {element}")
        done = gateway.run("explain", "198.51.100.9")
        assert "but the kernel holds a class that no registration has today" in done.stderr
    finally:
        process.send_signal(signal.SIGCONT)
    eventually(lambda: not gateway.run("explain", "198.51.100.9").stderr, "repaired")


@pytest.mark.parametrize("before", [(), NO_CAPABILITIES])
def test_what_was_edited_and_not_loaded_is_told_as_it_is_in_force(
    gateway: Gateway, before: tuple[str, ...]
) -> None:
    gateway.start()
    eventually((gateway.state_dir / "last-good").exists, "the daemon has its copy")
    stranger = ("explain", "192.0.2.99", "--to", "203.0.113.5", "--service", "udp/51820")
    edited = gateway.window(ends_s=9000).replace("    guard: {estate: concentrators}\n", "")
    loaded = gateway.status()["windows"]
    for text, fact in (
        (edited, "the files differ from what is in force (policy); this is what is in force"),
        ("", "the files differ from what is in force (policy); this is what is in force"),
        ("- {", "the files are refused; this is what is in force; mend them: enforcer check"),
    ):
        gateway.write_windows(text)
        done = gateway.run(*stranger, before=before)
        assert done.returncode == 3, done.stderr
        assert "THE KERNEL DIFFERS" not in done.stderr
        assert fact in done.stdout
        done = gateway.run("windows", "--format", "json", before=before)
        assert (done.returncode, json.loads(done.stdout)) == (0, loaded)
        assert done.stderr.startswith(fact)


def test_without_rights_to_ask_it_is_said_that_nobody_can_tell(gateway: Gateway) -> None:
    gateway.start()
    gateway.socket.chmod(0o000)
    done = gateway.run("explain", "192.0.2.99", "--format", "json", before=NO_CAPABILITIES)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["in_force"]) == (3, None)
    fact = f"whether the files are what is in force is not known ({gateway.socket}: no permission; "
    assert answer["remark"].startswith(fact)
    done = gateway.run("windows", before=NO_CAPABILITIES)
    assert done.returncode == 0
    assert fact in done.stderr


def test_after_a_refused_shrink_explain_lets_in_whom_the_kernel_lets_in(gateway: Gateway) -> None:
    gateway.write(main=MAIN.replace("90%", "20%"))
    gateway.start()
    eventually((gateway.state_dir / "last-good").exists, "the daemon has its copy")
    fewer = REGISTRY.replace("R-1,198.51.100.0/24", "R-1,198.51.101.0/24")
    # Another window, for by now it may be another second or not.
    windows = gateway.window(starts_s=-1800)
    gateway.write(main=MAIN.replace("90%", "20%"), registry=fewer, windows=windows)
    assert gateway.run("reload").returncode == 78
    done = gateway.run("explain", "198.51.100.9", "--to", "203.0.113.5", "--service", "udp/51820")
    assert (done.returncode, done.stderr) == (0, "")
    assert ": let in\n" in done.stdout
    assert "(policy and registrations), and the last reload was refused; this is" in done.stdout


def test_what_is_due_and_not_in_force_is_told_so_by_every_verb(gateway: Gateway) -> None:
    """Nobody keeps the clock right, as the kernel says: TIME_ERROR, whatever is so here."""
    gateway.write(main=MAIN.replace("clock: false", "clock: true"), windows="")
    gateway.start(
        *("strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", os.devnull),
        *("-e", "trace=adjtimex,clock_adjtime", "-e", "inject=adjtimex,clock_adjtime:retval=5"),
    )
    why = ("--reason", "attack", "--reference", "NOC-1", "--declared-by", "noc@isp.example")
    done = gateway.run(
        "declare", "--for", "2h", "--measure", "guard=concentrators", "--id", "ddos", *why
    )
    assert done.returncode == 1
    assert done.stdout.startswith("declared ddos: due, not armed, ")
    assert done.stderr == (
        "enforcer: ddos is declared and stays so, but is not in force: the clock is not "
        "synchronised, so nothing new is armed; it opens once the clock is right, see: "
        "timedatectl\n"
    )
    status = gateway.status()
    assert (status["armed"], status["due"]) == ([], ["ddos"])
    listed = json.loads(gateway.run("windows", "--format", "json").stdout)
    assert [w["state"] for w in (*status["windows"], *listed)] == ["due", "due"]
    done = gateway.run("explain", "192.0.2.99", "--to", "203.0.113.5", "--service", "udp/51820")
    assert done.returncode == 0
    assert "udp/51820: untouched\n" in done.stdout
    assert "window ddos is due, but the kernel does not arm it" in done.stderr


def test_what_is_declared_stays_though_the_kernel_refuses_everything(gateway: Gateway) -> None:
    """Another program has put a table of its own in the place of ours."""
    gateway.write_windows("")
    gateway.start()
    gateway.inside("nft", "delete table inet enforcer; add table inet enforcer")
    done = gateway.run("declare", "--for", "30m", "--measure", "mark=0x51", "--reason", "r",
                       "--reference", "t", "--id", "urgent")  # fmt: skip
    assert done.returncode == 1
    assert "declared urgent: due, not armed" in done.stdout
    assert "urgent is declared and stays so, but is not in force: " in done.stderr
    assert (gateway.folder / "windows.d/urgent.yaml").exists()
    gateway.inside("nft", "delete", "table", "inet", "enforcer")
    eventually(lambda: gateway.status()["armed"] == ["urgent"], "it opens as soon as it can")


def test_status_with_the_daemon_without_it_and_without_rights(gateway: Gateway) -> None:
    process = gateway.start()
    done = gateway.run("status")
    assert (done.returncode, done.stderr) == (0, "")
    # A second of 0 is not said.
    left = r"(\d+h )?\d+m( \d+s)? more, until "
    assert re.match(rf"gateway   edge-1, enforcer \S+\narmed     ddos, {left}", done.stdout)
    stop(process, signal.SIGKILL)
    done = gateway.run("status")
    assert done.returncode == 1
    assert re.search(rf"armed   ddos for {left}\S+ \S+Z at the latest", done.stdout)
    assert "no daemon answers (Connection refused); run: systemctl start enforcer" in done.stderr
    # The lease of ten minutes, of the hour that it was declared for.
    timer = r"until (\S+ \S+Z) by the kernel's timer, by the schedule until (\S+ \S+Z)"
    listed = gateway.run("windows")
    told = re.search(rf"^ddos: {timer}; only", listed.stdout, re.MULTILINE)
    assert told is not None, (listed.stdout, listed.stderr)
    until, end = map(datetime.fromisoformat, told.groups())
    assert end - until > timedelta(minutes=40)
    assert re.search(timer, gateway.run("explain", "198.51.100.9").stdout)
    declared = (gateway.folder / "windows.d/w.yaml").read_text()
    gateway.write_windows("- {}\n")
    done = gateway.run("status")
    assert f"; a start with {gateway.config} would be refused:\n" in done.stderr
    assert " mistakes, the first: windows.d/w.yaml:1:3: " in done.stderr
    assert done.stderr.endswith("; then run: systemctl start enforcer\n")
    assert gateway.spawn().wait(PATIENCE_S) == 78, "as it was told"
    gateway.write_windows(declared)
    done = gateway.run("status", before=NO_CAPABILITIES)
    assert "armed   unknown (read: Operation not permitted; needs CAP_NET_ADMIN" in done.stdout
    assert "adopted" not in gateway.said()
    gateway.start()
    eventually(lambda: "adopted armed=ddos" in gateway.said(), "what was left is adopted, and said")


@pytest.mark.parametrize("verb", ["plan", "disarm"])
def test_verbs_that_need_rights_say_so(gateway: Gateway, verb: str) -> None:
    done = gateway.run(verb, before=NO_CAPABILITIES)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Operation not permitted; needs CAP_NET_ADMIN" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_user_who_may_not_speak_to_the_daemon_cannot_disarm_behind_its_back(
    gateway: Gateway,
) -> None:
    gateway.start()
    gateway.socket.chmod(0o000)
    done = gateway.run("disarm", before=NO_CAPABILITIES)
    assert (done.returncode, done.stderr) == (
        1,
        (
            # Its group is root's here: nobody but root may speak to it.
            f"enforcer: {gateway.socket}: no permission; run as root\n"
        ),
    )
    assert gateway.armed()


def test_what_is_not_known_for_want_of_rights_is_said_to_be_that(gateway: Gateway) -> None:
    gateway.start()
    gateway.socket.chmod(0o000)
    denied = f"{gateway.socket}: no permission; run as root"
    done = gateway.run("status", before=NO_CAPABILITIES)
    assert (done.returncode, done.stderr) == (1, f"enforcer: {denied}\n")
    assert done.stdout.startswith("daemon  not known: no permission to ask it\narmed   unknown (")
    done = gateway.run("status", "--format", "json", before=NO_CAPABILITIES)
    assert json.loads(done.stdout)["daemon"] is None
    done = gateway.run("close", "ddos", before=NO_CAPABILITIES)
    assert (done.returncode, done.stderr) == (1, f"enforcer: {denied}\n")
