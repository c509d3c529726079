"""`enforcer status`: the daemon's word, or what the kernel does without it, and for how long."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from enforcer.cli.status import text, unanswered_text, unanswered_view
from enforcer.cli.terminal import Painter
from enforcer.errors import KernelError
from enforcer.held import Held
from enforcer.kernel import nft
from enforcer.kernel.fake import FakeKernel
from enforcer.observe.snapshot import FeedLook
from enforcer.observe.views import status_view
from enforcer.ruleset.transaction import ChainState, KernelState
from enforcer.ruleset.vocabulary import Hook, Shaper
from enforcer.schedule.orders import Order, Orders
from enforcer.standing import write_orders
from tests.cli.cli_worlds import MAIN, REGISTRY, Place, window_text

PLAIN = Painter(Namespace(color="never"))


def lines(place: Place, kernel: FakeKernel, *, now: datetime | None = None) -> list[str]:
    daemon = place.daemon(kernel)
    daemon.step()
    return text(status_view(daemon.snapshot(), "9.9"), now or place.now, PLAIN)


def test_on_a_narrow_terminal_no_line_of_a_window_is_broken(
    place: Place, kernel: FakeKernel
) -> None:
    begin = place.now - timedelta(hours=20)
    place.write(windows=window_text("ddos", begin, begin + timedelta(hours=30), "Asia/Karachi"))
    daemon = place.daemon(kernel)
    daemon.step()
    found = text(status_view(daemon.snapshot(), "9.9"), place.now, PLAIN, 60)
    block = found[found.index("ddos") :]
    assert [line.split()[0] for line in block] == ["ddos", "state", "opens", "closes", "measures"]
    assert max(map(len, block)) <= 60


def test_what_is_armed_is_told_with_its_end_in_both_times(place: Place, kernel: FakeKernel) -> None:
    begin = place.now - timedelta(hours=20)
    place.write(windows=window_text("ddos", begin, begin + timedelta(hours=30), "Asia/Karachi"))
    found = lines(place, kernel)
    ends = place.now + timedelta(hours=5)
    local = ends + timedelta(hours=5)
    both = f"{local:%Y-%m-%d %H:%M:%S} PKT ({ends:%Y-%m-%d %H:%M:%S}Z)"
    assert found[:2] == ["gateway   edge-1, enforcer 9.9", f"armed     ddos, 5h more, until {both}"]
    assert found[3] == "prefixes  2 IPv4, 1 IPv6"
    assert found[5] == "drift     none"
    assert found[-1].startswith("ddos    armed  ")
    assert both in found[-1]


def test_a_staged_guard_and_a_trial_are_told_with_what_is_armed(
    place: Place, kernel: FakeKernel
) -> None:
    hour, until = timedelta(hours=1), place.now + timedelta(minutes=5)
    more = "  stage: true\n"
    place.write(windows=window_text("ddos", place.now - hour, place.now + hour, more=more))
    trial = Order("ddos", place.now - hour, place.now + hour, "trial", until=until)
    write_orders(place.state_dir, Orders().given([trial]))
    found = lines(place, kernel)
    assert found[1] == (
        f"armed     ddos, guard (staged), 5m more, until {until:%Y-%m-%d %H:%M:%S}Z unless "
        "confirmed: enforcer confirm ddos"
    )
    assert found[-1].endswith("guard (staged), mark")


def test_what_needs_a_hand_comes_first(place: Place, kernel: FakeKernel) -> None:
    place.write(main=MAIN.replace("synchronised_clock: false", "synchronised_clock: true"))
    daemon = place.daemon(kernel)
    place.write(main=MAIN.replace("lease: 10m", "lease: soon"))
    assert daemon.reload() is not None
    kernel.devices.discard("wan0")
    daemon.step()
    view = status_view(daemon.snapshot(), "9.9")
    assert (view["armed"], view["due"]) == ([], ["ddos"])
    assert [w["state"] for w in view["windows"]] == ["due"], "not armed, whatever the clock says"
    view |= {"waiting_for_clock": ["ddos"], "problem": "commit: no", "drift_repairs": 1}
    view["clock"] = {"synchronised": False}
    found = text(view, place.now, PLAIN)
    assert found[-1].startswith("ddos    due    ")
    names = [line.split("  ")[0] for line in found[2:9]]
    assert names == ["due", "missing", "reload", "", "problem", "clock", "prefixes"]
    assert found[2] == "due       ddos: not armed until the clock is right"
    assert found[4] == "reload    refused; what was loaded before stays in force:"
    assert found[5].startswith("          enforcer.yaml:2:")
    assert "drift     repaired 1 time" in found


def test_a_closed_window_is_told_with_when_it_was_closed(place: Place, kernel: FakeKernel) -> None:
    begins, ends = place.now - timedelta(hours=1), place.now + timedelta(hours=1)
    shut = begins + timedelta(minutes=7)
    closed = Order("ddos", begins, ends, "closed", given_at=shut)
    write_orders(place.state_dir, Orders().given([closed]))
    row = lines(place, kernel)[-1]
    assert row.startswith("ddos    closed  ")
    assert f"{begins:%H:%M:%S}Z  {shut:%Y-%m-%d %H:%M:%S}Z  guard" in row
    begins, ends = place.now + timedelta(hours=1), place.now + timedelta(hours=2)
    place.write(windows=window_text("ddos", begins, ends))
    cancelled = Order("ddos", begins, ends, "closed", given_at=shut)
    write_orders(place.state_dir, Orders().given([cancelled]))
    assert f"Z  cancelled {shut:%Y-%m-%d %H:%M:%S}Z  guard" in lines(place, kernel)[-1]


def test_feeds_are_told_with_what_is_wrong(place: Place, kernel: FakeKernel) -> None:
    daemon = place.daemon(kernel)
    daemon.step()
    fetched = (
        FeedLook("registrar", "r.csv", 900, place.now - timedelta(hours=3), serial=42),
        FeedLook("other", "o.csv", 900, problem="never \x1b[2Jfetched"),
    )
    view = status_view(replace(daemon.snapshot(), fetched=fetched), "9.9")
    found = [line for line in text(view, place.now, PLAIN) if line.startswith(("feed", "     "))]
    at = f"{place.now - timedelta(hours=3):%Y-%m-%d %H:%M:%S}Z"
    assert found == [
        f"feed      registrar: newest as of {at}, 3h ago, serial 42",
        "feed      other",
        "          never [2Jfetched",
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({}, None),
        ({"judged": 1200}, "1,200 packets judged again, none otherwise than the registry"),
        ({"judged": 1, "mismatches": 1}, "1 packet judged again, 1 otherwise than the registry"),
        ({"problem": "sample: somebody else listens"}, "none: sample: somebody else listens"),
    ],
)
def test_the_self_check_is_told_of_once_there_is_something(
    place: Place, kernel: FakeKernel, more: dict[str, object], told: str | None
) -> None:
    daemon = place.daemon(kernel)
    daemon.step()
    samples = {"rate": 10, "problem": None, "seen": 0, "lost": 0, "judged": 0, "mismatches": 0}
    view = status_view(daemon.snapshot(), "9.9", samples=samples | more)
    found = [line for line in text(view, place.now, PLAIN) if line.startswith("sampled")]
    assert found == ([] if told is None else [f"sampled   {told}"])


def test_without_a_daemon_the_kernel_is_asked(place: Place, kernel: FakeKernel) -> None:
    place.daemon(kernel).step()
    said = place.run("status")
    socket = place.run_dir / "control.sock"
    assert said.code == 1
    assert said.err == (
        f"enforcer: {socket}: no daemon answers (No such file or directory); "
        "run: systemctl start enforcer\n"
    )
    daemon, armed, end = said.out.splitlines()
    assert daemon == "daemon  does not answer"
    assert re.fullmatch(
        r"armed   ddos for 9m \d+s more, until [-\d]+ [:\d]+Z at the latest, "
        r"then the kernel disarms it by itself",
        armed,
    )
    assert end == "        to end it now: enforcer disarm"
    answer = place.run("status", "--format", "json").json
    (window,) = answer["kernel"]["windows"]
    assert (answer["daemon"], answer["armed"], window["id"]) == (False, ["ddos"], "ddos")
    assert 540 < window["remaining_s"] <= 600
    until = datetime.fromisoformat(window["until"])
    assert timedelta(minutes=9) < until - place.now <= timedelta(minutes=11)


def test_what_a_start_would_be_refused_for_is_told_before_the_advice_to_start(
    place: Place, kernel: FakeKernel
) -> None:
    place.daemon(kernel).step()
    place.write(main=MAIN.replace("lease: 10m", "lease: soon").replace("1gbit", "fast"))
    said = place.run("status")
    socket = place.run_dir / "control.sock"
    fact, first, remedy = said.err.splitlines()
    assert fact == (
        f"enforcer: {socket}: no daemon answers (No such file or directory); "
        f"a start with {place.config} would be refused:"
    )
    assert first.startswith("2 mistakes, the first: enforcer.yaml:2:")
    assert "gateway.lease" in first
    assert remedy == (
        f"mend that first, told in full by enforcer check --config {place.config}; then "
        "run: systemctl start enforcer"
    )
    assert (said.code, said.out.splitlines()[0]) == (1, "daemon  does not answer")
    assert "ddos for 9m" in said.out, "what goes on is told all the same"
    answer = place.run("status", "--format", "json").json
    assert f"enforcer: {answer['error']}\n" == said.err
    place.config.unlink()
    first = place.run("status").err.splitlines()[1]
    assert first.startswith(f"1 mistake, the first: {place.config}: does not exist; ")
    # What its fleet publishes is elsewhere, and the unit knows where.
    place.config.with_name("gateway.yaml").touch()
    assert place.run("status").err.endswith("directory); run: systemctl start enforcer\n")


def test_a_registry_that_would_be_refused_is_told_unless_the_last_good_may_be_in_force(
    place: Place, kernel: FakeKernel
) -> None:
    place.write(registry=REGISTRY + "R-9,198.51.100.1/24,software-house,,,\n")
    assert "\n1 mistake, the first: registry.csv:6:" in place.run("status").err
    place.write()
    place.daemon(kernel).step()
    place.write(registry=REGISTRY + "R-9,198.51.100.1/24,software-house,,,\n")
    assert "mistake" not in place.run("status").err
    assert place.run("status").err.endswith("; run: systemctl start enforcer\n")


def test_spoilt_orders_are_blamed_before_the_windows_that_clash_for_want_of_them(
    place: Place, kernel: FakeKernel
) -> None:
    one = window_text("ddos", place.now, place.now + timedelta(hours=2))
    other = one.replace("id: ddos", "id: other").replace("0x51", "0x52")
    place.write(windows=one + other)
    assert "\n1 mistake, the first: windows.d/w.yaml:" in place.run("status").err
    place.state_dir.mkdir(exist_ok=True)
    (place.state_dir / "orders.json").write_text("{")
    first = f"\n2 mistakes, the first: {place.state_dir / 'orders.json'}: is spoilt, so windows "
    remedy = "mend it; or move it away, and what was closed out of windows.d as well\n"
    told = place.run("status").err
    assert f"{first}that were closed count as open; {remedy}" in told


@pytest.mark.parametrize(
    "unread", ["enforcer.standing.read_orders", "enforcer.sources.files.read_whole"]
)
def test_who_may_not_read_what_the_daemon_reads_is_told_of_no_mistake(
    place: Place, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, unread: str
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    place.write(windows="- {}\n")
    assert "windows.d/w.yaml:1:" in place.run("status").err
    monkeypatch.setattr(unread, denied)
    said = place.run("status").err
    assert len(said.splitlines()) == 1
    assert said.endswith("; run: systemctl start enforcer\n")


def test_nothing_armed_is_told_as_that(place: Place, kernel: FakeKernel) -> None:
    said = place.run("status")
    assert "nothing; traffic passes as if enforcer were not there" in said.out
    assert place.run("status", "--format", "json").json["armed"] == []


def test_a_kernel_that_cannot_be_asked_is_unknown_not_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied() -> None:
        raise KernelError("open netlink", 1, "not permitted")

    monkeypatch.setattr(nft, "NftKernel", denied)
    said = place.run("status")
    assert (said.code, said.out.splitlines()[1]) == (
        1,
        "armed   unknown (open netlink: not permitted)",
    )
    assert place.run("status", "--format", "json").json["armed"] is None
    held = Held(None, "no")
    assert unanswered_view("gone", held, place.now) == {
        "error": "gone",
        "daemon": False,
        "armed": None,
        "kernel": {"windows": None, "reason": "no"},
    }
    assert unanswered_text("gone", held, place.now, PLAIN)[1] == "armed   unknown (no)"


def test_what_an_ended_window_left_behind_is_told(place: Place) -> None:
    state = KernelState(
        1,
        exists=True,
        chains={"mark.ddos": ChainState(Hook("prerouting", -150), ())},
        shapers=frozenset({Shaper("wan0", 8_000_000, 4_000_000)}),
    )
    assert unanswered_text("gone", Held(state), place.now, PLAIN)[1] == (
        "armed   nothing; of ended windows there is left 1 hooked chain that does nothing and the "
        "HTB of wan0, which shapes it to its rate: enforcer disarm takes it out"
    )
