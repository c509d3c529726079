"""What a follower says it holds is what the daemon has answered for, whatever came in between."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from enforcer import log
from enforcer.control import DeniedError, HungDaemonError, NoDaemonError, TurnedAwayError
from enforcer.fleet.poke import Poke
from enforcer.fleet.store import Signed
from enforcer.sources.files import load_policy
from tests.fleet.follower_world import HEADER, ROW, World
from tests.policy.documents_by_hand import window

MORE = HEADER + ROW + b"R-2,203.0.113.0/24,mission,,,\n"
LOADED = {"error": None, "refused": False}
AWAY = TurnedAwayError("control.sock: the daemon hangs up without an answer")
HUNG = HungDaemonError("control.sock: the daemon does not answer within 60 s")


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.publish(1)
    made.follower.turn()
    assert (made.report().revision, made.report().healthy, made.asked) == (1, True, 1)
    return made


def gone(cause: Exception) -> NoDaemonError:
    error = NoDaemonError("control.sock: no daemon listens here")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [AWAY, HUNG, DeniedError("no"), gone(TimeoutError())], ids=repr)
def test_what_the_daemon_did_not_answer_for_is_not_held(world: World, error: Exception) -> None:
    world.publish(2, MORE)
    world.daemon = error
    world.follower.turn()
    told = world.report()
    assert (told.revision, told.refused, told.healthy) == (1, None, False)
    assert str(error) in str(told.problem)
    assert not world.follower.holds_what_is_due
    assert world.on_disk == HEADER + ROW, "what a daemon that starts now begins with"
    world.daemon = LOADED
    asked = world.asked
    world.follower.turn()
    assert world.asked == asked, "not before a pause"
    assert not world.report().healthy
    world.due()
    world.follower.turn()
    assert world.loaded == world.on_disk == MORE
    told = world.report()
    assert (told.revision, told.problem, told.healthy) == (2, None, True)


def test_the_pauses_between_attempts_grow(world: World) -> None:
    world.publish(2, MORE)
    world.daemon = AWAY
    pauses = []
    for _ in range(9):
        world.due()
        world.follower.turn()
        pauses.append(world.follower._again_at - time.monotonic())
        assert world.follower._rest_s() <= pauses[-1] + 0.1
    assert pauses[0] <= 1.0
    assert 25.0 < pauses[-1] <= 60.0
    assert world.asked == 10


def test_where_no_daemon_runs_it_is_there_for_one_that_starts(world: World) -> None:
    world.publish(2, MORE)
    world.daemon = gone(FileNotFoundError())
    world.follower.turn()
    assert world.report().revision == 2
    assert "no daemon listens" in str(world.report().problem), "said, though held"
    assert world.follower.holds_what_is_due
    assert world.on_disk == MORE


@pytest.mark.parametrize("begun_anew", [False, True])
def test_a_daemon_that_has_begun_since_is_asked_once(world: World, begun_anew: bool) -> None:
    """It may hold something else: what it kept, where it refuses what is on the disk."""
    world.publish(2, MORE)
    world.daemon = gone(FileNotFoundError())
    world.follower.turn()
    world.follower.turn()
    assert world.asked == 2, "nobody is there: no need to ask at every turn"
    if begun_anew:
        world.follower = world.begun()
    world.daemon = LOADED
    if begun_anew:
        world.follower.renew()
    for _ in range(3):
        world.follower.turn()
    assert (world.asked, world.loaded) == (3, MORE)
    assert (world.report().revision, world.report().healthy) == (2, True)


def test_a_daemon_that_begins_ends_the_rest_before_the_next_look(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcer.fleet.follower.BEGUN_S", 0.01)
    monkeypatch.setattr("enforcer.fleet.follower.LOOK_S", 30.0)
    world.publish(2, MORE)
    world.daemon = gone(FileNotFoundError())
    world.follower.turn()
    looks = []

    def ask(verb: str, **more: Any) -> Mapping[str, Any]:
        looks.append(verb)
        world.daemon = LOADED if len(looks) == 3 else world.daemon
        return world.ask(verb, **more)

    world.follower.ask = ask
    world.follower._rest(Poke())
    assert looks == ["status"] * 3
    world.follower.turn()
    assert (world.report().revision, world.report().healthy) == (2, True)
    # From then on a watch and the next look are enough.
    monkeypatch.setattr("enforcer.fleet.follower.LOOK_S", 0.05)
    world.follower._rest(Poke())
    assert looks[3:] == ["status", "reload", "status"]


def test_what_a_daemon_that_has_begun_since_refuses_is_reported(world: World) -> None:
    world.publish(2, MORE)
    world.daemon = gone(FileNotFoundError())
    world.follower.turn()
    world.daemon = {"error": "it shrinks; ask", "refused": True}
    for _ in range(3):
        world.follower.turn()
    assert world.asked == 3, "not at every turn"
    told = world.report()
    assert (told.refused, told.problem) == (2, "it shrinks; ask")
    world.daemon = LOADED
    world.due()
    world.follower.turn()
    assert (world.report().refused, world.report().healthy) == (None, True)


class KilledError(BaseException):
    """As kill -9 leaves things: nothing is done after it."""


@pytest.mark.parametrize("answer", ["taken", "refused"])
def test_killed_before_the_answer_the_next_one_asks(
    world: World, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish(2, MORE)
    world.daemon = KilledError()
    with monkeypatch.context() as patched:
        patched.setattr(type(world.follower), "_take_back", lambda *_: None)
        with pytest.raises(KilledError):
            world.follower.turn()
    assert world.on_disk == MORE
    world.daemon = LOADED if answer == "taken" else {"error": "a: no; mend it", "refused": True}
    world.follower, asked = world.begun(), world.asked
    world.follower.renew()
    assert world.asked == asked + 1
    world.follower.turn()
    taken = answer == "taken"
    assert world.on_disk == (MORE if taken else HEADER + ROW)
    told = world.report()
    assert (told.revision, told.refused) == ((2, None) if taken else (1, 2))


def test_an_unforeseen_end_leaves_what_the_daemon_holds(world: World) -> None:
    world.publish(2, MORE)
    world.daemon = KilledError()
    with pytest.raises(KilledError):
        world.follower.turn()
    assert world.on_disk == HEADER + ROW


def test_a_restart_asks_nothing_that_was_answered(world: World) -> None:
    world.follower = world.begun()
    world.follower.renew()
    world.follower.turn()
    assert world.asked == 1
    assert (world.report().revision, world.report().healthy) == (1, True)


def spoil(path: Path) -> None:
    path.write_bytes(HEADER)


def no_main(folder: Path) -> None:
    (folder / "enforcer.yaml").unlink()
    (folder / ".shared" / "enforcer.yaml").unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (shutil.rmtree, "enforcer.yaml is not there any more"),
        (no_main, "enforcer.yaml is not there any more"),
        (lambda folder: (folder / "enforcer.yaml").unlink(), "enforcer.yaml is not there any more"),
        (lambda folder: (folder / "registry.csv").unlink(), "registry.csv is not there any more"),
        (lambda folder: spoil(folder / "registry.csv"), "registry.csv is not what was published"),
        (lambda folder: spoil(folder / ".shared/enforcer.yaml"), "enforcer.yaml is not what was"),
        (lambda folder: folder.with_suffix(".signed").unlink(), ".signed: No such file"),
    ],
    ids=["folder", "main", "composed", "registry gone", "registry", "shared", "signed"],
)
def test_what_the_disk_has_lost_is_said_and_fetched_anew(
    world: World, harm: Callable[[Path], object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("text", journal=False)
    folder = world.spool.main.resolve()
    before = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    harm(folder)
    world.loaded, world.follower = None, world.begun()
    poke = Poke()
    # It ends with its first turn.
    world.follower.run(poke, poke.end)
    told = capsys.readouterr().err
    assert f"{folder.parent}" in told
    assert said in told
    assert "it is fetched anew once etcd answers" in told
    after = {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()}
    assert after == before
    assert world.loaded == HEADER + ROW, "a daemon that has read it meanwhile is asked to again"
    assert (world.report().revision, world.report().healthy) == (1, True)


def test_own_sections_that_nobody_loaded_are_asked_for_again(world: World) -> None:
    text = world.follower.settings.text.replace("uplinks: [lo]", "uplinks: [lo, wan0]")
    object.__setattr__(world.follower.settings, "text", text)
    world.follower._loaded = None
    world.daemon = HUNG
    world.follower.renew()
    assert "wan0" not in (world.spool.main / "enforcer.yaml").read_text()
    assert world.report().revision == 1
    world.daemon = LOADED
    world.due()
    world.follower.turn()
    assert "wan0" in (world.spool.main / "enforcer.yaml").read_text()
    assert (world.asked, world.report().healthy) == (3, True)


def test_what_was_declared_here_outlasts_every_revision(world: World) -> None:
    own = world.spool.directory / "windows.d"
    own.mkdir()
    (own / "urgent.yaml").write_text(window("urgent", measures="mark: {fwmark: 0x51}"))
    world.follower.turn()
    assert world.report().local == ("urgent",)
    for number in range(2, 8):
        world.publish(number, HEADER + ROW * number)
        world.follower.turn()
        policy, _ = load_policy(world.spool.main / "enforcer.yaml")
        assert [w.id for w in policy.windows] == ["urgent"]
    assert (world.report().revision, world.report().healthy) == (7, True)
    (own / "urgent.yaml").unlink()
    world.follower.turn()
    assert world.report().local == ()


def test_a_refusal_names_places_and_no_registrant(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("text", journal=False)
    world.publish(2, HEADER + b"ahmad-khan,198.51.100.77/24,mission,,,\n")
    world.daemon = gone(ConnectionRefusedError())
    world.follower.turn()
    told = str(world.report().problem)
    said = capsys.readouterr().err
    assert world.report().refused == 2
    assert "registry.csv:2:" in told
    assert "registry.csv:2:" in said
    for secret in ("ahmad", "198.51.100.77"):
        assert secret not in told + said
    assert world.on_disk == HEADER + ROW


@pytest.mark.parametrize(
    "head", [b"0" * 19 + b"1" + b"9" * 5000, b"9" * 13, b"0", b"-1", "²".encode(), b""]
)
def test_a_head_that_is_no_number_is_refused(world: World, head: bytes) -> None:
    world.head(head)
    world.follower.turn()
    told = world.report()
    assert (told.revision, told.refused) == (1, 0)
    assert "where a revision's number belongs; look who writes there" in str(told.problem)


@pytest.mark.parametrize("field", ["manifest", "signature"])
def test_half_a_character_is_refused(world: World, field: str) -> None:
    world.publish(2, MORE)
    place = world.store.key("revisions", f"{2:012}")
    good = Signed.of(world.etcd.held[place])
    changed = {"manifest": good.manifest, "signature": good.signature, field: "\ud800"}
    world.etcd.held[place] = Signed(**changed).stored()
    world.follower.turn()
    assert (world.report().revision, world.report().refused) == (1, 2)
    assert "is no revision; publish it again" in str(world.report().problem)
