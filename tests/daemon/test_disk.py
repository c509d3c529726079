"""A file is replaced whole, and synced before and after its renaming."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enforcer.disk import write_synced


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
