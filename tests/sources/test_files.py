"""Reading the configuration: each file once, and what keeps one from being read said plainly."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from enforcer.errors import PolicyError
from enforcer.sources import files
from enforcer.sources.reading import refusal
from tests.policy.documents_by_hand import MAIN, window


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "windows.d").mkdir()
    (tmp_path / "enforcer.yaml").write_text(MAIN)
    (tmp_path / "registry.csv").write_text("192.0.2.0/24\n")
    return tmp_path


def message(folder: Path) -> str:
    with pytest.raises(PolicyError) as refused:
        files.load_policy(folder / "enforcer.yaml")
    return str(refused.value)


def test_the_yaml_files_of_windows_d_are_read_in_order_and_no_others(folder: Path) -> None:
    for name in ("b.yaml", "a.yaml", ".hidden.yaml", "c.yaml~", "d.txt", "e.yaml.bak"):
        (folder / "windows.d" / name).write_text(window(name.strip(".").replace(".", "-")))
    read = files.Reader(folder).documents("enforcer.yaml")
    assert list(read) == ["enforcer.yaml", "windows.d/a.yaml", "windows.d/b.yaml"]


def test_policy_and_registry_bytes_come_out(folder: Path) -> None:
    (folder / "windows.d" / "w.yaml").write_text(window())
    policy, registries = files.load_policy(folder / "enforcer.yaml")
    assert [window.id for window in policy.windows] == ["attack"]
    assert registries == {"registry.csv": b"192.0.2.0/24\n"}


def test_without_windows_d_there_are_no_windows(folder: Path) -> None:
    (folder / "windows.d").rmdir()
    assert files.load_policy(folder / "enforcer.yaml")[0].windows == ()


def test_relative_names_are_relative_to_the_file_that_names_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "windows.d" / "w.yaml").write_text(window())
    monkeypatch.chdir(folder.parent)
    policy, _ = files.load_policy(Path(folder.name) / "enforcer.yaml")
    assert policy.windows[0].source == "windows.d/w.yaml:1:3"


def remove(path: Path) -> None:
    path.unlink()


def make_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


@pytest.mark.parametrize("name", ["enforcer.yaml", "registry.csv"])
@pytest.mark.parametrize(
    ("spoil", "fact"),
    [
        (remove, "does not exist; create it, or correct its name"),
        (make_directory, "is a directory; name a file in it"),
        (make_pipe, "is not a regular file; put a file there, or name another"),
        (
            make_loop,
            "cannot be read: Too many levels of symbolic links; check the file and its disk",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(
    folder: Path, name: str, spoil: Callable[[Path], None], fact: str
) -> None:
    spoil(folder / name)
    place = f"{folder}/{name}" if name == "enforcer.yaml" else name
    help_ = f" (enforcer init {folder} writes one to begin from)"
    gone = help_ if name == "enforcer.yaml" and spoil is remove else ""
    assert message(folder) == f"{place}: {fact}{gone}"


def test_the_configuration_of_a_fleets_gateway_comes_from_the_fleet(folder: Path) -> None:
    (folder / "enforcer.yaml").unlink()
    (folder / "gateway.yaml").write_text("version: 1\n")
    assert message(folder).endswith(
        "(gateway.yaml beside it makes this a gateway of a fleet, whose configuration is --config "
        "/var/lib/enforcer/fleet/current/enforcer.yaml: see docs/fleet.md)"
    )
    followed = folder / "fleet" / "current" / "enforcer.yaml"
    assert files.where_from(followed) == "enforcer follow --once fetches it, see docs/fleet.md"


def test_a_fleets_gateway_has_windows_of_its_own_beside_all_revisions(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = tmp_path_factory.mktemp("fleet")
    revision = fleet / "revisions" / "000000000042"
    shutil.copytree(folder, revision)
    (fleet / "current").symlink_to("revisions/000000000042")
    (revision / "windows.d" / "w.yaml").write_text(window())
    own = fleet / "windows.d"
    own.mkdir()
    (own / "urgent.yaml").write_text(window("urgent"))
    for config in (fleet / "current" / "enforcer.yaml", revision / "enforcer.yaml"):
        policy, _ = files.load_policy(config)
        assert {w.id: w.source for w in policy.windows} == {
            "attack": "windows.d/w.yaml:1:3",
            "urgent": f"{own}/urgent.yaml:1:3",
        }
    monkeypatch.chdir(fleet / "current")
    assert len(files.load_policy(Path("enforcer.yaml"))[0].windows) == 2
    (own / "urgent.yaml").write_text(window())
    said = message(fleet / "current")
    assert "windows.d/w.yaml:1:8" in said
    assert f"is already the id of the window at {own}/urgent.yaml:1:3" in said
    (own / "urgent.yaml").unlink()
    own.chmod(0o777)
    with pytest.raises(PolicyError) as refused:
        files.read_texts(fleet / "current" / "enforcer.yaml", guarded=True)
    assert str(refused.value).startswith(f"{own}: may be changed by every user")


def test_what_is_no_revision_has_no_windows_beside_it(folder: Path) -> None:
    assert files.local_windows(folder) is None
    assert files.local_windows(folder / "revisions" / "42") is None


def test_a_file_that_may_not_be_read_says_who_has_to_be_let_in() -> None:
    # A test that runs as root may read everything: the sentence is checked from the error.
    assert refusal(PermissionError(13, "Permission denied")) == (
        "may not be read by this user; give the daemon's user or group the right to"
    )


def test_a_file_over_the_limit_is_not_read_to_its_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "YAML_BYTES", 1024**2)
    (folder / "windows.d" / "w.yaml").write_bytes(b"#" * (1024**2 + 1))
    assert message(folder) == (
        "windows.d/w.yaml: is larger than 1 MB, the most that is read; split it, or correct it"
    )


def test_all_windows_files_together_have_a_limit_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "YAML_BYTES", 1024**2)
    for name in ("a", "b"):
        (folder / "windows.d" / f"{name}.yaml").write_bytes(b"#" * (600 * 1024))
    assert message(folder) == (
        "windows.d: its files are larger than 1 MB together, the most that is read; take old "
        "windows out"
    )


def test_windows_d_that_is_a_file_is_refused(folder: Path) -> None:
    (folder / "windows.d").rmdir()
    (folder / "windows.d").write_text("")
    assert message(folder) == (
        "windows.d: is, or lies below, a file that should be a directory; correct the path"
    )


def test_a_file_name_that_cannot_be_shown_is_refused(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/windows.d/\xff.yaml")).write_text("")
    assert message(folder) == (
        'windows.d: holds a file named "\\udcff.yaml", which cannot be shown; rename it'
    )


def test_every_missing_file_is_named_at_once(folder: Path) -> None:
    main = MAIN.replace("[{file: registry.csv}]", "[{file: b.csv}, {file: lists/a.csv}]")
    (folder / "enforcer.yaml").write_text(main)
    fact = "does not exist; create it, or correct its name"
    assert message(folder) == f"b.csv: {fact}\nlists/a.csv: {fact}"


# --- calendar files -------------------------------------------------------------------------------

EVENT = (
    "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:VPN\nDTSTART:20261201T080000Z\nDURATION:PT1H\n"
    "END:VEVENT\nEND:VCALENDAR\n"
)


def takes_calendar(folder: Path, name: str = "outages.ics") -> None:
    (folder / "windows.d" / "w.yaml").write_text(window(times=f"calendar: {name}"))


def test_a_calendar_is_read_beside_the_file_that_names_it(folder: Path) -> None:
    takes_calendar(folder)
    (folder / "windows.d" / "outages.ics").write_text(EVENT)
    policy, registries = files.load_policy(folder / "enforcer.yaml")
    assert [window.id for window in policy.windows] == ["attack"]
    assert list(registries) == ["registry.csv"]
    takes_calendar(folder, "../calendars/outages.ics")
    (folder / "calendars").mkdir()
    (folder / "windows.d" / "outages.ics").rename(folder / "calendars" / "outages.ics")
    again, _ = files.load_policy(folder / "enforcer.yaml")
    assert again.digest != policy.digest


@pytest.mark.parametrize(
    ("spoil", "fact"),
    [
        (remove, "does not exist; create it, or correct its name"),
        (make_directory, "is a directory; name a file in it"),
        (make_pipe, "is not a regular file; put a file there, or name another"),
    ],
)
def test_a_calendar_that_cannot_be_read_is_named_where_it_is_declared(
    folder: Path, spoil: Callable[[Path], None], fact: str
) -> None:
    takes_calendar(folder)
    path = folder / "windows.d" / "outages.ics"
    path.write_text(EVENT)
    spoil(path)
    assert message(folder) == (
        f'windows.d/w.yaml:1:90: windows[0].calendar: "windows.d/outages.ics" {fact}'
    )
