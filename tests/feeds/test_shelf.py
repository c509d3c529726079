"""A body on the disk and its state: whatever ends the process in between, they belong together."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.feeds.shelf import BusyError, Shelf, digest_of
from enforcer.feeds.state import SpoiltError, State, state_path
from tests.feeds.test_feeds_state import ONE

OLD, NEW = replace(ONE, digest=digest_of(b"old")), replace(ONE, digest=digest_of(b"new"))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """With an old body that was accepted."""
    made = Shelf(tmp_path / "feeds" / "registrar.csv")
    with made.held(0):
        made.place(b"old")
        made.keep(State(OLD))
    return made


def files(shelf: Shelf) -> dict[str, bytes]:
    return {
        p.name.removeprefix("registrar.csv"): p.read_bytes()
        for p in shelf.file.parent.iterdir()
        if p.suffix not in (".state", ".lock")
    }


def test_a_body_is_accepted_with_its_state(shelf: Shelf) -> None:
    assert shelf.state() == State(OLD)
    assert shelf.settle(OLD)
    assert files(shelf) == {"": b"old"}
    assert shelf.file.stat().st_mode & 0o777 == 0o640


def test_a_body_on_trial_is_withdrawn(shelf: Shelf) -> None:
    shelf.place(b"new")
    assert (shelf.file.read_bytes(), shelf.old()) == (b"new", b"old")
    shelf.withdraw()
    assert files(shelf) == {"": b"old"}
    assert shelf.settle(OLD)


def test_a_first_body_that_is_withdrawn_leaves_nothing(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "r.csv")
    shelf.place(b"new")
    shelf.withdraw()
    assert not list(tmp_path.iterdir())
    assert not shelf.settle(None)


def test_killed_while_a_body_is_on_trial_the_old_one_is_put_back(shelf: Shelf) -> None:
    shelf.place(b"new")
    assert shelf.settle(OLD)
    assert files(shelf) == {"": b"old"}


def test_killed_right_after_it_was_accepted_the_new_one_stays(shelf: Shelf) -> None:
    shelf.place(b"new")
    state_path(shelf.file).write_bytes(b"{}")
    assert shelf.settle(NEW)
    assert files(shelf) == {"": b"new"}


def test_a_file_that_somebody_else_changed_is_not_the_accepted_one(shelf: Shelf) -> None:
    shelf.file.write_bytes(b"other")
    assert not shelf.settle(OLD)
    assert files(shelf) == {"": b"other"}, "and it is not thrown away"
    shelf.place(b"new")
    shelf.withdraw()
    assert files(shelf) == {"": b"other"}, "not even when a new one is refused"


def test_a_spoilt_state_is_said(shelf: Shelf) -> None:
    state_path(shelf.file).write_bytes(b"{")
    with pytest.raises(SpoiltError):
        shelf.state()
    state_path(shelf.file).chmod(0o666)
    with pytest.raises(SpoiltError, match="chmod"):
        shelf.state()


def test_two_processes_do_not_work_on_one_feed(shelf: Shelf) -> None:
    with shelf.held(0), pytest.raises(BusyError, match="another process"), shelf.held(0.2):
        pass
    entered = threading.Event()

    def wait() -> None:
        with shelf.held(20):
            entered.set()

    with shelf.held(0):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not entered.wait(0.3)
    assert entered.wait(20)
    waiter.join(20)
