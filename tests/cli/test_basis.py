"""`explain` and `windows` tell what is in force, whatever the files say meanwhile; and where they
cannot, that what they tell is not in force.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from enforcer.kernel.fake import FakeKernel
from enforcer.observe.views import status_view
from enforcer.sources.lastgood import FILE, write_last_good
from tests.cli.cli_worlds import MAIN, REGISTRY, Place, memory_kernel, window_text

STRANGER = ("192.0.2.99", "--to", "203.0.113.5", "--service", "udp/51820")
LOOK = "what is in force is told by `enforcer status` and the status page"
BROKEN = "- {id: ddos, measures: [\n"
HOUR = timedelta(hours=1)


def marks_only(place: Place) -> str:
    """`ddos`, edited: it closes two hours later and no longer guards."""
    text = window_text("ddos", place.now - HOUR, place.now + 3 * HOUR)
    return text.replace("    guard: {estate: concentrators}\n", "")


@pytest.fixture
def on(place: Place, kernel: FakeKernel) -> Iterator[Place]:
    """A daemon answers, and `ddos` guards."""
    daemon = place.daemon(kernel)
    daemon.step()
    with place.answering(daemon):
        yield place


@pytest.fixture
def orphaned(place: Place, kernel: FakeKernel) -> Place:
    """A daemon was there, and the kernel goes on."""
    daemon = place.daemon(kernel)
    daemon.step()
    with place.answering(daemon):
        pass
    return place


def ends(said: list[dict[str, str]]) -> dict[str, datetime]:
    return {w["id"]: datetime.fromisoformat(w["ends_at"]) for w in said}


def test_files_that_are_in_force_need_no_word(on: Place) -> None:
    said = on.run("explain", *STRANGER, "--format", "json")
    assert (said.code, said.err) == (3, "")
    assert (said.json["in_force"], said.json["remark"]) == (True, None)
    said = on.run("windows")
    assert (said.code, said.err) == (0, "")


def test_an_edited_window_that_was_not_loaded_is_judged_as_it_is_in_force(on: Place) -> None:
    on.write(windows=marks_only(on))
    said = on.run("explain", *STRANGER)
    assert (said.code, said.err) == (3, "")
    first, _, files, window, *_ = said.out.splitlines()
    assert first == "192.0.2.99 to 203.0.113.5, udp/51820: held back"
    assert files == (
        "files       the files differ from what is in force (policy); this is what is in force; by "
        "the files as they are: --files"
    )
    assert window.startswith("window      ddos: guard, mark, until ")
    answer = on.run("explain", *STRANGER, "--format", "json").json
    assert (answer["in_force"], answer["verdict"]) == (True, "held_back")
    assert answer["remark"].startswith("the files differ from what is in force (policy); ")


def test_a_later_instant_is_told_by_what_is_loaded_or_if_asked_by_the_files(on: Place) -> None:
    on.write(windows=marks_only(on))
    soon = f"{on.now + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}"
    late = f"{on.now + 2 * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    windows = [
        on.run("explain", "198.51.100.9", "--at", at, *more, "--format", "json").json["windows"]
        for at in (soon, late)
        for more in ((), ("--files",))
    ]
    assert windows == [["ddos"], ["ddos"], [], ["ddos"]]
    said = on.run("explain", *STRANGER, "--at", soon)
    assert said.code == 3
    assert "the files differ from what is in force (policy)" in said.out
    said = on.run("explain", *STRANGER, "--at", soon, "--files")
    assert said.code == 0, "they mark, and guard nothing"
    assert "differ" not in said.out


def test_a_registry_that_was_not_taken_is_not_what_flows_meet(
    on: Place, kernel: FakeKernel
) -> None:
    on.write(registry=REGISTRY.replace("R-1,198.51.100.0/24", "R-1,198.51.101.0/24"))
    said = on.run("explain", "198.51.100.9", *STRANGER[1:], "--format", "json")
    assert (said.code, said.json["verdict"], said.json["agrees"]) == (0, "let_in", True)
    assert said.json["remark"].startswith("the files differ from what is in force (registrations)")


def test_windows_tells_the_end_that_is_in_force_and_of_a_file_that_is_gone(on: Place) -> None:
    for text in (marks_only(on), ""):
        on.write(windows=text)
        said = on.run("windows", "--format", "json")
        assert said.code == 0
        assert ends(said.json) == {"ddos": on.now + HOUR}
        assert said.err == (
            "the files differ from what is in force (policy); this is what is in force; by the "
            "files as they are: --files\n"
        )
    assert on.run("windows", "--files", "--format", "json").json == []


def test_with_a_broken_file_what_is_in_force_is_told_and_what_is_wrong(on: Place) -> None:
    on.write(windows=BROKEN)
    said = on.run("explain", *STRANGER)
    assert said.code == 3
    assert "the files are refused; this is what is in force; mend them: enforcer check" in said.out
    assert said.err.startswith("windows.d/w.yaml:")
    said = on.run("windows", "--format", "json")
    assert (said.code, ends(said.json)) == (0, {"ddos": on.now + HOUR})
    assert said.err.startswith("the files are refused; this is what is in force; ")
    assert "\nwindows.d/w.yaml:" in said.err
    assert on.run("windows", "--files").code == 78


def test_a_reload_that_was_refused_is_named(place: Place, kernel: FakeKernel) -> None:
    daemon = place.daemon(kernel)
    daemon.step()
    place.write(windows=BROKEN)
    assert daemon.reload() is not None
    with place.answering(daemon):
        said = place.run("windows")
    assert said.err.startswith("the files are refused, and the last reload was refused; ")


@pytest.mark.parametrize("lost", ["gone", "of before", "spoilt"])
def test_where_what_is_in_force_cannot_be_read_it_is_said_loudly(on: Place, lost: str) -> None:
    kept = on.state_dir / FILE
    if lost == "gone":
        kept.unlink()
    elif lost == "spoilt":
        kept.write_bytes(kept.read_bytes()[:-1])
    else:
        # The daemon has loaded others since, and its copy is not on the disk yet.
        on.write(windows="")
        other = on.daemon(memory_kernel())
        write_last_good(on.state_dir, str(on.config), other.loaded_at, other.config)
    on.write(windows=marks_only(on))
    said = on.run("explain", *STRANGER)
    assert said.code == 1, "neither yes nor no"
    assert "untouched BY FILES THAT ARE NOT IN FORCE\n" in said.out
    assert LOOK in " ".join(said.out.split())
    answer = on.run("explain", *STRANGER, "--format", "json").json
    assert answer["in_force"] is False
    said = on.run("windows", "--format", "json")
    assert said.code == 0
    assert [(w["id"], w["in_force"]) for w in said.json] == [("ddos", False)]
    assert said.err.startswith(
        "NOT IN FORCE: the files differ from what is in force (policy), and "
    )


def test_broken_files_and_nothing_else_to_read_say_where_to_look(on: Place) -> None:
    (on.state_dir / FILE).unlink()
    on.write(windows=BROKEN)
    for argv in (("explain", *STRANGER), ("windows",)):
        said = on.run(*argv)
        assert (said.code, said.out) == (78, "")
        assert said.err.startswith("windows.d/w.yaml:")
        assert said.err.endswith(f"\n{LOOK}\n")


def test_another_configuration_than_the_daemons_is_told_as_such(on: Place) -> None:
    other = on.folder / "other.yaml"
    other.write_text(MAIN.replace("lease: 10m", "lease: 5m"))
    said = on.run("explain", *STRANGER, "--config", str(other), "--format", "json")
    assert (said.code, said.json["in_force"]) == (3, False)
    assert said.json["remark"].startswith(
        f"these files are not in force: the daemon reads {on.config}; "
    )
    assert "NOT IN FORCE: these files are" in on.run("windows", "--config", str(other)).err


def test_a_daemon_that_does_not_say_what_it_has_loaded(place: Place, kernel: FakeKernel) -> None:
    """One of an earlier version, or one that starts."""
    daemon = place.daemon(kernel)
    daemon.step()
    status = status_view(daemon.snapshot(), "0.0")
    del status["config"]["policy"], status["config"]["registry"]
    with place.served(status):
        said = place.run("explain", *STRANGER, "--format", "json")
    assert (said.code, said.json["in_force"]) == (3, None)
    assert said.json["remark"] == "the daemon does not say what it has loaded; these are the files"


# --- without a daemon -----------------------------------------------------------------------------


def test_without_a_daemon_the_kernel_goes_on_with_what_it_was_given(orphaned: Place) -> None:
    place = orphaned
    assert place.run("explain", *STRANGER).err == ""
    place.write(windows=marks_only(place))
    said = place.run("explain", *STRANGER)
    assert said.code == 3
    assert "no daemon answers; the files differ from what is in force (policy); what is" in said.out
    late = f"{place.now + 2 * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    answer = place.run("explain", "198.51.100.9", "--at", late, "--format", "json").json
    assert answer["windows"] == ["ddos"], "a daemon that starts takes the files"


def test_without_a_daemon_the_end_is_that_of_the_kernels_timer(orphaned: Place) -> None:
    """The lease of ten minutes; the schedule would have it for an hour."""
    place, end = orphaned, f"{orphaned.now + HOUR:%Y-%m-%d %H:%M:%SZ}"
    instant = r"([-\d]+ [:\d]+Z)"
    timer = rf"until {instant} by the kernel's timer, by the schedule until {end}"
    out = place.run("windows").out
    told = re.search(rf"^ddos: {timer}; only a daemon renews it$", out, re.MULTILINE)
    assert told is not None, out
    until = datetime.fromisoformat(told[1])
    assert timedelta(minutes=9) < until - place.now < timedelta(minutes=12)
    row = out.splitlines()[1]
    # Read again for each command, so it may be a second off.
    assert row.startswith("ddos    armed  ")
    assert end not in row
    (view,) = place.run("windows", "--format", "json").json
    assert ends([view]) == {"ddos": place.now + HOUR}
    assert abs(datetime.fromisoformat(view["kernel_until"]) - until) < timedelta(seconds=2)
    window = place.run("explain", *STRANGER).out.splitlines()[2]
    assert re.fullmatch(rf"window      ddos: guard, mark, {timer}", window)
    soon = f"{place.now + timedelta(minutes=30):%Y-%m-%dT%H:%M:%SZ}"
    assert "kernel's timer" not in place.run("explain", *STRANGER, "--at", soon).out


def test_while_a_daemon_answers_or_the_kernel_has_the_whole_time_the_end_is_the_schedules(
    on: Place, kernel: FakeKernel
) -> None:
    for argv in (("windows",), ("explain", *STRANGER)):
        assert "kernel's timer" not in on.run(*argv).out
    on.write(windows=window_text("ddos", on.now - HOUR, on.now + HOUR, more="  lease: until-end\n"))
    on.daemon(kernel).step()
    (on.run_dir / "control.sock").rename(on.run_dir / "gone")
    out = on.run("windows").out
    assert out.splitlines()[1].startswith("ddos    armed  ")
    assert "kernel's timer" not in out
    assert "kernel_until" not in on.run("windows", "--format", "json").json[0]
    assert "kernel's timer" not in on.run("explain", *STRANGER).out
    (on.run_dir / "gone").rename(on.run_dir / "control.sock")


def test_without_a_daemon_windows_tells_what_the_kernel_arms_and_what_the_files_add(
    orphaned: Place,
) -> None:
    place = orphaned
    later = window_text("later", place.now + 5 * HOUR, place.now + 6 * HOUR)
    for text in (marks_only(place) + later, later):
        place.write(windows=text)
        said = place.run("windows", "--format", "json")
        assert [(w["id"], w["state"]) for w in said.json] == [("ddos", "armed"), ("later", "next")]
        assert ends(said.json)["ddos"] == place.now + HOUR
        assert said.err.startswith(
            "no daemon answers; the files differ from what is in force (policy); "
        )
    place.write(windows=BROKEN)
    said = place.run("windows", "--format", "json")
    assert (said.code, list(ends(said.json))) == (0, ["ddos"])
    assert "windows.d/w.yaml:" in said.err


def test_without_a_daemon_and_with_nothing_armed_the_files_are_all_there_is(
    orphaned: Place, kernel: FakeKernel
) -> None:
    kernel.edit(lambda _: None)
    assert orphaned.run("disarm").code == 0
    orphaned.write(windows=marks_only(orphaned), registry=REGISTRY)
    said = orphaned.run("windows", "--format", "json")
    assert (list(ends(said.json).values()), said.err.count("differ")) == (
        [orphaned.now + HOUR * 3],
        0,
    )
