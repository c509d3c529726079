"""Which of the kernel's events are about us, whose they are, and what they make doubtful."""

from __future__ import annotations

import os

import pytest
from daemon_worlds import INSIDE, World

from enforcer.drift import Suspicion
from enforcer.errors import KernelError
from enforcer.kernel.events import KernelEvent, Monitor
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
    assert noticed.suspicion == Suspicion(frozenset({"reg4-32-16"}))
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
