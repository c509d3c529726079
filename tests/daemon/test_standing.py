"""Standing orders outlive a restart; a spoilt file is said, and nothing new is armed then."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from daemon_worlds import INSIDE, World

from enforcer.schedule.orders import Order, Orders
from enforcer.standing import FILE, held, read_or_none_new, read_orders, write_orders

STARTS, ENDS = datetime(2026, 12, 1, 8, tzinfo=UTC), datetime(2026, 12, 1, 20, tzinfo=UTC)
EVERY = Orders().given(
    [
        Order("a", STARTS, ENDS, "closed", "noc (pid 7)", STARTS),
        Order("b", STARTS, ENDS, "confirmed", "noc", shift=timedelta(days=-1)),
        Order("c", STARTS, ENDS, "trial", until=STARTS + timedelta(minutes=5)),
    ]
)


def row(**changed: object) -> str:
    sound = {
        "window": "w",
        "starts_at": "2026-12-01T08:00:00Z",
        "ends_at": "2026-12-01T09:00:00Z",
        "word": "confirmed",
    }
    return json.dumps([{**sound, **changed}])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_orders(tmp_path, EVERY)
    read = read_orders(tmp_path)
    assert read == EVERY
    assert [(o.by, o.given_at) for o in read.every] == [(o.by, o.given_at) for o in EVERY.every]
    assert sorted(p.name for p in tmp_path.iterdir()) == [FILE]


def test_no_file_means_no_orders(tmp_path: Path) -> None:
    assert read_orders(tmp_path) == Orders()
    assert read_or_none_new(tmp_path) == (Orders(), None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[{}]",
        "[3]",
        '[{"window": "w", "starts_at": "x", "ends_at": "y", "word": "closed"}]',
        row(starts_at="2026-12-01T08:00:00"),
        row(word="opened"),
        row(word="trial"),
        row(shift_s=1e30),
        "[" * 5000,
    ],
)
def test_a_spoilt_file_is_said_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ValueError, match=r"."):
        read_orders(tmp_path)
    orders, problem = read_or_none_new(tmp_path)
    assert orders == Orders(readable=False)
    assert problem is not None
    assert str(tmp_path / FILE) in problem
    with pytest.raises(OSError, match="not written over"):
        write_orders(tmp_path, orders)
    assert (tmp_path / FILE).read_text() == text


def test_a_refused_write_leaves_the_old_orders_and_no_scratch(tmp_path: Path) -> None:
    write_orders(tmp_path, EVERY)
    before = (tmp_path / FILE).read_text()
    (tmp_path / f".{FILE}.new").mkdir()
    with pytest.raises(OSError, match=r"."):
        write_orders(tmp_path, Orders())
    assert (tmp_path / FILE).read_text() == before
    assert len(json.loads(before)) == 3


def test_with_orders_lost_nothing_new_is_armed_and_what_is_armed_stays() -> None:
    world = World()
    world.start(Orders(readable=False))
    world.step_at(INSIDE)
    assert world.armed() == set()
    assert world.outcome.waiting == ("ddos",)
    assert "orders.json" in (world.daemon.snapshot().problem or "")
    world.start()
    world.step_at(INSIDE)
    world.start(Orders(readable=False))
    world.step_at(INSIDE + timedelta(minutes=4))
    assert world.armed() == {"ddos"}


def test_who_decides_without_a_daemon_and_a_daemon_that_begins_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Orders] = []

    def begin() -> None:
        with held(tmp_path):
            seen.append(read_orders(tmp_path))

    daemon = threading.Thread(target=begin)
    with held(tmp_path):
        daemon.start()
        write_orders(tmp_path, EVERY)
    daemon.join()
    assert seen == [EVERY]
    monkeypatch.setattr("enforcer.standing._LOCK_S", 0.01)
    with held(tmp_path), held(tmp_path):
        "one that was stopped in the middle of it keeps nobody from going on"
    with held(tmp_path / "nothing there"):
        assert not (tmp_path / "nothing there").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_root_locks_the_daemons_user_can_lock(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with held(tmp_path):
        made = (tmp_path / f"{FILE}.lock").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (65534, 65534, 0o640)
