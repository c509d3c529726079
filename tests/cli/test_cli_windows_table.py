"""`enforcer windows`: what is ahead, in order, in the window's zone and in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from enforcer.schedule.orders import Order, Orders
from enforcer.standing import write_orders
from tests.cli.cli_worlds import Place, window_text


def test_windows_are_told_for_programs(place: Place) -> None:
    hour = timedelta(hours=1)
    on = window_text("ddos", place.now - hour, place.now + hour)
    later = window_text("later", place.now + 48 * hour, place.now + 49 * hour)
    place.write(windows=later + on)
    answer = place.run("windows", "--format", "json").json
    assert [(w["id"], w["state"], w["measures"]) for w in answer] == [
        ("ddos", "armed", ["guard", "mark"]),
        ("later", "next", ["guard", "mark"]),
    ]
    assert answer[0]["starts_at"] == f"{place.now - hour:%Y-%m-%dT%H:%M:%SZ}"
    assert answer[0]["ends_at"] == f"{place.now + hour:%Y-%m-%dT%H:%M:%SZ}"
    assert [w["id"] for w in place.run("windows", "--days", "1", "--format", "json").json] == [
        "ddos"
    ]


def test_windows_are_told_in_their_zone_and_in_utc(place: Place) -> None:
    start = datetime(2027, 1, 1, 10, tzinfo=UTC)
    place.write(windows=window_text("exam", start, start + timedelta(hours=30), "Asia/Karachi"))
    said = place.run("windows", "--from", "2026-12-31T00:00:00Z", "--days", "3")
    assert said.out.splitlines()[:2] == [
        (
            "window  state  opens                                           "
            "closes                                          lasts  measures"
        ),
        (
            "exam    next   2027-01-01 10:00:00 PKT (2027-01-01 05:00:00Z)  "
            "2027-01-02 16:00:00 PKT (2027-01-02 11:00:00Z)  1d 6h  guard, mark"
        ),
    ]
    (exam,) = place.run(
        "windows", "--from", "2026-12-31T00:00:00Z", "--days", "3", "--format", "json"
    ).json
    assert exam == {
        "id": "exam",
        "starts_at": "2027-01-01T05:00:00Z",
        "ends_at": "2027-01-02T11:00:00Z",
        "state": "next",
        "measures": ["guard", "mark"],
        "stage": False,
        "timezone": "Asia/Karachi",
        "starts_at_local": "2027-01-01T10:00:00+05:00",
        "ends_at_local": "2027-01-02T16:00:00+05:00",
    }


def test_a_window_closed_early_is_told_as_closed(place: Place) -> None:
    hour = timedelta(hours=1)
    closed = Order("ddos", place.now - hour, place.now + hour, "closed")
    write_orders(place.state_dir, Orders().given([closed]))
    (ddos,) = place.run("windows", "--format", "json").json
    assert ddos["state"] == "closed"


def test_a_closed_window_is_told_with_when_it_was_closed(place: Place) -> None:
    hour, pkt = timedelta(hours=1), timedelta(hours=5)
    begins, ends, shut = place.now - hour, place.now + hour, place.now - timedelta(minutes=53)
    place.write(
        windows=window_text("ddos", begins + pkt, ends + pkt, "Asia/Karachi")
        + window_text("later", ends, ends + hour)
        + window_text("old", begins, ends)
    )
    closed = Order("ddos", begins, ends, "closed", given_at=shut)
    gone = Order("later", ends, ends + hour, "closed", given_at=shut)
    unknown = Order("old", begins, ends, "closed")
    write_orders(place.state_dir, Orders().given([closed, gone, unknown]))
    rows = {line.split()[0]: line for line in place.run("windows").out.splitlines()[1:4]}
    both = f"{shut + pkt:%Y-%m-%d %H:%M:%S} PKT ({shut:%Y-%m-%d %H:%M:%S}Z)"
    assert f"  {both}  7m " in rows["ddos"]
    assert f"  cancelled {shut:%Y-%m-%d %H:%M:%S}Z " in rows["later"]
    assert "  early, not noted when  " in rows["old"]
    views = {w["id"]: w for w in place.run("windows", "--format", "json").json}
    assert views["ddos"]["ends_at"] == f"{ends:%Y-%m-%dT%H:%M:%SZ}", "as it was declared"
    assert views["ddos"]["closed_at"] == f"{shut:%Y-%m-%dT%H:%M:%SZ}"
    assert views["ddos"]["closed_at_local"] == f"{shut + pkt:%Y-%m-%dT%H:%M:%S}+05:00"
    assert "closed_at" not in views["old"]


def test_none_ahead_is_said(place: Place) -> None:
    place.write(windows="")
    said = place.run("windows", "--from", "2030-01-01T00:00:00Z", "--days", "1")
    assert (said.code, said.out) == (0, "no window in 1 day from 2030-01-01 00:00:00Z\n")
    assert place.run("windows", "--format", "json").json == []


def test_a_staged_guard_is_told_apart(place: Place) -> None:
    hour = timedelta(hours=1)
    text = window_text("ddos", place.now - hour, place.now + hour, more="  stage: true\n")
    place.write(windows=text)
    (ddos,) = place.run("windows", "--format", "json").json
    assert (ddos["measures"], ddos["stage"]) == (["guard", "mark"], True)
    assert "guard (staged), mark" in place.run("windows").out.splitlines()[1]


def test_a_window_on_trial_is_told_with_its_deadline(place: Place) -> None:
    hour = timedelta(hours=1)
    until = place.now + timedelta(minutes=5)
    trial = Order("ddos", place.now - hour, place.now + hour, "trial", until=until)
    write_orders(place.state_dir, Orders().given([trial]))
    told = f"ddos: on trial, until {until:%Y-%m-%d %H:%M:%S}Z unless confirmed: "
    assert f"{told}enforcer confirm ddos" in place.run("windows").out.splitlines()
    over = place.now - timedelta(minutes=5)
    lapsed = Order("ddos", place.now - hour, place.now + hour, "trial", until=over)
    write_orders(place.state_dir, Orders().given([lapsed]))
    assert "on trial" not in place.run("windows").out
