"""`audit verify` finds the first record that is not as it was written, wherever it is."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from enforcer.cli.main import main
from enforcer.observe.audit_files import HEAD, AuditLog, files
from enforcer.observe.audit_verify import verify_directory, verify_files
from tests.observe.audit_worlds import fill

COUNT = 24


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 records over several files."""
    directory = tmp_path_factory.mktemp("original")
    fill(AuditLog(directory, rotate_bytes=2000), COUNT)
    assert len(files(directory)) > 3
    return directory


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "copy"))


def all_lines(directory: Path) -> list[tuple[Path, list[bytes]]]:
    return [(path, path.read_bytes().splitlines(keepends=True)) for path in files(directory)]


def spoilt(original: Path, tmp: Path) -> Path:
    shutil.rmtree(tmp, ignore_errors=True)
    return Path(shutil.copytree(original, tmp))


def places(original: Path) -> st.SearchStrategy[tuple[int, int]]:
    """A file and a line in it, by their numbers."""
    every = [(f, n) for f, (_, ls) in enumerate(all_lines(original)) for n in range(len(ls))]
    return st.sampled_from(every)


def seq_of(original: Path, place: tuple[int, int]) -> int:
    told = json.loads(all_lines(original)[place[0]][1][place[1]])
    return int(told["seq"])


SETTINGS = settings(max_examples=120, suppress_health_check=list(HealthCheck), deadline=None)


def test_a_whole_chain_is_whole(original: Path) -> None:
    told = verify_directory(original)
    assert (told.ok, told.records, told.notes) == (True, COUNT, [])
    assert told.newest is not None
    assert told.newest.seq == COUNT
    assert verify_files(files(original)[::-1]).ok, "in whatever order they are named"


@SETTINGS
@given(data=st.data())
def test_any_change_of_one_byte_anywhere_is_found_at_its_record(
    original: Path, tmp_path: Path, data: st.DataObject
) -> None:
    directory = spoilt(original, tmp_path / "spoilt")
    path = data.draw(st.sampled_from(files(directory)))
    old = path.read_bytes()
    at = data.draw(st.integers(0, len(old) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda b: b != old[at]))
    path.write_bytes(old[:at] + bytes([byte]) + old[at + 1 :])
    broken = verify_directory(directory).broken
    assert broken is not None
    assert (broken.file, broken.line) == (path.name, old[:at].count(b"\n") + 1)


@SETTINGS
@given(data=st.data())
def test_any_line_taken_out_is_found(original: Path, tmp_path: Path, data: st.DataObject) -> None:
    directory = spoilt(original, tmp_path / "spoilt")
    place = data.draw(places(original))
    path, lines = all_lines(directory)[place[0]]
    del lines[place[1]]
    path.write_bytes(b"".join(lines))
    broken = verify_directory(directory).broken
    assert broken is not None
    assert broken.seq == seq_of(original, place)


@SETTINGS
@given(data=st.data())
def test_any_two_lines_exchanged_are_found(
    original: Path, tmp_path: Path, data: st.DataObject
) -> None:
    directory = spoilt(original, tmp_path / "spoilt")
    first, second = sorted(
        data.draw(st.lists(places(original), min_size=2, max_size=2, unique=True))
    )
    every = all_lines(directory)
    one, other = every[first[0]][1][first[1]], every[second[0]][1][second[1]]
    every[first[0]][1][first[1]], every[second[0]][1][second[1]] = other, one
    for path, lines in every:
        path.write_bytes(b"".join(lines))
    broken = verify_directory(directory).broken
    assert broken is not None
    assert broken.seq == seq_of(original, first)


@SETTINGS
@given(data=st.data())
def test_any_line_put_in_is_found(original: Path, tmp_path: Path, data: st.DataObject) -> None:
    directory = spoilt(original, tmp_path / "spoilt")
    place, source = data.draw(places(original)), data.draw(places(original))
    of_before = all_lines(original)[source[0]][1][source[1]]
    line = data.draw(st.sampled_from([of_before, b"\n", b"{}\n", b"x\n"]))
    path, lines = all_lines(directory)[place[0]]
    lines.insert(place[1] + data.draw(st.integers(0, 1)), line)
    path.write_bytes(b"".join(lines))
    assert verify_directory(directory).broken is not None


@pytest.mark.parametrize("index", [0, 1, 2, -1])
def test_a_file_taken_out_is_found(copy: Path, index: int) -> None:
    path = files(copy)[index]
    path.unlink()
    broken = verify_directory(copy).broken
    assert broken is not None


@pytest.mark.parametrize("index", [0, 1, -1])
def test_a_file_emptied_is_found(copy: Path, index: int) -> None:
    files(copy)[index].write_bytes(b"")
    assert verify_directory(copy).broken is not None


def test_the_end_cut_off_is_found_by_what_audit_head_remembers(copy: Path) -> None:
    path, lines = all_lines(copy)[-1]
    path.write_bytes(b"".join(lines[:-1]))
    broken = verify_directory(copy).broken
    assert broken is not None
    assert broken.seq == COUNT
    assert "the newest by audit.head" in broken.expected
    # Whoever takes that away too is caught by status, metrics or journal only.
    (copy / HEAD).unlink()
    assert verify_directory(copy).ok


def test_the_end_written_anew_is_found_by_what_audit_head_remembers(copy: Path) -> None:
    path, lines = all_lines(copy)[-1]
    path.write_bytes(b"".join(lines[:-1]))
    head = (copy / HEAD).read_bytes()
    (copy / HEAD).unlink()
    fill(AuditLog(copy), 1, 99)
    (copy / HEAD).write_bytes(head)
    broken = verify_directory(copy).broken
    assert broken is not None
    assert broken.seq == COUNT


def test_a_single_file_of_the_chain_is_checked_as_far_as_it_goes(copy: Path) -> None:
    told = verify_files([files(copy)[1]])
    assert told.ok
    assert any("are not in these files" in note for note in told.notes)


def test_a_line_without_end_is_bounded(tmp_path: Path) -> None:
    with (tmp_path / "audit.jsonl").open("wb") as file:
        file.truncate(64 << 20)
    assert verify_directory(tmp_path).broken is not None


# --- as a person asks -----------------------------------------------------------------------------


def say(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["audit", "verify", *argv])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_says_whole(
    original: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENFORCER_STATE_DIR", str(original))
    code, out, err = say(capsys)
    assert (code, err) == (0, "")
    assert out.startswith("chain   whole, 24 records in ")
    assert "newest  record 24, 2026-12-01 08:23:00Z" in out
    code, out, _ = say(capsys, "--format", "json")
    told = json.loads(out)
    assert (code, told["ok"], told["records"], told["broken"]) == (0, True, 24, None)


def test_the_command_names_the_first_broken_record(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, lines = all_lines(copy)[1]
    lines[1] = lines[1].replace(b"noc", b"boc")
    path.write_bytes(b"".join(lines))
    seq = json.loads(lines[1])["seq"]
    code, out, err = say(capsys, str(copy))
    assert code == 1
    assert out.startswith("chain   broken")
    assert err.startswith(f"enforcer: {path.name}:2: record {seq}: expected bytes with the digest ")
    code, out, _ = say(capsys, *map(str, files(copy)), "--format", "json")
    broken = json.loads(out)["broken"]
    assert code == 1
    assert (broken["file"], broken["line"], broken["seq"]) == (path.name, 2, seq)
    assert set(broken) == {"file", "line", "seq", "expected", "found", "remedy"}


def test_the_command_says_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = say(capsys, str(tmp_path / "no.jsonl"))
    assert code == 1
    assert f"{tmp_path / 'no.jsonl'}: cannot be read: {os.strerror(2)}; name the files" in err
    assert say(capsys, str(tmp_path))[0] == 0, "no record yet is no broken record"
