"""Windows on the record: opened, changed, ended, and with what, whatever happens to the daemon."""

from __future__ import annotations

import errno
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from daemon_worlds import AFTER, BEFORE, CLOSES, INSIDE, LEASE, OPENS, WINDOWS, World

from enforcer.chronicle import Chronicle
from enforcer.cli.run import armed_in
from enforcer.desk import Desk
from enforcer.notary import Clerk
from enforcer.observe.audit_files import FILE, records
from enforcer.observe.audit_verify import verify_directory
from enforcer.recorder import Recorder
from enforcer.ruleset.transaction import Arm, DeleteChain
from enforcer.seen import FILE as SEEN
from enforcer.standing import read_orders

HELD = "guard/ddos/held_back/ip4/unregistered"
MARKED = "mark/ddos/marked/ip4/software-house"
MINUTE = timedelta(minutes=1)


class Office(World):
    """A daemon, its desk and its record, stepped as the service steps them."""

    def __init__(
        self, directory: Path, windows: str = WINDOWS, *, require_clock: bool = False
    ) -> None:
        self.directory = directory
        super().__init__(require_clock=require_clock)
        self.windows = windows
        self.begin()

    def begin(self) -> None:
        """A daemon that starts, over whatever kernel and disk there are."""
        self.start(read_orders(self.directory))
        self.recorder = Recorder(self.directory, self.clock.now)
        self.chronicle = Chronicle(self.recorder, self.daemon.totals.now)
        assert self.chronicle.read() is None
        config = self.daemon.config
        self.chronicle.begin(config, self.clock.at, armed_in(self.kernel.read()))
        told = self.chronicle
        self.desk = Desk(self.daemon, self.daemon.clock, Clerk(self.directory, told), told.past)
        told.loaded(config, self.clock.at, "enforcer", "start")

    def at(self, now: Any) -> None:
        self.clock.at = now
        self.desk.lapse()
        self.step_at(now)
        seen = self.daemon.clock.now()
        armed = [a for a in self.daemon.active(seen) if a.id in self.outcome.armed]
        self.chronicle.after(seen, armed, self.outcome, "withdrawn")

    def reload(self, windows: str) -> None:
        self.windows = windows
        assert self.daemon.reload() is None
        self.chronicle.loaded(self.daemon.config, self.clock.at, "enforcer", "SIGHUP")
        self.at(self.clock.at)

    def crash(self, until: Any) -> None:
        """Dies without a word, and starts again at `until`."""
        self.clock.at = until
        self.begin()

    def reboot(self, until: Any) -> None:
        """The machine goes down, the kernel's table with it."""
        self.clock.at = until
        self.kernel = type(self.kernel)(self.clock.now_ns, ["lo", "wan0", "lan0"])
        self.begin()

    def told(self) -> list[dict[str, Any]]:
        return [dict(r.values) for r in records(self.directory)]

    def whats(self) -> list[str]:
        return [v["what"] for v in self.told() if v["what"] != "declared"]

    def ended(self) -> dict[str, Any]:
        return next(v for v in reversed(self.told()) if v["what"] == "ended")


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def packets(told: dict[str, Any]) -> dict[str, int]:
    return {row["verdict"]: row["packets"] for row in told["totals"]}


def test_a_window_is_declared_armed_and_ended_with_all_that_a_reader_asks(office: Office) -> None:
    office.at(BEFORE)
    office.at(OPENS)
    office.kernel.bump(HELD, 7, 700)
    office.kernel.bump(MARKED, 5, 500)
    office.at(INSIDE)
    office.at(CLOSES)
    declared, armed, ended = office.told()
    assert [v["what"] for v in office.told()] == ["declared", "armed", "ended"]
    assert (declared["who"], declared["cause"]) == ("enforcer", "start")
    assert (declared["starts_at"], declared["ends_at"]) == (
        "2026-12-01T08:00:00Z",
        "2026-12-01T20:00:00Z",
    )
    common = {
        "window": "ddos",
        "reference": "NOC-1",
        "reason": "attack",
        "declared_by": "noc@isp.example",
        "measures": ["guard", "mark", "reserve"],
        "estate": "concentrators",
        "link": "wan",
        "stage": False,
        "lease": "gateway",
        "starts_at": "2026-12-01T08:00:00Z",
        "ends_at": "2026-12-01T20:00:00Z",
        "armed_at": "2026-12-01T08:00:00Z",
        "policy": office.daemon.config.policy.digest,
        "registry": office.daemon.config.registry.digest,
        "gateway": "edge-1",
    }
    assert {k: armed[k] for k in common} == common
    assert {k: ended[k] for k in common} == common
    assert (ended["ended_at"], ended["why"], ended["seen"]) == ("2026-12-01T20:00:00Z", "end", True)
    row = {"family": "ipv4", "measure": "guard", "verdict": "held_back"}
    assert {**row, "category": "unregistered", "packets": 7, "bytes": 700} in ended["totals"]
    assert packets(ended) == {"held_back": 7, "marked": 5}
    assert verify_directory(office.directory).ok


def test_steps_in_between_add_no_record(office: Office) -> None:
    office.at(OPENS)
    for minute in range(30):
        office.at(OPENS + minute * MINUTE)
    assert office.whats() == ["armed"]


@pytest.mark.parametrize("hours", [20, -10])
def test_a_clock_that_nobody_keeps_right_changes_nothing_on_the_record(
    tmp_path: Path, hours: int
) -> None:
    office = Office(tmp_path, require_clock=True)
    office.at(CLOSES - MINUTE)
    office.clock.right = False
    office.clock.set_by(timedelta(hours=hours))
    office.at(office.clock.at)
    assert office.whats() == ["armed"]
    office.at(office.clock.at + MINUTE)
    _, armed, ended = office.told()
    assert (ended["ended_at"], ended["why"], ended["seen"]) == ("2026-12-01T20:00:00Z", "end", True)
    assert armed["ends_at"] == ended["ends_at"]


def test_an_early_close_says_who(office: Office) -> None:
    office.at(OPENS)
    office.clock.at = INSIDE
    office.desk.serve({"verb": "close", "id": "ddos"}, "noc (uid 7, pid 8)")
    office.at(INSIDE)
    assert office.whats() == ["armed", "closed", "ended"]
    ended = office.ended()
    assert (ended["why"], ended["ended_by"], ended["ended_at"]) == (
        "closed",
        "noc (uid 7, pid 8)",
        "2026-12-01T09:00:00Z",
    )
    assert ended["ends_at"] == "2026-12-01T20:00:00Z", "the declared end stays on record"


def test_disarm_is_on_record_also_when_nothing_is_armed(office: Office) -> None:
    office.at(BEFORE)
    answer = office.desk.serve({"verb": "disarm"}, "noc (uid 7, pid 8)")
    assert answer is not None
    assert (answer["error"], answer["windows"]) == (None, [])
    told = office.told()[-1]
    assert (told["what"], told["window"], told["who"]) == ("disarmed", "", "noc (uid 7, pid 8)")


def test_a_close_on_a_full_disk_is_done_and_on_record_once_there_is_room(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.at(OPENS)
    office.clock.at = INSIDE

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr("enforcer.observe.audit_files.os.write", full)
        disk.setattr("enforcer.notary.write_orders", full)
        answer = office.desk.serve({"verb": "close", "id": "ddos"}, "noc (uid 7, pid 8)")
        assert answer is not None
        assert answer["error"] is None
        office.at(INSIDE)
        warning = office.desk.warning()
    assert "No space left on device; it is done, but a restart would open it" in (warning or "")
    assert office.armed() == set()
    office.at(INSIDE + MINUTE)
    assert office.whats() == ["armed", "closed", "ended", "late"]
    assert (office.ended()["why"], office.ended()["ended_by"]) == ("closed", "noc (uid 7, pid 8)")


def test_guard_that_is_edited_out_of_an_armed_window_was_armed_until_then(office: Office) -> None:
    office.at(OPENS)
    office.clock.at = INSIDE
    office.reload(WINDOWS.replace("    guard: {estate: concentrators}\n", ""))
    office.at(CLOSES)
    assert office.whats() == ["armed", "changed", "ended"]
    for _ in range(2):
        (guard,) = office.chronicle.past(CLOSES)
        assert (guard.starts_at, guard.ends_at, guard.window) == (OPENS, INSIDE, "ddos")
        office.begin()


def test_a_trial_that_is_confirmed_changes_and_one_that_is_not_lapses(tmp_path: Path) -> None:
    windows = WINDOWS.replace("  measures:", "  provisional: true\n  measures:")
    for confirmed in (True, False):
        office = Office(tmp_path / str(confirmed), windows)
        office.clock.at = INSIDE
        office.desk.serve({"verb": "declared", "id": "ddos", "within_s": 60}, "noc")
        office.at(INSIDE)
        if confirmed:
            office.clock.at = INSIDE + MINUTE / 2
            office.desk.serve({"verb": "confirm", "id": "ddos"}, "noc")
            office.at(INSIDE + MINUTE / 2)
        office.at(INSIDE + MINUTE)
        if confirmed:
            assert office.whats() == ["armed", "confirmed", "changed"]
            assert office.told()[-1]["ends_at"] == "2026-12-01T20:00:00Z"
            assert office.told()[-1]["armed_at"] == "2026-12-01T09:00:00Z"
        else:
            assert office.whats() == ["armed", "lapsed", "ended"]
            assert office.ended()["why"] == "lapsed"


def test_a_shift_is_on_record_with_the_instants_of_after(tmp_path: Path) -> None:
    windows = WINDOWS.replace("  measures:", "  provisional: true\n  measures:")
    office = Office(tmp_path, windows)
    office.desk.serve({"verb": "confirm", "id": "ddos", "shift_s": 3600}, "noc")
    office.at(OPENS + timedelta(hours=1))
    confirmed, armed = office.told()[1:]
    assert (confirmed["what"], confirmed["shift_s"]) == ("confirmed", 3600)
    assert armed["starts_at"] == confirmed["starts_at"] == "2026-12-01T09:00:00Z"


def test_a_window_taken_out_of_the_files_ends_as_withdrawn(office: Office) -> None:
    office.at(INSIDE)
    office.reload("[]")
    assert office.whats() == ["armed", "withdrawn", "ended"]
    assert office.ended()["why"] == "withdrawn"
    assert office.ended()["reason"] == "attack", "the record does not need the files"


def test_only_what_is_new_or_changed_is_declared_again(office: Office) -> None:
    other = WINDOWS.replace("id: ddos", "id: other").replace("2026-12-01", "2026-12-03")
    office.reload(WINDOWS + other)
    office.reload(WINDOWS + other)
    office.begin()
    office.reload(WINDOWS + other.replace("NOC-1", "NOC-2"))
    told = [(v["window"], v["reference"], v["cause"]) for v in office.told()]
    assert told == [
        ("ddos", "NOC-1", "start"),
        ("other", "NOC-1", "SIGHUP"),
        ("other", "NOC-2", "SIGHUP"),
    ]


def test_two_openings_of_one_window_have_each_their_own_totals(office: Office) -> None:
    again = WINDOWS.replace("2026-12-01T", "2026-12-02T")
    office.at(OPENS)
    office.kernel.bump(HELD, 7, 700)
    office.at(CLOSES)
    office.reload(again)
    office.at(OPENS + timedelta(days=1))
    office.kernel.bump(HELD, 2, 200)
    office.at(CLOSES + timedelta(days=1))
    assert [packets(v) for v in office.told() if v["what"] == "ended"] == [
        {"held_back": 7},
        {"held_back": 2},
    ]


# --- the daemon dies ------------------------------------------------------------------------------


def test_a_restart_in_the_middle_is_no_new_arming_and_loses_no_totals(office: Office) -> None:
    office.at(OPENS)
    office.kernel.bump(HELD, 7, 700)
    office.crash(OPENS + 5 * MINUTE)
    office.at(OPENS + 5 * MINUTE)
    office.kernel.bump(HELD, 1, 100)
    office.at(CLOSES)
    assert office.whats() == ["armed", "ended"]
    assert packets(office.ended()) == {"held_back": 8}


def test_a_window_that_ended_while_no_daemon_ran_is_told_by_the_next(office: Office) -> None:
    office.at(CLOSES - 2 * MINUTE)
    office.kernel.bump(HELD, 7, 700)
    office.crash(AFTER + timedelta(hours=3))
    office.at(office.clock.at)
    assert office.whats() == ["armed", "ended"]
    ended = office.ended()
    assert (ended["why"], ended["ended_at"]) == ("end", "2026-12-01T20:00:00Z")
    assert ended["seen"] is False
    assert ended["at"] == "2026-12-01T23:00:00Z"
    assert packets(ended) == {"held_back": 7}, "the kernel's counters outlive the daemon"


def test_a_window_that_its_lease_ended_is_told_with_the_latest_instant(office: Office) -> None:
    office.at(OPENS)
    office.crash(OPENS + timedelta(hours=2))
    office.at(office.clock.at)
    assert office.whats() == ["armed", "ended", "armed"]
    ended = office.ended()
    assert (ended["why"], ended["seen"]) == ("lease", False)
    assert ended["ended_at"] == "2026-12-01T08:11:00Z", "last seen, a minute, and the lease"
    assert office.told()[-1]["armed_at"] == "2026-12-01T10:00:00Z"
    assert timedelta(minutes=10) == LEASE


def test_totals_last_seen_survive_a_reboot(office: Office) -> None:
    office.at(OPENS)
    office.kernel.bump(HELD, 7, 700)
    office.at(OPENS + 2 * MINUTE)
    office.kernel.bump(HELD, 1, 100)
    office.reboot(AFTER + timedelta(hours=1))
    office.at(office.clock.at)
    ended = office.ended()
    assert packets(ended) == {"held_back": 7}
    assert ended["totals_at"] == "2026-12-01T08:02:00Z"


def test_totals_that_nobody_knows_are_none_and_not_zero(office: Office) -> None:
    office.at(OPENS)
    (office.directory / SEEN).unlink()
    office.reboot(AFTER)
    office.at(office.clock.at)
    assert (office.ended()["totals"], office.ended()["totals_at"]) == (None, None)


def ended_by_a_teardown_without_a_daemon(office: Office) -> tuple[str, str, str]:
    """Why, by whom and when, as the next daemon tells it."""
    office.kernel.commit(_teardown(office), office.clock.now_ns())
    office.crash(OPENS + 9 * MINUTE)
    office.at(office.clock.at)
    ended = office.ended()
    return ended["why"], ended["ended_by"], ended["ended_at"]


def test_a_disarm_without_a_daemon_is_the_reason_that_the_next_one_tells(office: Office) -> None:
    from enforcer import decisions

    office.at(OPENS)
    now = OPENS + 3 * MINUTE
    closing = decisions.close_all(office.daemon.orders, now, office.daemon.on(), "noc")
    assert decisions.keep(office.directory, office.daemon.orders, closing) is None
    assert ended_by_a_teardown_without_a_daemon(office) == (
        "disarmed",
        "noc",
        "2026-12-01T08:03:00Z",
    )


def test_what_was_closed_and_then_disarmed_without_a_daemon_ended_when_it_was_disarmed(
    office: Office,
) -> None:
    from enforcer import decisions

    office.at(OPENS)
    before, policy = office.daemon.orders, office.daemon.config.policy
    (window,) = [e.activation.id for e in office.daemon.on()]
    shut = decisions.close(policy, before, OPENS + 2 * MINUTE, window, "noc")
    assert decisions.keep(office.directory, before, shut) is None
    at = OPENS + 3 * MINUTE
    also = [decisions.disarmed(at, "boss", window, "NOC-1")]
    out = decisions.close_all(shut.orders, at, (), "boss", also)
    assert decisions.keep(office.directory, shut.orders, out) is None
    assert ended_by_a_teardown_without_a_daemon(office) == (
        "disarmed",
        "boss",
        "2026-12-01T08:03:00Z",
    )


UNTIL_END = WINDOWS.replace("  measures:", "  lease: until-end\n  measures:")


@pytest.mark.parametrize(
    ("windows", "after", "ended_at", "seen"),
    [
        pytest.param(WINDOWS, 3 * MINUTE + MINUTE / 4, "08:03:15Z", True, id="soon"),
        pytest.param(WINDOWS, 6 * MINUTE, "08:06:00Z", True, id="armed still"),
        pytest.param(WINDOWS, 90 * MINUTE, "08:11:00Z", False, id="by its lease"),
        pytest.param(UNTIL_END, 90 * MINUTE, "09:30:00Z", True, id="until its end"),
        pytest.param(UNTIL_END, 900 * MINUTE, "20:00:00Z", False, id="by its end"),
    ],
)
def test_what_was_closed_without_a_daemon_ended_when_the_kernel_let_go_of_it(
    tmp_path: Path, windows: str, after: timedelta, ended_at: str, *, seen: bool
) -> None:
    from enforcer import decisions

    office = Office(tmp_path, windows)
    office.at(OPENS)
    now = OPENS + 3 * MINUTE
    closing = decisions.close(office.daemon.config.policy, office.daemon.orders, now, "ddos", "noc")
    assert decisions.keep(office.directory, office.daemon.orders, closing) is None
    office.crash(OPENS + after)
    office.at(office.clock.at)
    assert office.armed() == set()
    ended = office.ended()
    assert (ended["why"], ended["ended_by"], ended["ended_at"], ended["seen"]) == (
        "closed",
        "noc",
        f"2026-12-01T{ended_at}",
        seen,
    )
    (guard,) = office.chronicle.past(office.clock.at)
    assert f"{guard.ends_at:%H:%M:%SZ}" == ended_at, "the ceilings count all of it"


def test_a_close_that_the_kernel_does_not_take_yet_is_an_end_once_it_does(office: Office) -> None:
    office.at(OPENS)
    office.clock.at = INSIDE
    office.desk.serve({"verb": "close", "id": "ddos"}, "noc (uid 7, pid 8)")
    office.kernel.fail_next(DeleteChain, errno.EPERM)
    office.at(INSIDE)
    assert office.outcome.result == "failed"
    office.at(INSIDE + 2 * MINUTE)
    assert office.whats() == ["armed", "closed", "ended"]
    assert (office.ended()["why"], office.ended()["ended_at"]) == ("closed", "2026-12-01T09:02:00Z")


def _teardown(office: Office) -> Any:
    from enforcer.ruleset.diff import teardown

    return teardown(office.kernel.read())


def test_a_step_that_failed_ends_nothing_on_the_record(office: Office) -> None:
    office.at(OPENS)
    office.kernel.fail_next(Arm, errno.EPERM)
    office.at(INSIDE)
    assert office.outcome.result == "failed"
    assert office.whats() == ["armed"]
    office.at(INSIDE + MINUTE)
    assert office.whats() == ["armed"]


def test_the_daemon_runs_on_over_a_record_that_cannot_be_written(office: Office) -> None:
    (office.directory / FILE).unlink()
    (office.directory / FILE).mkdir()
    office.at(OPENS)
    assert office.armed() == {"ddos"}
    office.at(CLOSES)
    assert office.recorder.state.waiting == 2
    os.rmdir(office.directory / FILE)
    office.at(CLOSES + MINUTE)
    assert office.whats()[-3:] == ["armed", "ended", "late"]


def test_no_address_and_no_registrant_is_on_the_record(office: Office) -> None:
    office.at(OPENS)
    office.kernel.bump(HELD, 1, 1)
    office.at(CLOSES)
    text = (office.directory / FILE).read_text()
    assert "198.51.100" not in text
    assert "203.0.113" not in text
    assert "R-1" not in text


# --- the ceilings ---------------------------------------------------------------------------------


def guard(name: str, day: int, hours: int = 72, month: int = 12) -> str:
    return (
        f"- id: {name}\n  reason: r\n  declared_by: d\n  reference: R\n"
        f'  start: "2026-{month:02}-{day:02}T00:00:00Z"\n  duration: {hours}h\n'
        "  measures: {guard: {estate: concentrators}}\n"
    )


def test_guard_that_ran_and_was_deleted_still_counts_in_the_thirty_days(tmp_path: Path) -> None:
    from enforcer.errors import PolicyError
    from enforcer.schedule.load import load
    from enforcer.sources.files import ZONES

    days = (1, 5, 9, 13, 17)
    office = Office(tmp_path, "".join(guard(f"w{d}", d) for d in days))
    for day in days:
        opens = OPENS.replace(day=day, hour=0)
        office.at(opens)
        office.at(opens + timedelta(hours=72))
    assert office.whats() == ["armed", "ended"] * 5
    office.reload("[]")
    office.begin()
    now = office.clock.at
    later = {
        "enforcer.yaml": office.main.encode(),
        "windows.d/w.yaml": guard("new", 22, 24).encode(),
    }
    load(later, "enforcer.yaml", ZONES, now=now)
    with pytest.raises(PolicyError) as refused:
        load(later, "enforcer.yaml", ZONES, now=now, past=office.chronicle.past(now))
    message = str(refused.value)
    assert "guard is armed for 384 h of the 30 days from 2026-11-23T00:00Z" in message
    assert '"w1" (on the record)' in message
    assert "over the ceiling of 360 h" in message
    # Once the first of them is more than thirty days back, there is room again.
    after = {**later, "windows.d/w.yaml": guard("new", 4, 24, 1).replace("2026", "2027").encode()}
    load(after, "enforcer.yaml", ZONES, now=now, past=office.chronicle.past(now))


def test_what_is_seen_is_a_small_file_beside_the_record(office: Office) -> None:
    office.at(OPENS)
    told = json.loads((office.directory / SEEN).read_text())
    assert [w["window"] for w in told["windows"]] == ["ddos"]
