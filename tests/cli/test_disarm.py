"""`enforcer disarm` without a daemon: out of the kernel, on record, and not armed again."""

from __future__ import annotations

import errno
import json
from datetime import timedelta

import pytest

from enforcer.errors import KernelError
from enforcer.kernel import nft
from enforcer.kernel.fake import FakeKernel
from enforcer.ruleset.transaction import KernelState
from enforcer.standing import read_orders
from tests.cli.cli_worlds import Place, window_text


def empty(state: KernelState) -> bool:
    return not state.exists and not state.shapers


def test_everything_is_out_and_a_new_daemon_leaves_it_out(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    said = place.run("disarm")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[1:] == [
        "disarmed: ddos",
        "everything of enforcer is out of the kernel",
    ]
    assert empty(kernel.read())
    assert [o.window for o in read_orders(place.state_dir).every] == ["ddos"]
    outcome = place.daemon(kernel).step()
    assert outcome.armed == ()
    assert not any(c.hook for c in kernel.read().chains.values())


def test_it_is_safe_to_repeat(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    place.run("disarm")
    before = read_orders(place.state_dir)
    said = place.run("disarm", "--format", "json")
    assert said.json == {"error": None, "daemon": False, "closed": [], "warning": None}
    assert read_orders(place.state_dir) == before
    assert "nothing was armed" in place.run("disarm").out


def test_it_works_with_a_broken_configuration_and_says_what_follows(
    place: Place, kernel: FakeKernel
) -> None:
    place.daemon(kernel).step()
    place.config.write_text("version: [\n")
    said = place.run("disarm")
    assert said.code == 1, "what is not noted would be armed again"
    assert empty(kernel.read())
    assert "disarmed: ddos\n" in said.out
    refused = f"{place.config} is refused, so the windows that are on are not noted; "
    again = "a daemon started now would arm them again: ddos; edit them first"
    assert said.err == f"enforcer: {refused}{again}\n"
    said = place.run("disarm", "--format", "json")
    later = "a daemon started now would arm them: edit their windows first"
    assert (said.code, said.json["error"]) == (1, f"{refused}{later}")


def test_what_is_on_is_noted_without_a_registry(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    place.config.with_name("registry.csv").unlink()
    said = place.run("disarm")
    assert (said.code, said.err) == (0, "")
    place.write()
    assert place.daemon(kernel).step().armed == ()


def record(place: Place) -> list[tuple[str, str]]:
    lines = (place.state_dir / "audit.jsonl").read_text().splitlines()
    return [(told["what"], told["window"]) for told in map(json.loads, lines)]


def test_what_was_closed_without_a_daemon_and_is_armed_is_on_record_as_disarmed(
    place: Place, kernel: FakeKernel
) -> None:
    hour = timedelta(hours=1)
    both = (window_text(n, place.now - hour, place.now + hour) for n in ("ddos", "exam"))
    place.write(windows="".join(both))
    place.daemon(kernel).step()
    assert place.run("close", "exam").code == 1
    assert "disarmed: ddos, exam\n" in place.run("disarm").out
    assert record(place) == [("closed", "exam"), ("disarmed", "ddos"), ("disarmed", "exam")]
    last = (place.state_dir / "audit.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["reference"] == "NOC-1"


def test_what_the_files_have_no_longer_is_on_record_as_disarmed(
    place: Place, kernel: FakeKernel
) -> None:
    place.daemon(kernel).step()
    place.write(windows="")
    assert "disarmed: ddos\n" in place.run("disarm").out
    assert record(place) == [("disarmed", "ddos")]


def test_a_window_that_is_only_due_is_named_for_it_is_closed_as_well(
    place: Place, kernel: FakeKernel
) -> None:
    said = place.run("disarm")
    assert (said.code, said.out.splitlines()[1:]) == (
        0,
        [
            "disarmed: ddos",
            "only due, not armed: ddos; closed all the same, and stays so",
            "everything of enforcer is out of the kernel",
        ],
    )
    assert record(place) == [("disarmed", "ddos")]
    assert "nothing was armed" in place.run("disarm").out


def test_who_must_not_touch_the_kernel_closes_nothing(
    place: Place, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied() -> None:
        raise KernelError("open netlink", errno.EPERM, "not permitted; run as root")

    place.daemon(kernel).step()
    monkeypatch.setattr(nft, "NftKernel", denied)
    said = place.run("disarm")
    assert (said.code, said.err) == (1, "enforcer: open netlink: not permitted; run as root\n")
    assert read_orders(place.state_dir).every == ()
    assert not (place.state_dir / "audit.jsonl").exists()


def test_another_program_in_between_does_not_hinder_it(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    read, left = kernel.read, [2]

    def read_then_move() -> KernelState:
        state = read()
        if left[0]:
            left[0] -= 1
            kernel.edit()
        return state

    kernel.read = read_then_move  # type: ignore[method-assign]
    assert place.run("disarm").code == 0
    assert empty(read())


def test_a_table_of_somebody_else_is_left_alone(place: Place, kernel: FakeKernel) -> None:
    kernel.make_foreign()
    assert place.run("disarm").code == 0
    assert kernel.read().foreign is not None
