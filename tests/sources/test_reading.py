"""One file, read once: what is looked at, parsed, hashed and applied is the same bytes."""

from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from enforcer.errors import PolicyError
from enforcer.policy.registry import read_again
from enforcer.sources import load as loading
from enforcer.sources.load import load_configuration
from enforcer.sources.reading import read_whole, refusal
from tests.policy.documents_by_hand import MAIN, window


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "windows.d").mkdir()
    main = MAIN.replace("[software-house, freelancer]", "[software-house]")
    (tmp_path / "enforcer.yaml").write_text(main)
    (tmp_path / "registry.csv").write_text("192.0.2.0/24\n")
    (tmp_path / "windows.d" / "w.yaml").write_text(window())
    return tmp_path


def replace(path: Path, text: str) -> None:
    """As careful programs do: written beside it, and renamed into its place."""
    (path.parent / "new").write_text(text)
    (path.parent / "new").replace(path)


def test_files_replaced_after_they_were_read_change_nothing_of_what_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = load_configuration(folder / "enforcer.yaml")

    def replaced_meanwhile(*arguments: Any) -> object:
        # The policy is read and checked, the registry is read and not parsed yet.
        replace(folder / "enforcer.yaml", "version: 2\n")
        replace(folder / "windows.d" / "w.yaml", "nonsense")
        replace(folder / "registry.csv", "198.51.100.0/24\n")
        return read_again(*arguments)

    monkeypatch.setattr(loading, "read_again", replaced_meanwhile)
    got = load_configuration(folder / "enforcer.yaml")
    assert got.policy == wanted.policy
    assert got.policy.digest == wanted.policy.digest
    assert got.registry.digest == wanted.registry.digest
    assert str(got.registry.row(0).prefix) == "192.0.2.0/24"
    monkeypatch.undo()
    with pytest.raises(PolicyError):
        load_configuration(folder / "enforcer.yaml")


def test_every_file_is_opened_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[str] = Counter()
    real = os.open

    def counted(path: str | Path, *more: int, **options: int) -> int:
        opened[str(path)] += 1
        return real(path, *more, **options)

    monkeypatch.setattr(os, "open", counted)
    load_configuration(folder / "enforcer.yaml")
    names = ("enforcer.yaml", "windows.d/w.yaml", "registry.csv")
    assert opened == {str(folder / name): 1 for name in names}


def test_a_file_that_is_written_to_while_it_is_read_is_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, looked = folder / "registry.csv", os.fstat, 0

    def written_after_the_first_look(descriptor: int) -> os.stat_result:
        nonlocal looked
        told, looked = real(descriptor), looked + 1
        if looked == 1:
            path.write_text("192.0.2.0/24\n198.51.100.0/24\n")
        return told

    monkeypatch.setattr(os, "fstat", written_after_the_first_look)
    assert read_whole(path, 1000) == b"192.0.2.0/24\n198.51.100.0/24\n"
    assert looked == 4


def test_a_file_that_is_written_to_all_the_time_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = folder / "registry.csv", os.fstat

    def written_at_each_look(descriptor: int) -> os.stat_result:
        told = real(descriptor)
        with path.open("a") as file:
            file.write("203.0.113.0/24\n")
        return told

    monkeypatch.setattr(os, "fstat", written_at_each_look)
    with pytest.raises(ValueError, match="was written to while it was read; write it under"):
        read_whole(path, 1000)


def test_an_oversized_file_is_refused_without_reading_it(folder: Path) -> None:
    with (folder / "registry.csv").open("r+b") as file:
        file.truncate(1024**4)
    with pytest.raises(PolicyError) as refused:
        load_configuration(folder / "enforcer.yaml")
    assert str(refused.value) == (
        "registry.csv: is larger than 256 MB, the most that is read; split it, or correct it"
    )


def test_a_file_that_says_it_is_empty_is_read_all_the_same() -> None:
    assert read_whole(Path("/proc/version"), 1024**2).startswith(b"Linux version ")


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null"])
def test_a_device_is_no_file(folder: Path, target: str) -> None:
    (folder / "registry.csv").unlink()
    (folder / "registry.csv").symlink_to(target)
    with pytest.raises(PolicyError) as refused:
        load_configuration(folder / "enforcer.yaml")
    assert str(refused.value) == (
        "registry.csv: is not a regular file; put a file there, or name another"
    )


def test_a_socket_is_no_file(folder: Path) -> None:
    path = folder / "registry.csv"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(path))
        with pytest.raises(OSError, match="No such device") as caught:
            read_whole(path, 1000)
    assert refusal(caught.value, path) == (
        "is not a regular file; put a file there, or name another"
    )
