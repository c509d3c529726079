"""Decisions on a disk that hangs: what opens counts only when it is kept, what ends is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from daemon_worlds import INSIDE, World

from enforcer import decisions
from enforcer.chronicle import Chronicle
from enforcer.decisions import Decision, RefusedError
from enforcer.notary import Clerk
from enforcer.observe.audit_files import records
from enforcer.policy.model import Policy
from enforcer.recorder import Recorder
from enforcer.schedule.orders import Orders
from enforcer.scribe import Job
from enforcer.standing import FILE, read_orders
from tests.daemon.test_desk import PROVISIONAL

PATIENCE_S = 20
NONE = Orders()


class Disk:
    """Hangs at the `at`-th sync from now on, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at, self.hangs, self.go = 0, threading.Event(), threading.Event()
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self.at -= 1
        if self.at == 0:
            self.hangs.set()
            assert self.go.wait(PATIENCE_S)
        self._sync(descriptor)


class Office:
    def __init__(self, directory: Path, disk: Disk) -> None:
        self.directory, self.disk = directory, disk
        self.recorder = Recorder(directory, lambda: INSIDE)
        self.chronicle = Chronicle(self.recorder, dict)
        self.recorder.scribe.start()
        self.recorder.look()
        assert self.recorder.scribe.hand(lambda _: None).wait(PATIENCE_S)
        self.clerk = Clerk(directory, self.chronicle, self._wait)

    def _wait(self, job: Job) -> bool:
        """Its patience ends as soon as the disk hangs."""
        while not job.wait(0.01):
            if self.disk.hangs.is_set():
                return False
        return True

    def whats(self) -> list[str]:
        return [r.what for r in records(self.directory)]

    def settled(self) -> None:
        self.disk.go.set()
        assert self.recorder.scribe.close(PATIENCE_S)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    made = Office(tmp_path, Disk(monkeypatch))
    yield made
    made.settled()


@pytest.fixture
def policy() -> Policy:
    world = World()
    world.windows = PROVISIONAL
    return world.configuration().policy


def confirmed(policy: Policy) -> Decision:
    return decisions.confirm(policy, NONE, INSIDE, "ddos", "noc")


def closed(policy: Policy, now: datetime = INSIDE) -> Decision:
    return decisions.close(policy, confirmed(policy).orders, now, "ddos", "noc")


def test_what_opens_is_on_disk_and_on_record_before_it_counts(
    office: Office, policy: Policy
) -> None:
    decision = confirmed(policy)
    office.clerk.opening(NONE, decision)
    assert read_orders(office.directory) == decision.orders
    assert office.whats() == ["confirmed"]


@pytest.mark.parametrize(
    ("sync", "on_record"),
    [
        pytest.param(1, [], id="orders"),
        pytest.param(2, ["confirmed"], id="record"),
    ],
)
def test_what_opens_and_hangs_is_refused_and_not_ordered(
    office: Office, policy: Policy, sync: int, on_record: list[str]
) -> None:
    office.disk.at = sync
    with pytest.raises(RefusedError, match="the disk does not answer; what opens a window must"):
        office.clerk.opening(NONE, confirmed(policy))
    # What another decision orders meanwhile stands.
    after = closed(policy)
    warning = office.clerk.ending(NONE, after)
    assert "the disk does not answer; it is done, but a restart would" in (warning() or "")
    office.settled()
    assert read_orders(office.directory) == after.orders
    assert office.whats() == [*on_record, "closed"]


def test_what_opens_and_hangs_leaves_no_order(office: Office, policy: Policy) -> None:
    office.disk.at = 2
    with pytest.raises(RefusedError):
        office.clerk.opening(NONE, confirmed(policy))
    office.settled()
    assert read_orders(office.directory) == NONE
    assert not any(FILE in name and name != FILE for name in os.listdir(office.directory))


def test_what_opens_counts_once_only_the_syncing_of_its_renaming_is_left(
    office: Office, policy: Policy
) -> None:
    decision = confirmed(policy)
    office.disk.at = 3
    office.clerk.opening(NONE, decision)
    assert office.disk.hangs.is_set()
    assert read_orders(office.directory) == decision.orders
    assert office.whats() == ["confirmed"]


# What it says is what the person is told; then it dies as by kill -9.
KILLED = """
import os, signal, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from enforcer.chronicle import Chronicle
from enforcer.decisions import Decision, RefusedError
from enforcer.notary import Clerk
from enforcer.observe.audit import Event
from enforcer.recorder import Recorder
from enforcer.schedule.orders import Order, Orders
import threading

directory, at = Path(sys.argv[1]), int(sys.argv[2])
now = datetime(2026, 12, 1, 8, tzinfo=UTC)
recorder = Recorder(directory, lambda: now)
recorder.scribe.start()
recorder.tell(Event(now, "declared", "enforcer", "w", "")).wait()
sync, hangs, left = os.fsync, threading.Event(), at

def hang(descriptor):
    global left
    left -= 1
    if left == 0:
        hangs.set()
        threading.Event().wait()
    sync(descriptor)

def wait(job):
    while not job.wait(0.01):
        if hangs.is_set():
            return False
    return True

os.fsync = hang
order = Order("w", now, now + timedelta(hours=1), "confirmed", "noc", now)
decision = Decision(Orders((order,)), (Event(now, "confirmed", "noc", "w", ""),), None, True)
try:
    Clerk(directory, Chronicle(recorder, dict), wait).opening(Orders(), decision)
    print("taken", flush=True)
except RefusedError:
    print("refused", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_while_the_disk_hangs_the_next_daemon_goes_by_what_the_person_was_told(
    tmp_path: Path,
) -> None:
    said = []
    for at in range(1, 5):
        directory = tmp_path / str(at)
        directory.mkdir()
        command = [sys.executable, "-c", KILLED, str(directory), str(at)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        said.append(done.stdout.strip())
        taken = said[-1] == "taken"
        assert bool(read_orders(directory).every) is taken
        whats = [r.what for r in records(directory)]
        assert not taken or whats == ["declared", "confirmed"]
    assert said == ["refused", "refused", "taken", "taken"]


def test_what_waits_behind_a_hanging_disk_and_is_given_up_leaves_nothing(
    office: Office, policy: Policy
) -> None:
    office.disk.at = 1
    office.clerk.ending(confirmed(policy).orders, closed(policy))
    assert office.disk.hangs.wait(PATIENCE_S)
    with pytest.raises(RefusedError):
        office.clerk.opening(NONE, confirmed(policy))
    office.settled()
    assert [o.word for o in read_orders(office.directory).every] == ["closed"]
    assert office.whats() == ["closed"]


def test_what_ends_is_on_record_in_the_order_in_which_it_was_told(
    office: Office, policy: Policy
) -> None:
    warning = office.clerk.ending(confirmed(policy).orders, closed(policy))
    assert warning() is None
    assert (office.directory / FILE).exists()
    assert office.whats() == ["closed"]


def full(office: Office) -> Callable[..., None]:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    return refuse


def test_what_ends_and_is_not_on_record_yet_is_said(
    office: Office, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcer.observe.audit_files.os.write", full(office))
    warning = office.clerk.ending(confirmed(policy).orders, closed(policy))()
    assert "No space left on device" in (warning or "")
    assert (warning or "").endswith("it is done, but not on the record yet")
