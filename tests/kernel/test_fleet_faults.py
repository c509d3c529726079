"""What befalls a fleet between its gateways and etcd, and what strangers write there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.clock import SystemClock
from enforcer.fleet import etcd, watching
from enforcer.fleet.etcd import Put
from enforcer.fleet.publishing import sign_with_minisign
from enforcer.fleet.revision import Revision
from enforcer.fleet.store import Signed
from tests.kernel.daemon_process import PATIENCE_S, eventually
from tests.kernel.fleet_world import (
    FLEET,
    LINKS,
    SHARED,
    Fleet,
    Member,
    made_fleet,
    secured_fleet,
    stopped,
)
from tests.kernel.test_systemd import FOLLOW_UNIT, confined

pytestmark = pytest.mark.kernel

# How long etcd is dead: `ENFORCER_OUTAGE_S=60` for the whole minute.
OUTAGE_S = float(os.environ.get("ENFORCER_OUTAGE_S", "10"))
_GUARD = "    guard: {estate: mail}\n"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with made_fleet(tmp_path) as made:
        yield made


# --- between a gateway and etcd -------------------------------------------------------------------


def begun(fleet: Fleet) -> Member:
    """A gateway whose daemon holds the first revision; nobody follows yet."""
    gateway = fleet.member("edge-1")
    fleet.publish()
    assert gateway.spawn("follow", "--once", "--fleet", str(gateway.file)).wait(PATIENCE_S) == 0
    gateway.start()
    return gateway


def tuned(gateway: Member, **constants: float) -> subprocess.Popen[bytes]:
    """A follower with other constants, so that nothing but what a test is about can help it."""
    words = ["follow", "--fleet", str(gateway.file)]
    of = {name: "watching" if hasattr(watching, name) else "follower" for name in constants}
    sets = "".join(f"{of[name]}.{name} = {value!r}; " for name, value in constants.items())
    code = (
        f"import sys; from enforcer.fleet import follower, watching; {sets}"
        f"from enforcer.cli.main import main; sys.exit(main({words!r}))"
    )
    return gateway.spawn_any("follow", sys.executable, "-c", code)


@pytest.mark.parametrize(
    "constants",
    [{"_SILENCE_S": 3600.0, "LOOK_S": 2.0}, {"LOOK_S": 3600.0, "_SILENCE_S": 3.0}],
    ids=["the watch stays deaf", "nobody looks without a watch"],
)
def test_connections_that_went_deaf_hide_no_revision(
    fleet: Fleet, constants: dict[str, float]
) -> None:
    """As when a firewall between has forgotten them: no packet comes, and no end of file."""
    gateway = begun(fleet)
    tuned(gateway, **constants)
    eventually(fleet.converged)
    deaf = eventually(lambda: len(gateway.connections()) >= 2 and gateway.connections())
    gateway.cut(*deaf)
    fleet.add_row("10.9.9.9/32")
    fleet.publish()
    eventually(lambda: gateway.holds("10.9.9.9"), "the revision is found all the same")
    if constants["_SILENCE_S"] > constants["LOOK_S"]:
        assert gateway.connections() & deaf, "the watch waits still, and told nothing"
    eventually(fleet.converged, "and the gateway reports again")


def test_a_watch_ends_when_nothing_is_heard(fleet: Fleet) -> None:
    with fleet.store() as store:
        _, now = store.head("stable")
        assert list(store.client.watch(store.key("head", ""), now, silence_s=3.0)) == []


def test_what_was_forgotten_under_a_watch_is_caught_up_with(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    (follower,) = fleet.begin(gateway)
    gateway.cut()
    for last in (3, 5, 7):
        fleet.add_row(f"10.9.9.{last}/32")
        fleet.publish()
    with fleet.store() as store:
        now = store.head("stable")[1]
        fleet.ctl("compact", str(now))
        told: list[int] = []
        # Far below what is kept: etcd cancels the watch, whose silence would last an hour.
        watch = store.client.watch(store.key("head", ""), 1, silence_s=3600)
        thread = threading.Thread(target=lambda: told.extend(watch), daemon=True)
        thread.start()
        eventually(lambda: not thread.is_alive(), "a watch from what is forgotten is over")
        assert told == []
    gateway.mend()
    eventually(lambda: gateway.holds("10.9.9.7"), "it is at the last of them")
    eventually(fleet.converged)
    assert follower.poll() is None


def test_a_window_ends_at_its_end_while_etcd_is_dead(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    fleet.begin(gateway)
    ends_at = fleet.window(_GUARD, starts_s=-60, ends_s=15 + OUTAGE_S / 2)
    fleet.publish()
    eventually(gateway.armed, "the window is armed")
    fleet.server.kill()
    back_at = time.monotonic() + OUTAGE_S
    clock = SystemClock()
    while clock.now() < ends_at:
        armed, holds = gateway.armed(), gateway.holds("10.0.0.14")
        if clock.now() < ends_at:
            assert armed, "what is in force stays"
            assert holds
        time.sleep(0.5)
    eventually(lambda: not gateway.armed(), "the window ends by itself")
    time.sleep(max(0.0, back_at - time.monotonic()))
    assert gateway.holds("10.0.0.14")
    eventually(lambda: "etcd_lost" in gateway.said("follow"))
    assert gateway.said("follow").count("etcd_lost") == 1, "said once"
    fleet.server.start()
    fleet.add_row("10.9.9.9/32")
    fleet.publish()
    eventually(lambda: gateway.holds("10.9.9.9"), "what came meanwhile is taken")
    assert not gateway.armed()


def test_an_etcd_that_hangs_is_an_etcd_away(fleet: Fleet) -> None:
    gateway = begun(fleet)
    follower = tuned(gateway, LOOK_S=2.0)
    eventually(fleet.converged)
    assert fleet.server.process is not None
    fleet.server.process.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: "etcd_lost" in gateway.said("follow"), "its silence is said")
        assert "does not answer in time" in gateway.said("follow")
        assert gateway.holds("10.0.0.14")
    finally:
        fleet.server.process.send_signal(signal.SIGCONT)
    fleet.add_row("10.9.9.9/32")
    fleet.publish()
    eventually(lambda: gateway.holds("10.9.9.9"))
    assert follower.poll() is None


def test_a_reload_and_an_end_are_at_once(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    fleet.publish("--canary")
    follower = tuned(gateway, LOOK_S=3600.0, _SILENCE_S=3600.0)
    eventually(lambda: fleet.row("edge-1"), "it reports")
    assert gateway.said("follow").count("revision_taken") == 0
    gateway.write("canary")
    follower.send_signal(signal.SIGHUP)
    eventually(lambda: fleet.row("edge-1").get("track") == "canary", "the new track")
    assert gateway.said("follow").count("revision_taken") == 1
    follower.send_signal(signal.SIGTERM)
    assert follower.wait(20) == 0


def test_a_reload_needs_no_etcd_and_a_bad_one_changes_nothing(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    gateway.write(more=LINKS)
    fleet.add_links()
    fleet.window("    reserve: {link: wan, share: 40%}\n")
    (follower,) = fleet.begin(gateway)
    daemon = gateway.processes[-1]
    fleet.server.kill()
    before = gateway.main.read_text()
    gateway.write()
    follower.send_signal(signal.SIGHUP)
    eventually(lambda: "revision_refused revision=1" in gateway.said("follow"), "no such link")
    assert gateway.main.read_text() == before, "and the daemon starts with what it had"
    stopped(daemon, signal.SIGKILL)
    gateway.start()
    taken = gateway.said("follow").count("revision_taken revision=1")
    gateway.write(more=LINKS.replace("1gbit", "2gbit"))
    follower.send_signal(signal.SIGHUP)
    eventually(lambda: "2gbit" in gateway.main.read_text(), "its sections are its own")
    eventually(lambda: gateway.said("follow").count("revision_taken revision=1") > taken)
    fleet.server.start()
    eventually(fleet.converged)


def test_the_follower_works_inside_its_units_filter_without_a_capability(tmp_path: Path) -> None:
    """The kernel refuses what the unit does not allow, and the unit allows no capability."""
    bare = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
    with secured_fleet(tmp_path) as fleet:
        gateway = fleet.member("edge-1")
        fleet.publish()
        follower = gateway.follow(*bare, *confined(FOLLOW_UNIT))
        gateway.start()
        eventually(fleet.converged)
        told = Path(f"/proc/{follower.pid}/status").read_text()
        for line in (
            "CapEff:\t" + 16 * "0",
            "CapBnd:\t" + 16 * "0",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ):
            assert line in told
        fleet.add_row("10.9.9.9/32")
        fleet.publish()
        eventually(lambda: gateway.holds("10.9.9.9"))
        fleet.add_links()
        fleet.window("    reserve: {link: wan, share: 40%}\n")
        fleet.publish()
        eventually(lambda: fleet.row("edge-1")["refused"] == 3, "it refuses")
        gateway.write(more=LINKS)
        follower.send_signal(signal.SIGHUP)
        eventually(fleet.converged, "and reloads")
        assert stopped(follower) == 0
        assert "does not report" in fleet.command("fleet").stdout, "its lease is given back"
        said = gateway.said("follow")
        assert "Traceback" not in said
        assert "Operation not permitted" not in said


# --- what somebody writes into etcd ---------------------------------------------------------------


def test_forged_numbers_push_and_hold_up_nobody(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    fleet.begin(gateway)
    report = {
        "gateway": "forged",
        "track": "stable",
        "revision": 999_999_999_999,
        "refused": None,
        "problem": "\x1b[2Jall is well",
        "armed": [],
        "version": "",
        "labels": {},
        "at": "",
    }
    with fleet.store() as store:
        forged = [
            Put(store.key("gateways", "forged"), json.dumps(report).encode()),
            Put(store.key("gateways", "vast"), b'{"revision": 1' + b"0" * 5000 + b"}"),
            Put(store.key("gateways", "\x1b[31m"), b"{}"),
            Put(store.key("revisions", "999999999999"), b"{}"),
            Put(store.key("revisions", "1" * 40), b"{}"),
            Put(store.key("newest"), b"999999999999"),
            Put(store.key("head", "stable"), b"9" * 40),
        ]
        store.client.commit(forged)
    eventually(lambda: fleet.row("edge-1").get("refused") == 0, "no number is refused, and told")
    fleet.add_row("10.9.9.9/32")
    assert "revision 2 of national: 1 file changed (registry.csv)" in fleet.publish()
    eventually(lambda: gateway.holds("10.9.9.9"))
    eventually(lambda: fleet.row("edge-1")["converged"], "it reports what it holds")
    told = fleet.command("fleet")
    assert told.returncode == 1
    assert "forged" in told.stdout
    assert "\x1b" not in told.stdout
    assert "revision 3 of national" in fleet.publish(), "and nothing is held up after that"


def test_large_values_are_read_in_smaller_parts(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd, "MOST_ANSWER_BYTES", 3_000_000)
    with fleet.store() as store:
        for number in range(4):
            key = store.key("gateways", f"large-{number}")
            store.client.commit([Put(key, os.urandom(1_400_000))])
        assert store.reports() == {f"large-{number}": None for number in range(4)}


def test_a_revision_before_that_is_none_any_more_holds_nothing_up(fleet: Fleet) -> None:
    """One that another version published, whose configuration this one does not read."""
    sign = sign_with_minisign(fleet.secret)
    with fleet.store() as store:
        files = {"enforcer.yaml": SHARED.replace("version: 1", "version: 0").encode()}
        now = SystemClock().now()
        roots, _ = store.upload(files)
        old = Revision(FLEET, 1, now, "somebody", "", "enforcer.yaml", roots)
        signed = Signed(old.text(), sign(old.text(), f"serial:1 enforcer {FLEET}"))
        store.publish(old, signed, 0, ("stable",))
    said = fleet.publish()
    assert "revision 2 of national" in said
    assert "what the registry loses was not counted here, gateways will: revision 1: " in said
    assert "enforcer.yaml:1:10" in said
