"""Requests at the control socket become orders of the daemon, kept on disk and on the record."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from daemon_worlds import BEFORE, CLOSES, INSIDE, OPENS, WINDOWS, World

from enforcer.desk import Desk
from enforcer.notary import Notary
from enforcer.schedule.orders import Orders, closing
from enforcer.standing import read_orders, write_orders

PROVISIONAL = WINDOWS.replace("  measures:", "  provisional: true\n  measures:")


class Office:
    """A daemon with a provisional window, and its desk."""

    def __init__(self, directory: Path, windows: str = PROVISIONAL) -> None:
        self.world = World()
        self.world.windows = windows
        self.directory = directory
        self.world.start()
        self.desk = Desk(self.world.daemon, self.world.clock, Notary(directory))

    def ask(self, verb: str, **more: object) -> dict[str, Any]:
        answer = self.desk.serve({"verb": verb, **more}, "noc (pid 7)")
        assert answer is not None
        return answer


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_provisional_window_opens_only_after_it_was_confirmed(office: Office) -> None:
    world = office.world
    world.step_at(INSIDE)
    assert world.armed() == set()
    assert office.ask("confirm", id="ddos") == {
        "error": None,
        "warning": None,
        "windows": ["ddos"],
        "occurrence": {
            "id": "ddos",
            "starts_at": "2026-12-01T08:00:00Z",
            "ends_at": "2026-12-01T20:00:00Z",
            "state": "armed",
            "measures": ["guard", "mark", "reserve"],
            "stage": False,
            "timezone": "UTC",
            "starts_at_local": "2026-12-01T08:00:00+00:00",
            "ends_at_local": "2026-12-01T20:00:00+00:00",
        },
    }
    world.step_at(INSIDE)
    assert world.armed() == {"ddos"}
    assert read_orders(office.directory) == world.daemon.orders


def test_a_shifted_window_opens_and_closes_at_the_shifted_instants(office: Office) -> None:
    world = office.world
    assert office.ask("confirm", id="ddos", shift_s=3600)["error"] is None
    hour = timedelta(hours=1)
    for now, armed in (
        (OPENS + hour - timedelta(seconds=1), set()),
        (OPENS + hour, {"ddos"}),
        (CLOSES, {"ddos"}),
        (CLOSES + hour, set()),
    ):
        world.step_at(now)
        assert world.armed() == armed
    assert world.step_at(BEFORE).next_wake() <= OPENS + hour


def test_orders_hold_over_a_restart(office: Office) -> None:
    office.ask("confirm", id="ddos")
    office.world.start(read_orders(office.directory))
    office.world.step_at(INSIDE)
    assert office.world.armed() == {"ddos"}


def test_a_trial_is_ended_by_the_kernel_even_when_the_daemon_is_dead(office: Office) -> None:
    world = office.world
    world.step_at(INSIDE)
    answer = office.ask("declared", id="ddos", within_s=60)
    assert answer["occurrence"]["confirm_by"] == "2026-12-01T09:01:00Z"
    world.step_at(INSIDE)
    assert world.armed() == {"ddos"}
    world.clock.at = INSIDE + timedelta(seconds=59)
    assert world.armed() == {"ddos"}
    world.clock.at = INSIDE + timedelta(seconds=60)
    assert world.armed() == set()


def test_a_trial_that_lapsed_is_closed_noted_and_stays_so(office: Office) -> None:
    world = office.world
    world.step_at(INSIDE)
    office.ask("declared", id="ddos", within_s=60)
    world.step_at(INSIDE)
    world.clock.at = INSIDE + timedelta(seconds=60)
    office.desk.lapse()
    world.step_at(world.clock.at)
    assert world.hooked() == set()
    assert [o.state for o in world.daemon.snapshot().coming] == ["closed"]
    assert [o.word for o in read_orders(office.directory).every] == ["closed"]
    assert '"what":"lapsed"' in (office.directory / "audit.jsonl").read_text()
    assert "lapsed at 2026-12-01T09:01:00Z: nobody" in office.ask("confirm", id="ddos")["error"]


def test_a_trial_confirmed_in_time_is_armed_to_its_end(office: Office) -> None:
    world = office.world
    world.step_at(INSIDE)
    office.ask("declared", id="ddos", within_s=60)
    world.step_at(INSIDE)
    world.clock.at = INSIDE + timedelta(seconds=30)
    assert office.ask("confirm", id="ddos")["error"] is None
    for now in (world.clock.at, INSIDE + timedelta(seconds=60), CLOSES - timedelta(seconds=1)):
        world.step_at(now)
        assert world.armed() == {"ddos"}


def test_close_and_disarm_end_what_is_on(tmp_path: Path) -> None:
    for verb, more in (("close", {"id": "ddos"}), ("disarm", {})):
        office = Office(tmp_path / verb, WINDOWS)
        office.world.step_at(INSIDE)
        assert office.ask(verb, **more)["windows"] == ["ddos"]
        office.world.step_at(INSIDE)
        assert office.world.hooked() == set()


def test_a_request_that_cannot_be_kept_changes_nothing(office: Office) -> None:
    (office.directory / "audit.jsonl").mkdir()
    assert "must be on the record" in office.ask("confirm", id="ddos")["error"]
    office.world.step_at(INSIDE)
    assert office.world.armed() == set()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"id": 3},
        {"id": "ddos", "shift_s": "1d"},
        {"id": "ddos", "shift_s": True},
        {"id": "ddos", "shift_s": 10**30},
        {"id": "ddos", "at": "2026-12-01"},
        {"id": "ddos", "at": 7},
    ],
)
def test_nonsense_is_refused_and_changes_nothing(office: Office, more: dict[str, object]) -> None:
    before = office.world.daemon.orders
    assert "is not understood" in office.ask("confirm", **more)["error"]
    assert office.world.daemon.orders == before


def test_other_verbs_are_not_for_the_desk(office: Office) -> None:
    assert office.desk.serve({"verb": "status"}, "noc") is None


def test_what_was_ended_behind_its_back_stays_ended(tmp_path: Path) -> None:
    """By a command that took the daemon for hung; what the daemon decided itself stands as well."""
    office = Office(tmp_path, WINDOWS + WINDOWS.replace("id: ddos", "id: other"))
    world = office.world
    world.step_at(INSIDE)
    assert world.armed() == {"ddos", "other"}
    (other,) = (e for e in world.daemon.on() if e.declared.id == "other")
    written = Orders().given([closing(other.declared, "noc", INSIDE)])
    assert office.ask("close", id="ddos")["error"] is None
    write_orders(office.directory, written)
    assert [order.window for order in office.desk.heed()] == ["other"]
    world.step_at(INSIDE)
    assert world.armed() == set()
    assert read_orders(office.directory) == world.daemon.orders, "and neither is lost on the disk"
    assert [o.window for o in read_orders(office.directory).every] == ["ddos", "other"]
    assert office.desk.heed() == ()
    (office.directory / "orders.json").write_text("spoilt")
    assert office.desk.heed() == ()
    assert world.armed() == set()
