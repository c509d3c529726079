"""A fleet as its people and its gateways meet it: a real etcd, real followers, daemons, kernels."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.clock import SystemClock
from enforcer.fleet.etcd import Delete, Put
from enforcer.fleet.publishing import Draft, publish, sign_with_minisign
from enforcer.fleet.store import RefusedError
from tests.kernel.daemon_process import PATIENCE_S, eventually
from tests.kernel.fleet_world import (
    FLEET,
    LINKS,
    SHARED,
    Fleet,
    made_fleet,
    rows,
    secured_fleet,
    stopped,
)

pytestmark = pytest.mark.kernel


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with made_fleet(tmp_path) as made:
        yield made


def test_a_revision_reaches_every_kernel_and_is_told_of(fleet: Fleet) -> None:
    gateways = [fleet.member("edge-1"), fleet.member("edge-2")]
    said = fleet.publish("--note", "the first")
    assert "revision 1 of national: 2 files changed" in said
    for gateway in gateways:
        gateway.follow()
        gateway.start()
    eventually(fleet.converged, "all hold revision 1")
    assert all(g.holds("10.0.0.14") and not g.holds("10.9.9.9") for g in gateways)

    registry = fleet.published / "registry.csv"
    registry.write_text(registry.read_text() + "R-new,10.9.9.9/32,freelancer,,,\n")
    assert "1 file changed (registry.csv)" in fleet.publish()
    eventually(lambda: all(g.holds("10.9.9.9") for g in gateways), "the row is in every kernel")
    eventually(fleet.converged, "all report revision 2")
    told = json.loads(fleet.command("fleet", "--format", "json").stdout)
    assert [(g["gateway"], g["revision"]) for g in told["gateways"]] == [
        ("edge-1", 2),
        ("edge-2", 2),
    ]

    key = ("--key", str(fleet.secret))
    meant = fleet.command("rollback", "1", *key)
    assert meant.returncode == 1
    assert "would remove 1 of 1 of freelancer, more than shrink_limit 20%" in meant.stderr
    token = meant.stderr.rsplit(" ", 1)[1].strip()
    back = fleet.command("rollback", "1", *key, "--accept-shrink", token)
    assert back.returncode == 0, back.stderr
    assert "revision 3 of national: 1 file changed (registry.csv), 0 bytes sent" in back.stdout
    eventually(lambda: not any(g.holds("10.9.9.9") for g in gateways), "the row has gone")


def test_one_that_stops_is_missed(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    (follower,) = fleet.begin(gateway)
    assert stopped(follower) == 0
    told = fleet.command("fleet")
    assert told.returncode == 1
    assert "edge-1" in told.stdout
    assert "does not report" in told.stdout
    assert fleet.command("fleet", "forget", "edge-1").returncode == 0
    assert "no gateway has reported yet" in fleet.command("fleet").stdout


def test_the_first_revision_comes_before_there_is_a_daemon(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    once = ("follow", "--once", "--fleet", str(gateway.file))
    assert gateway.spawn(*once).wait(PATIENCE_S) == 0
    assert 'no_revision track=stable remedy="enforcer publish"' in gateway.said("follow")
    # A window that reserves on a link which this gateway does not have: found without a daemon.
    fleet.add_links()
    fleet.window("    reserve: {link: wan, share: 40%}\n")
    fleet.publish()
    assert gateway.spawn(*once).wait(PATIENCE_S) == 1
    assert "revision_refused revision=1" in gateway.said("follow")
    assert not gateway.main.exists()
    gateway.write(more=LINKS)
    assert gateway.spawn(*once).wait(PATIENCE_S) == 0
    assert "name: edge-1" in gateway.main.read_text()
    gateway.start()
    # It listens before it has loaded.
    eventually(lambda: gateway.holds("10.0.0.14"))


def test_what_one_gateway_cannot_take_stays_out_of_it_alone(fleet: Fleet) -> None:
    able, unable = fleet.member("able"), fleet.member("unable")
    able.write(more=LINKS)
    fleet.begin(able, unable)
    fleet.add_links()
    fleet.window("    reserve: {link: wan, share: 40%}\n")
    fleet.publish()
    eventually(lambda: fleet.row("able")["revision"] == 2, "the one takes it")
    eventually(lambda: fleet.row("unable")["refused"] == 2, "the other refuses it")
    told = fleet.command("fleet")
    assert told.returncode == 1
    assert "refuses 2: windows.d/w.yaml:" in told.stdout
    assert "1 of 2 gateways not converged" in told.stdout
    # What it held is in force, and on its disk for a restart.
    assert fleet.row("unable")["revision"] == 1
    assert "revisions/000000000001" in str((unable.state / "fleet" / "current").readlink())
    # Its own file mended, it takes the same revision.
    unable.write(more=LINKS)
    unable.processes[0].send_signal(signal.SIGHUP)
    eventually(fleet.converged, "both hold revision 2")


def test_a_window_that_is_declared_on_a_gateway_outlasts_the_next_revision(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    fleet.begin(gateway)
    why = ("--reason", "attack", "--reference", "NOC-1", "--declared-by", "noc@isp.example")
    declared = gateway.spawn(
        "--config", str(gateway.main), "declare", "--for", "1h", "--measure", "mark=0x51",
        "--id", "ddos", *why,
    )  # fmt: skip
    assert declared.wait(PATIENCE_S) == 0, gateway.said("--config")
    assert gateway.armed()
    fleet.add_row("10.9.9.9/32")
    fleet.publish()
    eventually(lambda: gateway.holds("10.9.9.9"), "the row is in the kernel")
    eventually(fleet.converged, "it holds revision 2")
    assert gateway.armed()
    assert fleet.row("edge-1")["local"] == ["ddos"]
    assert "windows of their own: ddos (1)" in fleet.command("fleet").stdout


def test_etcd_away_changes_nothing_and_is_caught_up_with(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    fleet.begin(gateway)
    fleet.server.kill()
    eventually(lambda: "etcd_lost" in gateway.said("follow"), "the loss is said")
    assert gateway.holds("10.0.0.14")
    lost = fleet.command("fleet")
    assert lost.returncode == 1
    assert "cannot be reached (Connection refused); look whether etcd runs" in lost.stderr
    fleet.server.start()
    fleet.add_row("10.9.9.9/32")
    fleet.publish()
    eventually(lambda: gateway.holds("10.9.9.9"), "what came meanwhile is taken")
    eventually(lambda: "etcd_back" in gateway.said("follow"))


def test_an_older_copy_of_etcd_takes_no_gateway_back(fleet: Fleet, tmp_path: Path) -> None:
    gateway = fleet.member("edge-1")
    fleet.begin(gateway)
    fleet.server.kill()
    shutil.copytree(fleet.server.data, tmp_path / "copy")
    fleet.server.start()
    fleet.add_row("10.9.9.9/32")
    fleet.publish()
    eventually(lambda: gateway.holds("10.9.9.9"))
    eventually(fleet.converged)
    fleet.server.kill()
    fleet.server.restore(tmp_path / "copy")
    fleet.server.start()
    eventually(lambda: fleet.row("edge-1").get("refused") == 1, "the older one is refused")
    assert "2 was held here before" in fleet.row("edge-1")["problem"]
    assert gateway.holds("10.9.9.9")
    # The way out that it names: numbers go on from what gateways hold.
    assert "revision 3 of national" in fleet.publish()
    eventually(fleet.converged)
    assert gateway.holds("10.9.9.9")


def test_what_was_tampered_with_is_refused(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    fleet.begin(gateway)
    fleet.add_row("10.9.9.9/32")
    fleet.publish("--canary")
    with fleet.store() as store:
        place = store.key("revisions", "000000000002")
        _, entry = store.client.get(place)
        assert entry is not None
        changed = entry.value.replace(b"registry.csv", b"registry.cvs")
        store.client.commit([Put(place, changed), Put(store.key("head", "stable"), b"2")])
        eventually(lambda: fleet.row("edge-1")["refused"] == 2, "a changed manifest is refused")
        assert "is not what was signed" in fleet.row("edge-1")["problem"]
        # Another revision of the fleet's own under this number is not it either.
        _, first = store.client.get(store.key("revisions", "000000000001"))
        assert first is not None
        store.client.commit([Put(store.key("revisions", "000000000003"), first.value)])
        store.set_head("stable", 3)
        eventually(lambda: fleet.row("edge-1")["refused"] == 3, "a replayed one is refused")
        assert "was signed as revision 1" in fleet.row("edge-1")["problem"]
        # And a chunk counts by its hash.
        store.client.commit(
            [Delete(store.key("revisions", "000000000003")), Put(place, entry.value)]
        )
        for chunk in store.client.under(store.key("chunks", "")).entries:
            if b"10.9.9.9" in chunk.value:
                bad = chunk.value.replace(b"10.9.9.9", b"10.9.9.8")
                store.client.commit([Put(chunk.key, bad)])
        store.set_head("stable", 2)
        eventually(lambda: fleet.row("edge-1")["refused"] == 2, "a changed chunk is refused")
        assert "has other bytes than the chunk" in fleet.row("edge-1")["problem"]
    assert gateway.holds("10.0.0.14")
    assert not gateway.holds("10.9.9.9")
    assert not gateway.holds("10.9.9.8")


def test_of_two_publishers_one_is_told(fleet: Fleet) -> None:
    fleet.publish()
    with fleet.store() as store:
        sign = sign_with_minisign(fleet.secret)

        def while_signing(text: str, comment: str) -> str:
            fleet.add_row("10.8.8.8/32")
            assert "revision 2 of national" in fleet.publish("--note", "the other one")
            return sign(text, comment)

        files = {"enforcer.yaml": SHARED.encode(), "registry.csv": rows(200).encode()}
        draft = Draft("enforcer.yaml", files, "somebody", "", ("stable", "canary"))
        now = SystemClock().now()
        with pytest.raises(RefusedError, match=r"revision 2 was published by .* meanwhile; look"):
            publish(store, draft, (fleet.key,), now, while_signing)
        newest = store.newest((fleet.key,))
        assert newest is not None
        assert newest.number == 2


def test_what_is_old_is_taken_out_and_what_is_kept_stays_whole(fleet: Fleet) -> None:
    for number in range(1, 7):
        fleet.add_row(f"10.9.9.{2 * number + 1}/32")
        fleet.publish(*(("--canary",) if number > 1 else ()))
    keys = (fleet.key,)
    with fleet.store() as store:
        before = store.client.under(store.key("chunks", ""), keys_only=True).entries
        assert store.prune(keys, 4) == 0
        orphan = Put(store.key("chunks", "0" * 64), b"being published")
        store.client.commit([orphan])
        gone = store.prune(keys, 2)
        after = store.client.under(store.key("chunks", ""), keys_only=True).entries
        assert gone == len(before) - len(after) + 1 > 0
        # The last two, and the first, which the gateways of track stable have to hold.
        assert store.numbers() == [6, 5, 1]
        for number in (1, 5, 6):
            signed = store.signed(number)
            assert signed is not None
            files = store.fetch(signed.revision(FLEET, number, keys), {})
            assert f"10.9.9.{2 * number + 1}/32".encode() in files["registry.csv"]
        assert orphan.key in {entry.key for entry in after}


def test_canaries_first_and_the_others_by_hand(fleet: Fleet) -> None:
    canary, other = fleet.member("canary-1", "canary"), fleet.member("edge-1")
    fleet.begin(canary, other)
    fleet.add_row("10.9.9.9/32")
    assert "gateways of track canary take it now" in fleet.publish("--canary")
    eventually(lambda: canary.holds("10.9.9.9"), "the canary takes it")
    eventually(fleet.converged, "each holds what its track has to")
    assert not other.holds("10.9.9.9")
    done = fleet.command("fleet", "promote")
    assert "revision 2 of national goes to all gateways now" in done.stdout, done.stderr
    eventually(lambda: other.holds("10.9.9.9"), "the others take it")
    fleet.add_row("10.9.9.11/32")
    promoted = fleet.publish("--canary", "--promote-after", "5s", "--format", "json")
    assert json.loads(promoted)["tracks"] == ["stable", "canary"]
    eventually(lambda: other.holds("10.9.9.11"), "after a time without errors all take it")


def test_a_canary_that_errs_keeps_a_revision_from_the_others(fleet: Fleet) -> None:
    canary, other = fleet.member("canary-1", "canary"), fleet.member("edge-1")
    fleet.begin(canary, other)
    fleet.add_links()
    fleet.window("    reserve: {link: wan, share: 40%}\n")
    done = fleet.command(
        "publish", "--key", str(fleet.secret), "--canary", "--promote-after", "20s"
    )
    assert done.returncode == 1
    assert "not promoted: canary-1 refuses revision 2" in done.stderr
    refused = fleet.command("fleet", "promote", "2")
    assert refused.returncode == 1
    assert "canary-1 refuses revision 2" in refused.stderr
    assert fleet.row("edge-1")["revision"] == 1


def test_a_follower_that_restarts_has_nothing_to_do(fleet: Fleet) -> None:
    gateway = fleet.member("edge-1")
    (follower,) = fleet.begin(gateway)
    stopped(follower, signal.SIGKILL)
    before = (gateway.state / "fleet" / "current").readlink().resolve()
    reloads = gateway.said("run").count("reload_asked")
    gateway.follow()
    eventually(lambda: gateway.said("follow").count("revision_taken") == 2, "it holds it again")
    assert gateway.said("run").count("reload_asked") == reloads
    assert (gateway.state / "fleet" / "current").readlink().resolve() == before
    eventually(fleet.converged)


def test_tls_and_a_user(tmp_path: Path) -> None:
    with secured_fleet(tmp_path) as fleet:
        here, password = tmp_path / "ca", tmp_path / "password"
        gateway = fleet.member("edge-1")
        fleet.begin(gateway)
        assert gateway.holds("10.0.0.14")
        password.write_text("wrong\n")
        wrong = fleet.command("fleet")
        assert wrong.returncode == 1
        assert "check user and password_file" in wrong.stderr
        assert "wrong\n" not in wrong.stderr
        fleet.etcd_more = f", tls: {{ca: {here}/client.pem}}"
        refused = fleet.command("fleet")
        assert refused.returncode == 1
        assert "certificate that is refused" in refused.stderr
        assert "check ca" in refused.stderr
        named = f"ca: {here}/ca.pem, certificate: {here}/named.pem, key: {here}/named.key"
        fleet.etcd_more = f", tls: {{{named}}}, user: enforcer, password_file: {password}"
        assert "a client certificate without a common name" in fleet.command("fleet").stderr
