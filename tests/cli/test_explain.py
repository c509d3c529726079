"""`enforcer explain`: the verdict step by step, what the kernel holds, loud when they differ."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from enforcer.clock import SystemClock
from enforcer.errors import KernelError
from enforcer.kernel import nft
from enforcer.kernel.fake import FakeKernel
from enforcer.kernel.fake_table import FakeTable
from enforcer.ruleset.vocabulary import FRONT
from tests.cli.cli_worlds import MAIN, REGISTRY, Place, window_text

ESTATE = ("--to", "203.0.113.5", "--service", "udp/51820")


def test_the_answer_for_programs_is_that_of_the_contract(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    said = place.run("explain", "198.51.100.9", *ESTATE, "--format", "json")
    answer = said.json
    assert (said.code, said.err) == (0, "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.pop("at"))
    registration = {
        "id": "R-1",
        "prefix": "198.51.100.0/24",
        "category": "software-house",
        "valid_from": None,
        "valid_until": None,
        "services": [],
    }
    class_id = answer["kernel"].pop("class")
    assert re.fullmatch("0x[0-9a-f]{8}", class_id)
    assert answer == {
        "address": "198.51.100.9",
        "to": "203.0.113.5",
        "service": "udp/51820",
        # The file has the row twice: one registration.
        "registrations": [registration],
        "to_registrations": [],
        "windows": ["ddos"],
        "due": [],
        "verdict": "let_in",
        "partly": False,
        "notes": [],
        # No daemon answers, and none has left its copy: nobody can tell.
        "in_force": None,
        "remark": None,
        "steps": [
            "guard of window ddos: to estate concentrators: registered as software-house, let in",
            "mark of window ddos: as category software-house",
        ],
        "kernel": {
            "member": True,
            "means": "software-house",
            "to": {"member": False, "class": None, "means": None},
            "armed": ["ddos"],
            "reason": None,
        },
        "agrees": True,
        "differences": [],
    }


def test_held_back_is_exit_3_and_told_in_the_order_of_the_path(
    place: Place, kernel: FakeKernel
) -> None:
    place.daemon(kernel).step()
    said = place.run("explain", "192.0.2.99", *ESTATE)
    assert (said.code, said.err) == (3, "")
    first, at, window, *rest = said.out.splitlines()
    assert first == "192.0.2.99 to 203.0.113.5, udp/51820: held back"
    assert re.fullmatch(r"at          \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", at)
    assert window.startswith("window      ddos: guard, mark, until ")
    assert rest == [
        "registered  no",
        "target      no",
        "path        1. guard of window ddos: to estate concentrators: not registered, held back",
        "kernel      192.0.2.99: does not hold it",
        "            203.0.113.5: does not hold it",
    ]


@pytest.mark.parametrize(
    ("argv", "verdict", "code"),
    [
        (["192.0.2.53", *ESTATE], "let_in", 0),
        (["192.0.2.99", "--to", "203.0.113.99"], "untouched", 0),
        (["198.51.100.9", "--to", "203.0.113.99"], "marked", 0),
        (["192.0.2.99", "--to", "203.0.113.5", "--service", "tcp/22"], "untouched", 0),
        (["2001:db8:5::1", "--to", "2001:db8:10::1"], "let_in", 0),
        (["2001:db8:6::1", "--to", "2001:db8:10::1"], "held_back", 3),
        (["192.0.2.99"], "held_back", 3),
    ],
)
def test_verdicts(
    place: Place, kernel: FakeKernel, argv: list[str], verdict: str, code: int
) -> None:
    place.daemon(kernel).step()
    said = place.run("explain", *argv, "--format", "json")
    assert (said.json["verdict"], said.code) == (verdict, code)
    assert said.json["agrees"] is True


def test_outside_windows_nothing_is_touched(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    said = place.run("explain", "192.0.2.99", *ESTATE, "--at", "2030-01-01T00:00:00Z")
    assert (said.code, said.err) == (0, "")
    assert "window      none is on\n" in said.out
    assert "1. no window is armed: nothing of enforcer is in the packet path" in said.out


@pytest.mark.parametrize("lost", ["reg4-", FRONT])
def test_an_address_that_the_kernel_lost_is_told_loudly(
    place: Place, kernel: FakeKernel, lost: str
) -> None:
    """From the maps, or from the filter in front of them."""
    place.daemon(kernel).step()

    def lose(table: FakeTable | None) -> None:
        assert table is not None
        for name, held in table.sets.items():
            if name.startswith(lost):
                held.elements.clear()

    kernel.edit(lose)
    said = place.run("explain", "198.51.100.9", *ESTATE)
    assert said.code == 0
    assert said.err.splitlines() == [
        "THE KERNEL DIFFERS from what it should hold now:",
        "  198.51.100.9: it is registered as software-house, but the kernel does not hold it",
        "what to change: enforcer plan; whether a daemon runs: enforcer status",
    ]
    answer = place.run("explain", "198.51.100.9", "--format", "json").json
    assert (answer["agrees"], answer["kernel"]["member"]) == (False, False)


def test_files_that_are_not_loaded_yet_are_no_alarm(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    place.write(registry=REGISTRY.replace("software-house", "freelancer"))
    said = place.run("explain", "--files", "198.51.100.9")
    assert "DIFFERS" not in said.err
    assert said.err.splitlines()[-1] == "what loading them would change: enforcer plan"
    assert "the kernel holds something else than these files tell:" in said.err


def test_another_category_in_the_kernel_is_a_difference_too_at_either_end(
    place: Place, kernel: FakeKernel
) -> None:
    place.daemon(kernel).step()
    place.write(registry=REGISTRY.replace("software-house", "freelancer"))
    differs = "is registered as freelancer, but the kernel holds a class that no registration has"
    for argv in (["198.51.100.9"], ["192.0.2.99", "--to", "198.51.100.9"]):
        answer = place.run("explain", *argv, "--format", "json").json
        assert answer["agrees"] is False
        assert answer["differences"] == [f"198.51.100.9: it {differs} today"]


def test_services_are_part_of_what_is_compared(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    answer = place.run("explain", "198.51.100.7", "--format", "json").json
    assert answer["kernel"]["means"] == "freelancer for udp/51820, else software-house"
    place.write(registry=REGISTRY.replace("udp/51820", "udp/51821"))
    assert place.run("explain", "198.51.100.7", "--format", "json").json["agrees"] is False


def test_a_window_that_is_on_and_not_in_the_kernel_is_a_difference(
    place: Place, kernel: FakeKernel
) -> None:
    said = place.run("explain", "198.51.100.9")
    assert "198.51.100.9: not asked (nothing of enforcer is loaded)" in said.out
    assert "  window ddos is due, but the kernel does not arm it\n" in said.err
    place.daemon(kernel).step()
    later = place.now + timedelta(hours=2)
    place.write(windows=window_text("ddos", later, later + timedelta(hours=1)))
    answer = place.run("explain", "198.51.100.9", "--format", "json").json
    assert answer["differences"] == ["window ddos is not on, but the kernel arms it"]


def test_the_verdict_is_of_what_is_in_force(
    place: Place, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that waits for the clock holds nobody back, whatever the schedule says."""
    place.write(main=MAIN.replace("synchronised_clock: false", "synchronised_clock: true"))
    monkeypatch.setattr(SystemClock, "synchronised", lambda _: False)
    place.daemon(kernel).step()
    said = place.run("explain", "192.0.2.99", *ESTATE)
    assert said.code == 0
    assert said.out.startswith("192.0.2.99 to 203.0.113.5, udp/51820: untouched\n")
    assert "due         ddos: not in force, and not in this verdict\n" in said.out
    assert "  window ddos is due, but the kernel does not arm it\n" in said.err
    answer = place.run("explain", "192.0.2.99", *ESTATE, "--format", "json").json
    assert (answer["windows"], answer["due"], answer["agrees"]) == ([], ["ddos"], False)
    soon = f"{place.now + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}"
    said = place.run("explain", "192.0.2.99", *ESTATE, "--at", soon)
    assert said.code == 3, "another instant is the schedule's"


def test_where_the_kernel_may_not_be_asked_the_daemon_says_what_is_in_force(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied() -> None:
        raise KernelError("open netlink", 1, "not permitted; run as root")

    monkeypatch.setattr(nft, "NftKernel", denied)
    assert place.run("explain", "192.0.2.99", *ESTATE).code == 3
    monkeypatch.setattr("enforcer.control.ask", lambda *_: {"due": ["ddos"]})
    said = place.run("explain", "192.0.2.99", *ESTATE)
    assert (said.code, said.err) == (0, "")
    assert "due         ddos: not in force" in said.out


def test_another_instant_is_compared_with_the_kernel_of_now(
    place: Place, kernel: FakeKernel
) -> None:
    place.write(registry=REGISTRY + "R-5,198.51.103.1/32,freelancer,2099-01-01,,\n")
    place.daemon(kernel).step()
    said = place.run("explain", "198.51.103.1", "--at", "2099-06-01T00:00:00Z", "--format", "json")
    answer = said.json
    assert [r["id"] for r in answer["registrations"]] == ["R-5"]
    assert (answer["kernel"]["member"], answer["agrees"]) == (False, True)


def test_a_kernel_that_cannot_be_asked_is_said_and_is_no_difference(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied() -> None:
        raise KernelError("open netlink", 1, "not permitted; run as root")

    monkeypatch.setattr(nft, "NftKernel", denied)
    answer = place.run("explain", "198.51.100.9", "--format", "json").json
    assert answer["kernel"] == {
        "member": None,
        "class": None,
        "means": None,
        "to": None,
        "armed": None,
        "reason": "open netlink: not permitted; run as root",
    }
    assert answer["agrees"] is True
