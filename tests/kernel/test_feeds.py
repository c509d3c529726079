"""Feeds as a gateway meets them: a real HTTPS server and minisign, the real daemon and kernel."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from enforcer.kernel.namespace import in_namespace
from tests.feeds.feed_world import Authority, Request, answer, csv, raw, registrar
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually, stop
from tests.kernel.feed_gateway import World, made_world
from tests.kernel.test_systemd import FETCH_UNIT, confined

pytestmark = pytest.mark.kernel


@pytest.fixture
def world(gateway: Gateway) -> Iterator[World]:
    with made_world(gateway) as made:
        yield made


def test_a_signed_feed_comes_into_the_kernel_and_is_told_of(world: World) -> None:
    gateway = world.gateway
    refused = gateway.run("check")
    assert refused.returncode == 78
    assert "feeds/registrar.csv: was never fetched; run: enforcer fetch --once registrar" in (
        refused.stdout
    )
    world.publish(csv(100, "freelancer"), 1)
    first = world.fetch()
    assert (first["result"], first["serial"], first["rows"]) == ("accepted", 1, 100)
    assert first["notes"] == ["no daemon runs; it is read when one starts"]
    gateway.start()
    assert world.holds("60.0.0.14")
    assert not world.holds("60.0.0.200")

    world.publish(csv(101, "freelancer"), 2)
    second = world.fetch()
    assert (second["result"], second["notes"]) == ("accepted", ["loaded by the daemon"])
    assert world.holds("60.0.0.200"), "it is in the kernel when fetch ends"
    third = world.fetch()
    assert (third["result"], third["code"]) == ("unchanged", 0)
    assert third["accepted_at"] == second["accepted_at"] < third["checked_at"]
    assert world.server.asked("/r.csv")[-1].headers["if-none-match"] == '"2-3320"'

    def told() -> bool:
        (feed,) = gateway.status()["feeds"]
        return bool(feed["checked_at"] == third["checked_at"] and feed["serial"] == 2)

    eventually(told, "status tells of the last fetch")
    checked = datetime.fromisoformat(third["checked_at"]).timestamp()
    newest = 'enforcer_feed_last_success_timestamp_seconds{feed="registrar"}'
    eventually(lambda: abs(gateway.metrics()[newest] - checked) < 1, "the port has looked, too")
    interval = gateway.metrics()['enforcer_feed_interval_seconds{feed="registrar"}']
    assert interval == 3600


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("tampered", "is not what was signed"),
        ("truncated", "is not what was signed"),
        ("cut off", "was cut short"),
        ("replayed", "has serial 1, and 2 was taken before"),
        ("unsigned", "has no signature beside it that can be read"),
        ("another key", "is signed with key"),
        ("oversized", "is larger than max_size"),
        ("rows", "has more rows than max_rows"),
        ("drip", "was not whole within 1 s"),
        ("schema", "is no registry that the daemon would take (line 2"),
        ("shrunk", "21 of 101 prefixes of category freelancer would be removed"),
        ("page", "is not what was signed"),
        ("gone", "answers 404"),
        ("down", "Connection refused"),
        ("expired", "certificate has expired"),
        ("stranger", "has a certificate that is refused"),
    ],
)
def test_a_fault_of_the_feed_changes_nothing_in_force(
    world: World, fault: str, why: str, tmp_path: Path
) -> None:
    """An armed window goes on with the registrations that were accepted, in kernel and files."""
    world.begin()
    world.publish(csv(101, "freelancer"), 2)
    assert world.fetch()["result"] == "accepted"
    gateway, good = world.gateway, csv(102, "freelancer")
    armed, handles, kept = gateway.armed(), gateway.handles(), world.file.read_bytes()
    assert armed
    match fault:
        case "tampered":
            world.publish(good, 3, good.replace(b"60.0.0.14", b"66.6.6.6"))
        case "truncated":
            world.publish(good, 3, good[: len(good) // 2])
        case "cut off":
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(good)}\r\n\r\n".encode()
            world.server.routes["/r.csv"] = raw(head, good[:500])
        case "replayed":
            world.publish(csv(100, "freelancer"), 1)
        case "unsigned":
            world.server.serve("/r.csv", good)
            world.server.routes["/r.csv.minisig"] = raw(answer(404))
        case "another key":
            world.minisign("-G", "-f", "-W", "-p", "other.pub", "-s", "k.key")
            world.publish(good, 3)
        case "oversized":
            world.write(more=", max_size: 1MB")
            world.publish(csv(40_000, "freelancer"), 3)
        case "rows":
            world.write(more=", max_rows: 101")
            world.publish(good, 3)
        case "drip":
            slow(world)
        case "schema":
            world.publish(csv(101, "nobody"), 3)
        case "shrunk":
            world.publish(csv(80, "freelancer"), 3)
        case "page":
            world.publish(good, 3, b"<!doctype html><title>Log in</title>")
        case "gone":
            world.server.routes["/r.csv"] = raw(answer(404))
        case "down":
            world.write(["https://localhost:1/r.csv"])
        case "expired" | "stranger":
            pass
    told = served_by_another(world, fault, tmp_path) or world.fetch()
    assert told["code"] == 1
    assert why in told["problem"]
    assert told["serial"] == 2
    assert world.file.read_bytes() == kept
    assert (gateway.armed(), gateway.handles()) == (True, handles)
    assert gateway.status()["config"]["ok"]
    assert not world.holds("60.0.0.202")


def slow(world: World) -> None:
    def drip(_: Request) -> Iterable[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        for _ in range(400):
            time.sleep(0.05)
            yield b"R"

    config = world.gateway.config
    config.write_text(config.read_text().replace("timeout: 5s", "timeout: 1s"))
    world.server.routes["/r.csv"] = drip


def served_by_another(world: World, fault: str, folder: Path) -> dict[str, Any] | None:
    """A server whose certificate is out of time, or of nobody that is trusted."""
    if fault not in ("expired", "stranger"):
        return None
    trusted = world.authority if fault == "expired" else Authority(folder / "other")
    files = trusted.make(
        "late", timedelta(days=-9), timedelta(days=-1 if fault == "expired" else 9)
    )
    with in_namespace(world.gateway.namespace):
        opened = registrar(*files)
        server = opened.__enter__()
    try:
        world.write([server.serve("/r.csv", csv(102, "freelancer"))])
        return world.fetch()
    finally:
        opened.__exit__(None, None, None)


def test_a_shrink_is_accepted_by_its_token_and_on_record(world: World) -> None:
    world.begin()
    world.publish(csv(50, "freelancer"), 2)
    told = world.fetch()
    assert told["result"] == "refused"
    said, _, token = told["problem"].rpartition(" ")
    assert said.endswith("enforcer fetch --once registrar --accept-shrink")
    assert world.holds("60.0.0.198")
    wrong = world.fetch("registrar", "--accept-shrink", "f" * 8)
    assert wrong["result"] == "refused"
    assert world.fetch("registrar", "--accept-shrink", token)["result"] == "accepted"
    assert not world.holds("60.0.0.198")
    lines = (world.gateway.state_dir / "audit.jsonl").read_text().splitlines()
    (accepted,) = [r for r in map(json.loads, lines) if r["what"] == "accepted"]
    assert accepted["removed"] == {"freelancer": 50}


def test_half_written_windows_neither_come_into_force_nor_keep_a_feed_from_it(
    world: World,
) -> None:
    world.begin()
    gateway = world.gateway
    gateway.write_windows(gateway.window(ends_s=7200).replace("ddos", "other"))
    world.publish(csv(101, "freelancer"), 2)
    assert world.fetch()["result"] == "accepted"
    assert gateway.status()["armed"] == ["ddos"], "nobody has reloaded them"
    gateway.write_windows("nonsense")
    world.publish(csv(102, "freelancer"), 3)
    assert world.fetch()["result"] == "accepted"
    assert world.holds("60.0.0.202")
    assert gateway.status()["config"]["ok"]


def test_a_configuration_that_the_daemon_does_not_read_is_fetched_beside_it(world: World) -> None:
    world.begin()
    gateway, other = world.gateway, world.folder / "other"
    other.mkdir()
    (other / "enforcer.yaml").write_text(gateway.config.read_text())
    world.publish(csv(101, "freelancer"), 2)
    done = gateway.run("--config", str(other / "enforcer.yaml"), "fetch", "--once")
    assert done.returncode == 0, done.stderr
    assert f"not loaded: the daemon reads {gateway.config}, and not this" in done.stdout
    assert (other / "feeds" / "registrar.csv").read_bytes() == csv(101, "freelancer")
    assert world.file.read_bytes() == csv(100, "freelancer")
    assert not world.holds("60.0.0.200")


def test_a_registry_that_was_broken_at_a_restart_is_mended_by_the_next_fetch(world: World) -> None:
    process = world.begin()
    gateway = world.gateway
    eventually(lambda: gateway.status()["last_good"]["accepted_at"], "it is kept")
    process.kill()
    process.wait(PATIENCE_S)
    world.file.write_text("<html>")
    gateway.start()
    assert not gateway.status()["config"]["ok"]
    assert gateway.armed(), "the last good one is adopted"
    world.publish(csv(100, "freelancer"), 2)
    assert world.fetch()["result"] == "accepted"
    assert gateway.status()["config"]["ok"], "and nobody had to reload"


def test_killed_at_any_instant_it_leaves_the_old_or_the_new(world: World) -> None:
    world.begin()
    daemon = world.gateway
    bodies = {csv(100, "freelancer")}
    for number in range(12):
        body = csv(101 + number, "freelancer")
        bodies.add(body)
        world.publish(body, 2 + number)
        process = daemon.spawn(argv=("fetch", "--once"))
        time.sleep(0.25 + 0.06 * number)
        process.kill()
        process.wait(PATIENCE_S)
        assert world.file.read_bytes() in bodies
    told = world.fetch()
    assert told["result"] in ("accepted", "unchanged")
    assert (told["serial"], told["rows"]) == (13, 112)
    assert world.holds("60.0.0.222")
    assert not list(world.file.parent.glob("*.before"))


def test_the_loop_fetches_in_its_time_and_on_a_signal(world: World) -> None:
    world.begin()
    gateway = world.gateway
    process = gateway.spawn(argv=("fetch",))
    eventually(lambda: "info fetching feeds=registrar" in gateway.said())
    time.sleep(1.0)
    asked = len(world.server.asked("/r.csv"))
    assert asked == 1, "the last fetch was just now"
    world.publish(csv(101, "freelancer"), 2)
    process.send_signal(signal.SIGHUP)
    eventually(lambda: world.holds("60.0.0.200"), "the new row is in the kernel")
    eventually(lambda: "info feed_accepted feed=registrar rows=101 serial=2" in gateway.said())
    world.publish(csv(101, "freelancer"), 1)
    process.send_signal(signal.SIGHUP)
    eventually(lambda: "error feed_refused feed=registrar" in gateway.said())
    eventually(lambda: gateway.status()["feeds"][0]["problem"])
    counted = 'enforcer_feed_fetches_total{feed="registrar",result="refused"}'
    eventually(lambda: gateway.metrics().get(counted, 0) >= 1, "the port has looked, too")
    assert stop(process) == 0
    assert "Traceback" not in gateway.said()


def test_it_does_its_work_inside_its_units_filter_and_without_a_capability(world: World) -> None:
    """The kernel itself refuses what the unit does not allow."""
    process = world.begin()
    world.publish(csv(101, "freelancer"), 2)
    inside = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", *confined(FETCH_UNIT))
    done = world.gateway.run("fetch", "--once", before=inside)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "registrar: accepted: 101 rows, serial 2, from https://localhost:" in done.stdout
    assert world.holds("60.0.0.200")
    assert stop(process) == 0


def test_root_leaves_what_it_fetches_to_the_daemons_user(world: World) -> None:
    """`fetch --once` by hand: the service goes on with it afterwards."""
    nobody = 65534
    for path in (world.folder, *world.folder.parents):
        if path.stat().st_mode & 0o001 == 0 and str(path) != "/":
            path.chmod(path.stat().st_mode | 0o011)
    feeds = world.file.parent
    feeds.mkdir()
    os.chown(feeds, nobody, nobody)
    for path in (world.gateway.config, *world.authority.folder.glob("*.pem")):
        path.chmod(0o644)
    world.publish(csv(100, "freelancer"), 1)
    assert world.fetch()["result"] == "accepted"
    assert {p.stat().st_uid for p in feeds.iterdir()} == {nobody}
