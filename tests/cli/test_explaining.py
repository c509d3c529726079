"""The port's answer is the command's, out of what the daemon has in force."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest

from enforcer import explaining
from enforcer.clock import SystemClock
from enforcer.daemon import Daemon
from enforcer.errors import KernelError
from enforcer.explaining import Explainer
from enforcer.kernel import nft
from enforcer.kernel.fake import FakeKernel
from enforcer.observe.snapshot import Snapshot
from enforcer.ruleset.question import Explained, Question
from tests.cli.cli_worlds import Place, memory_kernel, window_text


def explainer(daemon: Daemon, snapshot: Snapshot | None) -> Explainer:
    return Explainer(lambda: snapshot, lambda: daemon.orders, SystemClock().now)


def found(explained: Explained | None) -> Explained:
    assert explained is not None
    return explained


@pytest.mark.parametrize(
    "texts",
    [
        ("198.51.100.7", "203.0.113.5", "udp/51820"),
        ("198.51.100.9", "203.0.113.5"),
        ("192.0.2.99", "203.0.113.5", "tcp/443"),
        ("192.0.2.53",),
        ("2001:db8:5::1", "2001:db8:10::1"),
        ("198.51.100.7", "", "", "2025-06-01T00:00:00Z"),
        ("198.51.100.7", "", "", "2030-01-01T00:00:00Z"),
    ],
)
def test_the_same_answer_as_the_command(
    place: Place, kernel: FakeKernel, texts: tuple[str, ...]
) -> None:
    daemon = place.daemon(kernel)
    daemon.step()
    told = found(explainer(daemon, daemon.snapshot())(Question.read(*texts))).answer
    names = ("", "--to", "--service", "--at")
    argv = [word for name, text in zip(names, texts, strict=False) if text for word in (name, text)]
    with place.answering(daemon):
        said = place.run("explain", *filter(None, argv), "--format", "json").json
    instants = [datetime.fromisoformat(answer.pop("at")) for answer in (told, said)]
    assert (instants[1] - instants[0]).total_seconds() < 60
    assert json.loads(json.dumps(told)) == said
    assert said["agrees"] is True


def test_it_tells_what_is_in_force_and_not_what_the_files_hold_since(
    place: Place, kernel: FakeKernel
) -> None:
    daemon = place.daemon(kernel)
    daemon.step()
    ask = explainer(daemon, daemon.snapshot())
    place.write(windows="", registry="id,prefix,category\n")
    answer = found(ask(Question.read("198.51.100.9", "203.0.113.5"))).answer
    assert (answer["windows"], answer["verdict"], answer["agrees"]) == (["ddos"], "let_in", True)


def test_while_a_change_is_committed_it_looks_again(
    place: Place, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = place.daemon(kernel)
    daemon.step()
    snapshots = [daemon.snapshot()]
    monkeypatch.setattr(explaining, "_AGAIN_S", 0.0)
    hour = 3600
    place.write(windows=window_text("other", place.now, place.now.replace(year=place.now.year + 1)))
    assert daemon.reload() is not None, "guard for a year"
    start = datetime.fromtimestamp(place.now.timestamp() - hour, place.now.tzinfo)
    end = datetime.fromtimestamp(place.now.timestamp() + hour, place.now.tzinfo)
    place.write(windows=window_text("other", start, end))
    assert daemon.reload() is None
    daemon.step()
    asked = Question.read("192.0.2.99")
    late = Explainer(lambda: snapshots[-1], lambda: daemon.orders, SystemClock().now)
    assert found(late(asked)).answer["differences"] == [
        "window ddos is due, but the kernel does not arm it",
        "window other is not on, but the kernel arms it",
    ]
    old = snapshots[0]

    def shown() -> Snapshot:
        return snapshots.pop() if snapshots else daemon.snapshot()

    snapshots = [old]
    again = Explainer(shown, lambda: daemon.orders, SystemClock().now)
    assert found(again(asked)).answer["agrees"] is True


def test_a_daemon_that_starts_and_a_kernel_that_is_not_asked_are_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = memory_kernel()
    daemon = place.daemon(kernel)
    daemon.step()
    asked = Question.read("198.51.100.9")
    assert explainer(daemon, None)(asked) is None

    def refuse() -> None:
        raise KernelError("socket", 1, "not permitted")

    monkeypatch.setattr(nft, "NftKernel", refuse)
    answer = found(explainer(daemon, daemon.snapshot())(asked)).answer
    assert answer["kernel"]["member"] is None
    assert "not permitted" in answer["kernel"]["reason"]
    assert answer["agrees"] is True


def test_guard_without_any_uplink_is_noted(place: Place, kernel: FakeKernel) -> None:
    daemon = place.daemon(kernel)
    daemon.step()
    argv = ("explain", "192.0.2.99", "--to", "203.0.113.5")
    answer = place.run(*argv, "--format", "json").json
    assert (answer["notes"], answer["verdict"]) == ([], "held_back")
    kernel.devices.discard("wan0")
    daemon.step()
    note = "no uplink is there (wan0), so guard holds back nothing: ddos; see: ip link"
    assert place.run(*argv, "--format", "json").json["notes"] == [note]
    assert re.search(r"^note +no uplink is there \(wan0\)", place.run(*argv).out, re.MULTILINE)
    told = found(explainer(daemon, daemon.snapshot())(Question.read(*argv[1::2])))
    assert told.answer["notes"] == [note]
    assert told.answer["verdict"] == "untouched"
    assert told.answer["steps"][0] == "guard of window ddos: no uplink is there, untouched"
    said = place.run(*argv)
    assert (said.code, said.out.splitlines()[0]) == (0, "192.0.2.99 to 203.0.113.5: untouched")
