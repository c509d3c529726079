"""A turn for a feed: what is accepted is in force, and everything else leaves what was before."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from enforcer.clock import SystemClock
from enforcer.control import HungDaemonError, NoDaemonError
from enforcer.feeds import fetching
from enforcer.feeds.settings import read_settings
from enforcer.feeds.shelf import Shelf
from enforcer.feeds.state import state_path
from enforcer.feeds.taking import Taker, Told
from tests.feeds.feed_world import Authority, Registrar, Signer, answer, csv, raw, registrar

LOADED = {"error": None, "refused": False}


class World:
    """A configuration with one feed. `daemon` is what a daemon answers: an answer or an exception;
    None: there is none.
    """

    def __init__(self, folder: Path, authority: Authority, server: Registrar) -> None:
        self.folder, self.authority, self.server = folder, authority, server
        self.config = folder / "enforcer.yaml"
        self.file = folder / "feeds" / "registrar.csv"
        self.daemon: Mapping[str, Any] | Exception | None = LOADED
        self.asked: list[dict[str, Any]] = []
        # What the file held while the daemon was asked.
        self.loaded: bytes | None = None
        self.now = SystemClock().now()
        self.synchronised = True
        self.write(f"urls: [{server.url('/r.csv')}]")

    def write(self, feed: str) -> None:
        self.config.write_text(
            "version: 1\ngateway: {name: edge-1, uplinks: [wan0]}\n"
            "categories: [mission, freelancer]\n"
            "registry:\n  sources:\n    - file: feeds/registrar.csv\n      feed:\n"
            f"        name: registrar\n        tls: {{ca: {self.authority.ca}}}\n"
            + "".join(f"        {line}\n" for line in feed.splitlines())
        )

    def sign_with(self, signer: Signer) -> None:
        self.write(f"urls: [{self.server.url('/r.csv')}]\npublic_keys: ['{signer.public}']")

    def ask(self, verb: str, **more: Any) -> Mapping[str, Any]:
        self.asked.append({"verb": verb, **more})
        self.loaded = self.file.read_bytes()
        if self.daemon is None:
            raise NoDaemonError("none") from FileNotFoundError(errno.ENOENT, "none")
        if isinstance(self.daemon, Exception):
            raise self.daemon
        return self.daemon

    def turn(self, accept: str = "") -> Told:
        settings = read_settings(self.config)
        taker = Taker(
            settings, self.ask, lambda: self.now, lambda: self.synchronised, lambda _: False
        )
        return taker.turn(settings.feeds[0], accept)

    def serve(self, body: bytes, signature: bytes | None = None, **headers: str) -> None:
        self.server.serve("/r.csv", body, signature, **headers)

    @property
    def kept(self) -> bytes | None:
        return self.file.read_bytes() if self.file.exists() else None

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads(state_path(self.file).read_bytes()))


@pytest.fixture
def world(tmp_path: Path, authority: Authority, server: Registrar) -> World:
    return World(tmp_path, authority, server)


def test_a_body_is_taken_with_what_belongs_to_it(world: World) -> None:
    world.serve(csv(5), ETag='"v1"')
    told = world.turn()
    assert (told.result, told.problem, told.notes) == ("accepted", None, ("loaded by the daemon",))
    assert world.kept == world.loaded == csv(5)
    assert world.asked == [{"verb": "reload", "registry": str(world.config), "wait_s": 120.0}]
    assert world.state["accepted"]["etag"] == '"v1"'
    again = world.turn()
    assert again.result == "unchanged"
    assert world.server.seen[-1].headers["if-none-match"] == '"v1"'
    assert len(world.asked) == 1, "nothing new, nothing to load"
    assert world.state["counts"] == {"accepted": 1, "unchanged": 1}


def test_an_etag_counts_only_together_with_its_body(world: World) -> None:
    world.serve(csv(5), ETag='"v1"')
    world.turn()
    world.file.write_bytes(csv(4))
    assert world.turn().result == "accepted", "the body is not the accepted one any more"
    assert "if-none-match" not in world.server.asked("/r.csv")[-1].headers
    assert world.kept == csv(5)
    world.serve(csv(5)[:-9], ETag='"v2"')
    assert world.turn().result == "refused"
    world.turn()
    assert world.server.seen[-1].headers["if-none-match"] == '"v1"', "never that of a refused one"


def test_other_demands_fetch_anew(world: World, signer: Signer) -> None:
    world.serve(csv(5), signer.sign(csv(5), "serial:1"), ETag='"v1"')
    world.turn()
    world.sign_with(signer)
    told = world.turn()
    assert told.result == "accepted"
    assert told.state.accepted is not None
    assert told.state.accepted.serial == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>", csv(5)[:-9], csv(5, "nobody")], ids=["empty", "html", "cut", "schema"]
)
def test_a_body_that_is_no_good_leaves_the_old_one(world: World, body: bytes) -> None:
    world.serve(csv(5))
    before = world.turn().state
    world.now += timedelta(hours=1)
    world.serve(body)
    told = world.turn()
    assert told.result == "refused"
    assert told.problem is not None
    assert world.kept == csv(5)
    assert len(world.asked) == 1, "the daemon never hears of it"
    assert told.state.accepted == before.accepted
    assert (told.state.checked_at, told.state.tried_at) == (before.checked_at, world.now)


def test_a_serial_never_goes_back(world: World, signer: Signer) -> None:
    world.sign_with(signer)
    world.serve(csv(5), signer.sign(csv(5), "serial:42"))
    assert world.turn().result == "accepted"
    world.serve(csv(5), signer.sign(csv(5), "serial:43"))
    assert world.turn().result == "unchanged"
    world.serve(csv(6), signer.sign(csv(6), "serial:42"))
    told = world.turn()
    assert told.result == "refused"
    assert "has serial 42, and 43 was taken before" in str(told.problem)
    assert world.kept == csv(5)
    # The number outlives the file.
    world.file.unlink()
    assert world.turn().result == "refused"
    state_path(world.file).write_bytes(b"{")
    told = world.turn()
    assert told.result == "failed"
    assert "so an old body could pass for a new one" in str(told.problem)


def test_a_feed_exchanged_for_another_of_the_same_key_locks_nobody_out(
    world: World, signer: Signer
) -> None:
    world.sign_with(signer)
    world.serve(csv(5), signer.sign(csv(5), "feed:registrar serial:5"))
    assert world.turn().result == "accepted"
    assert world.state["accepted"]["named"] is True
    # Of another feed, whose serials are dates.
    world.serve(csv(6), signer.sign(csv(6), "feed:missions serial:2026112501"))
    assert world.turn().result == "refused"
    assert world.kept == csv(5)
    world.serve(csv(7), signer.sign(csv(7), "feed:registrar serial:6"))
    assert world.turn().result == "accepted"
    world.serve(csv(7), signer.sign(csv(7), "serial:7"))
    assert world.turn().result == "unchanged"
    assert world.state["accepted"]["named"] is False


def test_without_signatures_a_spoilt_state_is_no_hindrance(world: World) -> None:
    world.serve(csv(5))
    world.turn()
    state_path(world.file).write_bytes(b"{")
    assert world.turn().result == "accepted"


def test_what_a_server_says_once_is_no_end_of_a_signed_feed(world: World, signer: Signer) -> None:
    world.sign_with(signer)
    signature = signer.sign(csv(5), "serial:42")
    world.serve(csv(5), signature)
    assert world.turn().result == "accepted"
    world.server.routes["/r.csv"] = raw(b"\xff" * 60_000 + b"\r\n\r\n")
    told = world.turn()
    assert told.result == "failed"
    assert told.problem == world.state["problem"]
    world.serve(csv(5), signature)
    assert world.turn().result == "unchanged"


def test_a_mistake_of_ours_is_told_and_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.serve(csv(5))
    world.turn()

    def wrong(*_: Any, **__: Any) -> None:
        raise ValueError("R-1,192.0.2.7/32")

    monkeypatch.setattr(fetching, "check", wrong)
    told = world.turn()
    assert told.result == "failed"
    assert str(told.problem).startswith("met a mistake in enforcer itself (ValueError, test_taking")
    assert "192.0.2.7" not in str(told.problem), "promise 6"
    assert world.state["counts"] == {"accepted": 1, "failed": 1}
    assert world.kept == csv(5)
    monkeypatch.setattr(Shelf, "state", wrong)
    assert "met a mistake" in str(world.turn().problem)


# --- the daemon -----------------------------------------------------------------------------------

SHRINK = (
    "registry: 4 of 5 prefixes of category mission would be removed, more than shrink_limit 20%; "
    "check the registry files, or, if it is meant: enforcer reload --accept-shrink 0123abcd"
)


def test_what_the_daemon_refuses_is_taken_back(world: World) -> None:
    world.serve(csv(5))
    world.turn()
    world.serve(csv(1))
    world.daemon = {"error": SHRINK, "refused": True, "shrink": "0123abcd", "first": SHRINK}
    told = world.turn()
    assert world.loaded == csv(1), "the daemon saw it"
    assert told.result == "refused"
    assert world.kept == csv(5)
    assert str(told.problem).endswith(
        "more than shrink_limit 20%; ask who publishes it or, if it is meant: enforcer fetch "
        "--once registrar --accept-shrink 0123abcd"
    )
    world.daemon = LOADED
    assert world.turn("0123abcd").result == "accepted"
    assert world.asked[-1]["accept_shrink"] == "0123abcd"
    assert world.kept == csv(1)


def test_what_two_categories_lose_is_told_with_one_remedy(world: World) -> None:
    world.serve(csv(5))
    world.turn()
    world.serve(csv(1))
    both = f"{SHRINK.replace('mission', 'freelancer')}\n{SHRINK}"
    world.daemon = {"error": both, "refused": True, "shrink": "0123abcd", "first": SHRINK}
    told = str(world.turn().problem)
    assert "category freelancer would be removed, more than shrink_limit 20% · reg" in told
    assert told.count("--accept-shrink 0123abcd") == 1


def test_another_refusal_is_told_shortly_and_in_full_on_a_terminal(world: World) -> None:
    world.serve(csv(5))
    world.daemon = {"error": "a.csv:3:1: R-1 …", "refused": True, "shrink": None, "first": "a.csv"}
    told = world.turn()
    assert (told.problem, told.details) == ("is refused by the daemon: a.csv", "a.csv:3:1: R-1 …")
    assert world.kept is None


@pytest.mark.parametrize(
    "error", [HungDaemonError("hangs"), NoDaemonError("the answer is cut short")]
)
def test_a_daemon_that_does_not_say_leaves_the_old_one(world: World, error: Exception) -> None:
    world.serve(csv(5))
    world.turn()
    world.serve(csv(6))
    world.daemon = error
    assert world.turn().result == "failed"
    assert world.kept == csv(5)


@pytest.mark.parametrize("told", [{}, {"ETag": '"1"'}], ids=["same bytes", "not modified"])
def test_a_daemon_that_has_begun_since_is_asked_once(world: World, told: dict[str, str]) -> None:
    """It may hold something else: what it kept, where it refuses what is on the disk."""
    world.serve(csv(5), **told)
    world.daemon = None
    assert world.turn().result == "accepted"
    assert world.turn().result == "unchanged"
    world.daemon = {"error": "r: it shrinks; ask", "refused": True, "first": "it shrinks; ask"}
    told_of = world.turn()
    assert (told_of.result, told_of.problem) == (
        "refused", "is refused by the daemon: it shrinks; ask",
    )  # fmt: skip
    assert world.kept == csv(5), "there is nothing better"
    world.daemon, before = LOADED, len(world.asked)
    assert [world.turn().result for _ in range(3)] == ["unchanged"] * 3
    assert len(world.asked) == before + 1
    assert world.loaded == csv(5)


def test_the_kernels_trouble_is_no_fault_of_the_body(world: World) -> None:
    world.serve(csv(5))
    world.daemon = {"error": "commit: no room", "refused": False}
    told = world.turn()
    assert (told.result, told.notes) == ("accepted", ("loaded, but: commit: no room",))


@pytest.mark.parametrize(
    "daemon", [None, {"error": "the daemon reads /x/enforcer.yaml", "elsewhere": True}]
)
def test_without_a_daemon_the_shrink_limit_holds_all_the_same(
    world: World, daemon: Mapping[str, Any] | None
) -> None:
    world.daemon = daemon
    world.serve(csv(100))
    told = world.turn()
    assert told.result == "accepted"
    assert "daemon" in told.notes[0]
    world.serve(csv(79))
    told = world.turn()
    assert told.result == "refused"
    assert "21 of 100 prefixes of category mission would be removed" in str(told.problem)
    assert world.kept == csv(100)
    token = str(told.problem).rpartition(" ")[2]
    assert world.turn("f" * 8).result == "refused"
    assert world.turn(token).result == "accepted"
    assert world.kept == csv(79)


def test_killed_while_the_daemon_is_asked_nothing_is_lost(world: World) -> None:
    world.serve(csv(5))
    world.turn()
    world.serve(csv(1))

    def killed(verb: str, **_: Any) -> Mapping[str, Any]:
        raise KeyboardInterrupt

    world.ask = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        world.turn()
    assert world.kept == csv(5)


# --- the world around it --------------------------------------------------------------------------


def test_a_clock_that_is_wrong_is_named(world: World, authority: Authority) -> None:
    files = authority.make("soon", timedelta(days=1), timedelta(days=2))
    with registrar(*files) as server:
        world.write(f"urls: [{server.serve('/r', csv(1))}]")
        world.synchronised = False
        told = world.turn()
        assert "not yet valid" in str(told.problem)
        assert "nobody keeps it right: set the clock" in str(told.problem)
        world.now = world.now.replace(year=1970)
        assert "the clock is wrong, set it" in str(world.turn().problem)
    assert world.kept is None


def test_a_disk_that_takes_nothing_is_said(world: World) -> None:
    world.serve(csv(5))
    world.file.parent.write_text("no folder")
    told = world.turn()
    assert told.result == "failed"
    assert "make room, or give the folder to this user" in str(told.problem)


def test_a_secret_that_cannot_be_used_is_a_failure(world: World) -> None:
    world.write(f"urls: [{world.server.url('/r.csv')}]\nauth: {{token_file: token}}")
    told = world.turn()
    assert told.result == "failed"
    assert "token: does not exist" in str(told.problem)
    assert world.server.seen == []


def test_another_process_at_the_same_feed(world: World) -> None:
    with Shelf(world.file).held(0):
        told = world.turn()
    assert (told.result, told.problem) == (
        "failed",
        "is being fetched by another process; wait for that one",
    )


def test_a_mirror_that_was_passed_over_is_told(world: World) -> None:
    world.server.routes["/bad"] = raw(answer(404))
    world.write(f"urls: [{world.server.url('/bad')}, {world.server.url('/r.csv')}]")
    world.serve(csv(5))
    told = world.turn()
    assert told.result == "accepted"
    assert told.notes[0].startswith(f"passed over: {world.server.url('/bad')} answers 404")
    assert replace(told, notes=()).good
