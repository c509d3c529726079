"""A file is replaced whole, and synced before and after its renaming."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enforcer.disk import made, write_synced


def test_the_order_is_write_sync_rename_sync_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        done.append(f"sync {name} {os.fstat(descriptor).st_size if name != tmp_path.name else ''}")
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        done.append(f"rename {self.name} {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_synced(tmp_path / "file", [b"one", memoryview(b" two")])
    assert done == ["sync .file.new 7", "rename .file.new file", f"sync {tmp_path.name} "]
    assert (tmp_path / "file").read_bytes() == b"one two"


def test_a_link_in_the_place_of_the_scratch_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".file.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        write_synced(tmp_path / "file", [b"x"])
    assert not (tmp_path / "elsewhere").exists()


NOBODY = 65534


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_what_is_made_in_the_daemons_directory_is_of_one_mode_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    (tmp_path / ".file.new").write_text("left by a crash")
    before = os.umask(umask)
    try:
        write_synced(tmp_path / "file", [b"x"], ours=True)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_root_makes_in_the_daemons_directory_is_the_daemons(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    os.close(made(tmp_path / "log"))
    write_synced(tmp_path / "file", [b"x"], ours=True)
    for name in ("log", "file"):
        info = (tmp_path / name).stat()
        assert (info.st_uid, info.st_gid, info.st_mode & 0o777) == (NOBODY, NOBODY, 0o640), name


def test_a_file_that_cannot_be_given_away_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(descriptor: int, mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "fchmod", refused)
    with pytest.raises(PermissionError):
        made(tmp_path / "log")
    assert os.listdir(tmp_path) == []


def test_a_link_in_the_place_of_a_file_to_be_made_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        made(tmp_path / "log")
    assert not (tmp_path / "elsewhere").exists()
