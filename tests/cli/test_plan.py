"""`enforcer plan`: what would be added and removed, in counts, and exit 2 when there is some."""

from __future__ import annotations

import re
import select
import threading
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from enforcer.kernel.fake import FakeKernel
from enforcer.listening import ControlSocket
from enforcer.policy.registry import parse_registry
from enforcer.policy.shrinking import changes
from tests.cli.cli_worlds import REGISTRY, Place, window_text


def test_nothing_to_do_is_exit_0(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    said = place.run("plan")
    assert (said.code, said.err) == (0, "")
    at, nothing = said.out.splitlines()
    assert re.fullmatch(r"at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ: armed ddos", at), "whole seconds"
    assert nothing.startswith("nothing to do: the kernel holds just this (")
    answer = place.run("plan", "--format", "json").json
    assert (answer["changes"], answer["add"], answer["remove"]) == (0, [], [])


def test_a_first_plan_adds_everything_and_counts_elements(place: Place, kernel: FakeKernel) -> None:
    said = place.run("plan", "--format", "json")
    assert said.code == 2
    answer = said.json
    assert answer["changes"] > 0
    assert answer["remove"] == []
    assert answer["kept"] == 0
    assert answer["armed"] == ["ddos"]
    assert answer["add"][0] == "add table inet enforcer"
    assert "add element inet enforcer reg4-32-2048 # 256 elements" in answer["add"]
    # 256 addresses are one line, not 256.
    assert not any("198.51.100." in line for line in answer["add"])
    assert kernel.transactions == [], "a plan changes nothing"


def test_a_window_that_ends_is_a_plan_of_removals(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    end = f"{place.now + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    said = place.run("plan", "--at", end)
    assert said.code == 2
    first, *lines, last = said.out.splitlines()
    assert first == f"at {end}: armed nothing"
    assert "- delete set inet enforcer armed.ddos" in lines
    assert all(line.startswith("- ") for line in lines)
    assert last.startswith(f"{len(lines)} changes: 0 lines to add, {len(lines)} to remove, ")


def test_another_instant_of_the_same_window_is_no_change(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    near_its_end = f"{place.now + timedelta(minutes=59):%Y-%m-%dT%H:%M:%SZ}"
    assert place.run("plan", "--at", near_its_end).code == 0


def test_a_second_window_leaves_the_first_alone(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    hour = timedelta(hours=1)
    first = window_text("ddos", place.now - hour, place.now + hour)
    more = window_text("more", place.now - hour, place.now + hour)
    more = more[: more.index("    guard")] + "    reserve: {link: wan, share: 40%}\n"
    place.write(windows=first + more)
    answer = place.run("plan", "--format", "json").json
    assert answer["remove"] == []
    assert not any("ddos" in line for line in answer["add"])
    assert answer["kept"] == len(kernel.read().sets) + len(kernel.read().chains)


def test_an_uplink_that_is_not_there_is_said(place: Place, kernel: FakeKernel) -> None:
    kernel.devices.discard("wan0")
    said = place.run("plan")
    assert said.err.startswith("uplinks not there: wan0; left out of the plan\n")
    assert place.run("plan", "--format", "json").json["missing_uplinks"] == ["wan0"]


def test_the_whole_ruleset_and_the_lookup_can_be_asked_for(
    place: Place, kernel: FakeKernel
) -> None:
    whole = place.run("plan", "--ruleset")
    assert whole.code == 0
    assert whole.out.startswith("table inet enforcer {\n")
    assert place.run("plan", "--ruleset", "--format", "json").json == {"ruleset": whole.out}
    assert "IPv4: 2 registered prefixes" in place.run("plan", "--explain-lookup").out


def test_prefixes_that_appear_and_vanish_are_counted_by_category() -> None:
    names = ("software-house", "freelancer")
    old = parse_registry("r", REGISTRY.encode(), names)
    new = parse_registry(
        "r",
        REGISTRY.replace("198.51.100.7/32,freelancer", "198.51.100.7/32,software-house")
        .replace("R-3,2001:db8:5::/48", "R-3,2001:db8:6::/48")
        .encode(),
        names,
    )
    day = date(2026, 12, 1)
    assert changes(old, old, day) == []
    assert changes(old, new, day) == [
        {"category": "software-house", "appear": 1, "vanish": 0, "narrow": 0, "now": 2},
        {"category": "freelancer", "appear": 1, "vanish": 2, "narrow": 0, "now": 1},
    ]


@pytest.fixture
def daemon_answers(place: Place) -> Iterator[list[dict[str, object]]]:
    """A control socket where a daemon would be; what it was asked."""
    asked: list[dict[str, object]] = []
    control = ControlSocket(place.run_dir)
    stop = threading.Event()

    def handle(request: dict[str, object], _who: str) -> dict[str, object]:
        asked.append(request)
        # As a daemon from before an upgrade, and one of now.
        row = {"category": "freelancer", "appear": 1200, "vanish": 3, "now": 9000}
        other = {"category": "mission", "appear": 0, "vanish": 0, "narrow": 1034, "now": 5000}
        return {"error": None, "categories": [row, other], "refused": "registry: 3 of 3 are gone"}

    def serve() -> None:
        while not stop.is_set():
            if select.select([control], [], [], 0.02)[0]:
                control.serve_one(handle)

    thread = threading.Thread(target=serve)
    thread.start()
    yield asked
    stop.set()
    thread.join(10)
    control.close()


def test_the_daemon_is_asked_what_becomes_of_the_registry(
    place: Place, kernel: FakeKernel, daemon_answers: list[dict[str, object]]
) -> None:
    said = place.run("plan")
    lines = said.out.splitlines()
    assert "category freelancer: +1,200, -3 prefixes, 9,000 then" in lines
    assert "category mission: +0, -0 prefixes, 5,000 then; 1,034 of these lose services" in lines
    assert said.err.startswith(
        "`enforcer reload` will refuse these files:\nregistry: 3 of 3 are gone\n"
    )
    (asked,) = daemon_answers
    assert (asked["verb"], asked["config"]) == ("compare", str(place.config))
    assert place.run("plan", "--format", "json").json["reload_refused"].startswith("registry: 3")
    place.daemon(kernel).step()
    said = place.run("plan", "--format", "json")
    assert (said.json["changes"], said.code) == (0, 2)
