"""What somebody else could change is not obeyed: owners and modes of real files."""

from __future__ import annotations

import grp
import os
import shutil
import stat
from pathlib import Path

import pytest

import enforcer
from enforcer.errors import PolicyError
from enforcer.sources.files import load_policy
from enforcer.sources.load import load_configuration
from enforcer.sources.trust import distrust
from tests.policy.documents_by_hand import MAIN, window

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
NOBODY = 65534
SHARED = grp.getgrnam("users").gr_gid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "etc"
    (here / "windows.d").mkdir(parents=True)
    (here / "enforcer.yaml").write_text(
        MAIN.replace("[software-house, freelancer]", "[software-house]")
    )
    (here / "registry.csv").write_text("192.0.2.0/24\n")
    (here / "windows.d" / "w.yaml").write_text(window())
    return here


def message(folder: Path) -> str:
    with pytest.raises(PolicyError) as refused:
        load_configuration(folder / "enforcer.yaml")
    return str(refused.value)


@pytest.mark.parametrize("name", ["enforcer.yaml", "registry.csv", "windows.d/w.yaml"])
def test_a_file_that_everybody_may_write_is_refused(folder: Path, name: str) -> None:
    (folder / name).chmod(0o646)
    place = folder / name if name == "enforcer.yaml" else name
    assert message(folder) == f"{place}: may be changed by every user of this machine; chmod o-w"


@needs_root
@pytest.mark.parametrize("name", ["enforcer.yaml", "registry.csv", "windows.d/w.yaml"])
def test_a_file_that_a_group_of_several_may_write_is_refused(folder: Path, name: str) -> None:
    os.chown(folder / name, 0, SHARED)
    load_configuration(folder / "enforcer.yaml")
    (folder / name).chmod(0o664)
    place = folder / name if name == "enforcer.yaml" else name
    assert message(folder) == f"{place}: may be changed by the group users; chmod g-w"


def test_a_checkout_under_umask_002_is_accepted(folder: Path) -> None:
    """The group is the owner's own: nobody else is in it."""
    if grp.getgrgid(os.getegid()).gr_mem:
        pytest.skip("this user's group has other members")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o775 if path.is_dir() else 0o664)
    load_configuration(folder / "enforcer.yaml")


@needs_root
def test_a_file_of_another_user_is_refused(folder: Path) -> None:
    os.chown(folder / "registry.csv", NOBODY, -1)
    assert message(folder) == ("registry.csv: belongs to nobody, who could change it; chown root")


@needs_root
def test_the_program_s_own_user_may_own_its_configuration(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, -1)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    load_configuration(folder / "enforcer.yaml")


@needs_root
def test_a_calendar_is_looked_at_too(folder: Path) -> None:
    (folder / "windows.d" / "w.yaml").write_text(window(times="calendar: outages.ics"))
    calendar = folder / "windows.d" / "outages.ics"
    calendar.write_text(
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:VPN\nDTSTART:20261201T080000Z\nDURATION:PT1H\n"
        "END:VEVENT\nEND:VCALENDAR\n"
    )
    load_configuration(folder / "enforcer.yaml")
    os.chown(calendar, NOBODY, -1)
    assert message(folder).endswith(
        'windows[0].calendar: "windows.d/outages.ics" belongs to nobody, who could change it; '
        "chown root"
    )


@pytest.mark.parametrize("name", [".", "windows.d"])
def test_a_folder_that_everybody_may_write_to_is_refused(folder: Path, name: str) -> None:
    (folder / name).chmod(0o777)
    place = folder if name == "." else name
    assert message(folder) == f"{place}: may be changed by every user of this machine; chmod o-w"


def test_the_sticky_bit_protects_files_that_are_named_and_not_those_that_are_found(
    folder: Path,
) -> None:
    folder.chmod(0o1777)
    load_configuration(folder / "enforcer.yaml")
    (folder / "windows.d").chmod(0o1777)
    assert message(folder).startswith("windows.d: may be changed by every user")


def test_a_link_is_followed_and_what_it_leads_to_is_looked_at(folder: Path) -> None:
    there = folder.parent / "available"
    there.mkdir()
    shutil.move(folder / "windows.d" / "w.yaml", there / "w.yaml")
    (folder / "windows.d" / "w.yaml").symlink_to("../../available/w.yaml")
    assert load_configuration(folder / "enforcer.yaml").policy.windows[0].id == "attack"
    (there / "w.yaml").chmod(0o666)
    assert message(folder) == (
        "windows.d/w.yaml: may be changed by every user of this machine; chmod o-w"
    )
    (there / "w.yaml").chmod(0o644)
    there.chmod(0o777)
    assert message(folder) == f"{there}: may be changed by every user of this machine; chmod o-w"


def test_a_way_up_is_followed_and_looked_at(folder: Path) -> None:
    shutil.move(folder / "registry.csv", folder.parent / "registry.csv")
    main = (folder / "enforcer.yaml").read_text().replace("registry.csv", "../registry.csv")
    (folder / "enforcer.yaml").write_text(main)
    assert len(load_configuration(folder / "enforcer.yaml").registry) == 1
    (folder.parent / "registry.csv").chmod(0o602)
    assert message(folder).startswith("../registry.csv: may be changed by every user")


def test_commands_that_only_look_read_what_the_daemon_would_refuse(folder: Path) -> None:
    (folder / "registry.csv").chmod(0o666)
    assert load_policy(folder / "enforcer.yaml")[0].windows[0].id == "attack"


def test_numbers_without_names_are_told_as_numbers() -> None:
    mode = stat.S_IFREG | 0o664
    unknown = os.stat_result((mode, 1, 1, 1, 4000000001, 4000000001, 0, 0, 0, 0))
    assert distrust(unknown) == "belongs to uid 4000000001, who could change it; chown root"
    shared = os.stat_result((mode, 1, 1, 1, os.geteuid(), 4000000002, 0, 0, 0, 0))
    assert distrust(shared) == "may be changed by the group gid 4000000002; chmod g-w"


def test_a_program_whose_files_were_moved_away_loads_its_configuration(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enforcer, "__file__", str(folder / "gone" / "__init__.py"))
    assert load_configuration(folder / "enforcer.yaml").policy.gateway.name
