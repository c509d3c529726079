"""Which of the kernel's events are about us, whose they are, and what they make doubtful."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from daemon_worlds import BEFORE, INSIDE, World

from enforcer.drift import Suspicion
from enforcer.errors import KernelError
from enforcer.kernel.events import KernelEvent, Monitor
from enforcer.notify import notify
from enforcer.ruleset import transaction as t
from enforcer.ruleset.compiler import epoch_ns
from enforcer.watch import Culprit, HushedKernel, notice

DEVICES = frozenset({"wan0"})
EDIT = KernelEvent("ours", "new_element", 7, 4711, "nft", frozenset({"reg4-32-16"}))
OTHER_TABLE = KernelEvent("ruleset", "", 8, 4712, "kube-proxy")
UPLINK = KernelEvent("link", "wan0 deleted", devices=frozenset({"wan0"}))
LOST = KernelEvent("overflow", "events were lost")


@pytest.mark.parametrize(
    "event",
    [
        OTHER_TABLE,
        KernelEvent("ours", "new_element", 7, os.getpid(), "enforcer", by_us=True),
        KernelEvent("link", "ppp9 up", devices=frozenset({"ppp9"})),
        KernelEvent("qdisc", "ppp9 htb added", devices=frozenset({"ppp9"})),
        KernelEvent("qdisc", "wan0 htb added", devices=DEVICES, by_us=True),
    ],
    ids=lambda event: event.detail or event.kind,
)
def test_what_is_not_about_us_is_no_reason_to_look(event: KernelEvent) -> None:
    assert notice([event], DEVICES) is None


def test_an_edit_names_its_sets_and_its_culprit() -> None:
    noticed = notice([UPLINK, OTHER_TABLE, EDIT], DEVICES)
    assert noticed is not None
    assert noticed.cause == "ours new_element"
    assert noticed.suspicion == Suspicion(frozenset({"reg4-32-16"}), told=True)
    assert noticed.culprit == Culprit("nft", 4711)
    assert str(noticed.culprit) == "nft (process 4711)"
    assert noticed.touched


def test_lost_events_make_everything_doubtful() -> None:
    noticed = notice([LOST, EDIT], DEVICES)
    assert noticed is not None
    assert noticed.suspicion.everything
    assert noticed.touched
    assert noticed.culprit == Culprit("nft", 4711)


def test_a_qdisc_tells_only_a_process_and_an_unknown_device_is_looked_at() -> None:
    noticed = notice([KernelEvent("qdisc", "7 htb deleted", pid=31)], DEVICES)
    assert noticed is not None
    assert str(noticed.culprit) == "a program (process 31)"
    assert not noticed.touched
    assert str(Culprit()) == "a program"


class HearingMonitor:
    """The part of a monitor that a kernel tells of its commits."""

    def __init__(self) -> None:
        self.known: list[int] = []
        self.hushed = 0

    own, own_ports = Monitor.own, Monitor.own_ports

    @contextmanager
    def deaf(self, *_: object) -> Iterator[None]:
        self.hushed += 1
        yield

    @property
    def _own(self) -> list[int]:
        return self.known


def test_our_commits_are_known_by_their_generation_and_empty_ones_are_not() -> None:
    world = World()
    heard = HearingMonitor()
    kernel = HushedKernel(world.kernel, heard)  # type: ignore[arg-type]
    now_ns = epoch_ns(INSIDE)
    kernel.commit(t.Transaction(kernel.generation(), (t.CreateTable(),)), now_ns)
    assert heard.known == [kernel.generation()]
    with pytest.raises(KernelError):
        kernel.commit(t.Transaction(kernel.generation(), (t.CreateTable(),)), now_ns)
    kernel.commit(t.Transaction(kernel.generation(), ()), now_ns)
    assert heard.known == [kernel.generation()]


def test_a_load_into_the_kernel_is_no_hang_for_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, heard = World(), HearingMonitor()
    real, told = world.kernel.commit, list[list[bytes]]()
    notify("READY=1")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "30000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)

        def said() -> list[bytes]:
            found = []
            try:
                while True:
                    found.append(manager.recv(4096))
            except BlockingIOError:
                return found

        def commit(transaction: t.Transaction, now_ns: int) -> None:
            told.append(said())
            real(transaction, now_ns)

        world.kernel.commit = commit  # type: ignore[method-assign]
        world.daemon._kernel = HushedKernel(world.kernel, heard)  # type: ignore[arg-type]
        world.step_at(BEFORE)
        assert told == [[b"WATCHDOG_USEC=120000000"]]
        assert said() == [b"WATCHDOG=1\nWATCHDOG_USEC=30000000"]
        world.step_at(INSIDE)
        # An edge loads nothing.
        assert told[1:] == [[]]
        assert said() == []
