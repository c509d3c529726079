"""The self-check between loop and kernel: what waits, what is lost, what is told, what never is."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer import log
from enforcer.errors import KernelError
from enforcer.grounds import Ground
from enforcer.kernel import netlink
from enforcer.kernel.samples import Heard, Sampled, SampleListener
from enforcer.kernel.wire import Message, attribute
from enforcer.lookup.planner import plan
from enforcer.lookup.tree import RadixTree
from enforcer.policy.model import Mark, Observe
from enforcer.policy.registry import parse_registry
from enforcer.ruleset.sampling import NO_SAMPLES, Sampling
from enforcer.sampler import Sampler
from tests.kernel.spoken import Answering
from tests.ruleset.builders import CATEGORIES, POLICY, active, window
from tests.sources import captures as c

DAY = date(2026, 12, 1)
ROWS = "id,prefix,category,valid_from,valid_until,services\nR-1,198.51.100.0/24,mission,,,\n"
UDP = c.ports(5050, 51820) + bytes(8)
OURS = c.ipv4("198.51.100.9", "203.0.113.5", 17, UDP)[:24]
THEIRS = c.ipv4("192.0.2.9", "203.0.113.5", 17, UDP)[:24]
MARKED, MISSED = "mark/ddos/marked/ip4/mission", "mark/ddos/untouched/ip4/unregistered"


def ground(rows: str = ROWS, *, armed: bool = True) -> Ground:
    registry = parse_registry("r.csv", rows.encode(), CATEGORIES)
    tables = plan(RadixTree.build(registry, DAY), 1 << 28)
    windows = (active(window("ddos", mark=Mark(0x51))),) if armed else ()
    return Ground(POLICY, registry, tables, DAY, windows)


class Told:
    def __init__(self, sampler: Sampler) -> None:
        self.seen = self.lost = self.mismatches = 0
        sampler.tells(self.add)

    def add(self, seen: int, lost: int, mismatches: int) -> None:
        self.seen += seen
        self.lost += lost
        self.mismatches += mismatches


def none_to_listen() -> SampleListener:
    raise KernelError("sample", errno.EBUSY, "another program listens; stop it")


@pytest.fixture
def sampler() -> Sampler:
    return Sampler(none_to_listen)


def heard(*samples: tuple[str, bytes], lost: int = 0) -> Heard:
    return Heard(tuple(Sampled(*one) for one in samples), lost)


def test_what_agrees_is_counted_by_window_category_and_service(sampler: Sampler) -> None:
    told = Told(sampler)
    sampler.changing()
    sampler.settled(ground())
    sampler.turn(heard((MARKED, OURS), (MARKED, OURS), (MISSED, THEIRS)))
    assert (told.seen, told.lost, told.mismatches) == (3, 0, 0)
    assert sampler.counts() == {
        "rate": 0, "problem": None, "seen": 3, "lost": 0, "judged": 3, "mismatches": 0,
    }  # fmt: skip
    assert sampler.rows() == [
        {"window": "ddos", "measure": "mark", "verdict": "marked", "category": "mission",
         "service": "udp/51820", "packets": 2, "bytes": 72},
        {"window": "ddos", "measure": "mark", "verdict": "untouched", "category": "unregistered",
         "service": "udp/51820", "packets": 1, "bytes": 36},
    ]  # fmt: skip


def test_a_difference_is_counted_and_named_without_an_address(
    sampler: Sampler, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("text", journal=False)
    told = Told(sampler)
    sampler.settled(ground())
    sampler.turn(heard((MISSED, OURS), (MISSED, OURS), (MARKED, THEIRS)))
    assert (told.seen, told.mismatches, sampler.counts()["mismatches"]) == (3, 3, 3)
    said = sorted(capsys.readouterr().err.splitlines())
    assert [line.partition(" registry=")[0] for line in said] == [
        'error kernel_mismatch window=ddos measure=mark kernel="marked mission"',
        'error kernel_mismatch window=ddos measure=mark kernel="untouched unregistered"',
    ]
    assert said[0].endswith('registry="untouched none" map=none packets=1')
    assert said[1].endswith(" packets=2")
    assert 'registry="marked mission" map=reg4-' in said[1]
    for word in ("198.51", "192.0.2", "R-1"):
        assert word not in str((said, sampler.rows(), sampler.counts()))


def test_a_storm_of_differences_is_no_storm_of_lines(
    sampler: Sampler, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("text", journal=False)
    sampler.settled(ground())
    for _ in range(200):
        sampler.turn(heard((MISSED, OURS)))
    assert len(capsys.readouterr().err.splitlines()) <= log.MOST
    assert sampler.counts()["mismatches"] == 200


def test_what_passed_while_the_registry_was_exchanged_is_no_difference(sampler: Sampler) -> None:
    told = Told(sampler)
    sampler.settled(ground(ROWS.replace("198.51.100.0/24", "203.0.112.0/24")))
    sampler.changing()
    # The step goes on: which side it fits is known behind it only.
    sampler.turn(heard((MARKED, OURS), (MISSED, OURS)))
    assert told.seen == 0
    sampler.settled(ground())
    sampler.turn(heard())
    assert (told.seen, told.mismatches) == (2, 0)


def test_what_passed_as_a_window_opened_or_closed_is_no_difference(sampler: Sampler) -> None:
    told = Told(sampler)
    before = ground(armed=False)
    sampler.settled(before)
    sampler.changing()
    sampler.settled(replace(before, armed=ground().armed))
    sampler.turn(heard((MARKED, OURS)))
    sampler.changing()
    sampler.settled(before)
    sampler.turn(heard((MARKED, OURS)))
    assert (told.seen, told.mismatches) == (2, 0)


def test_after_a_step_that_failed_nothing_is_called_a_difference(sampler: Sampler) -> None:
    told = Told(sampler)
    sampler.settled(ground())
    sampler.settled(None)
    sampler.turn(heard((MISSED, OURS)))
    assert (told.seen, told.mismatches, sampler.counts()["judged"]) == (1, 0, 0)


def test_labels_that_are_not_ours_and_what_the_kernel_threw_away_are_lost(sampler: Sampler) -> None:
    told = Told(sampler)
    sampler.settled(ground())
    sampler.turn(heard(("hello", OURS), (MARKED, OURS), lost=2))
    assert (told.seen, told.lost, told.mismatches) == (1, 3, 0)


def test_bytes_that_are_no_packet_are_counted_and_not_judged(sampler: Sampler) -> None:
    told = Told(sampler)
    sampler.settled(ground())
    sampler.turn(heard((MARKED, b""), (MARKED, b"\xff" * 24), (MARKED, OURS[:10])))
    assert (told.seen, told.mismatches, sampler.counts()["judged"]) == (3, 0, 0)


def test_while_a_step_takes_long_what_waits_is_bounded(sampler: Sampler) -> None:
    told = Told(sampler)
    sampler.settled(ground())
    sampler.changing()
    many = heard(*[(MARKED, OURS)] * 9_000)
    for _ in range(4):
        sampler.turn(many)
    assert (told.seen, told.lost) == (0, 2)
    sampler.settled(ground())
    sampler.turn(heard())
    assert (told.seen, told.mismatches) == (18_000, 0)


def test_nobody_can_listen_no_rule_samples_and_it_is_said_once(
    sampler: Sampler, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("text", journal=False)
    for _ in range(3):
        assert sampler.sampling(POLICY) == NO_SAMPLES
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("warning sampling_off reason=")
    assert "another program listens; stop it" in said
    assert sampler.counts()["problem"] == "sample: another program listens; stop it"
    off = replace(POLICY, observe=Observe(0))
    assert sampler.sampling(off) == NO_SAMPLES
    assert sampler.counts()["problem"] is None, "nobody wants it"


def test_switched_off_nobody_listens() -> None:
    asked: list[str] = []

    def listen() -> SampleListener:
        asked.append("listen")
        return none_to_listen()

    sampler = Sampler(listen)
    assert sampler.sampling(replace(POLICY, observe=Observe(0))) == NO_SAMPLES
    assert asked == []
    sampler.sampling(POLICY)
    assert asked == ["listen"]
    assert Sampling(POLICY.observe.sample).rate == 10


# --- what comes over the socket ------------------------------------------------------------------


def told(label: bytes, header: bytes) -> bytes:
    """NFULNL_MSG_PACKET with NFULA_PAYLOAD and NFULA_PREFIX."""
    body = struct.pack(">BBH", 2, 0, 0xE4F0)
    return Message(4 << 8, 0, body + attribute(9, header) + attribute(10, label)).packed(0)


@pytest.fixture
def heard_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SampleListener, Answering]]:
    made = Answering({}, [])
    monkeypatch.setattr(netlink, "open_socket", lambda *_, **__: made)
    listener = SampleListener()
    yield listener, made
    listener.close()


def test_what_the_kernel_tells_is_read_many_in_one_datagram(
    heard_of: tuple[SampleListener, Answering],
) -> None:
    listener, kernel = heard_of
    kernel._theirs.send(told(b"a\0", OURS) + told(b"b\0", THEIRS))
    kernel._theirs.send(told(b"c\0", b""))
    assert listener.drain() == heard(("a", OURS), ("b", THEIRS), ("c", b""))
    assert listener.drain() == heard()


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=8), st.integers(0, 60))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_comes_is_read_or_lost_and_never_raises(
    heard_of: tuple[SampleListener, Answering], noise: list[bytes], cut: int
) -> None:
    listener, kernel = heard_of
    for one in noise:
        kernel._theirs.send(one)
    kernel._theirs.send(told(b"a\0", OURS)[:-cut] if cut else told(b"a\0", OURS))
    kernel._theirs.send(Message(4 << 8, 0, b"").packed(0))
    kernel._theirs.send(told(b"z\0", OURS))
    found = listener.drain()
    assert found.samples[-1] == Sampled("z", OURS)
    assert found.lost >= (cut > 3) + 1


def test_a_listener_is_woken_to_stop(heard_of: tuple[SampleListener, Answering]) -> None:
    listener, kernel = heard_of
    assert listener.wait(0.0), "nothing came, and it goes on"
    kernel._theirs.send(told(b"a\0", OURS))
    assert listener.wait(None)
    listener.stop()
    assert not listener.wait(None)
