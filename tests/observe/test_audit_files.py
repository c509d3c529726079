"""The chain on a disk: rotation, half records, files of before, two writers, full disks."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.observe import audit_files
from enforcer.observe.audit import FILE, record, values
from enforcer.observe.audit_chain import Link, open_line
from enforcer.observe.audit_files import KEEP_FOR, AuditLog, files, locked, records
from enforcer.observe.audit_verify import verify_directory
from tests.observe.audit_worlds import AT, event, fill, lines

# A process that is killed while its disk is busy goes only once that has answered.
PATIENCE_S = 120


def whats(directory: Path) -> list[str]:
    return [record.what for record in records(directory)]


def test_the_count_is_the_newest_number_and_is_known_after_a_restart(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    fill(log, 5)
    assert log.newest.seq == 5
    again = AuditLog(tmp_path)
    again.settle(AT)
    assert again.newest == log.newest


def test_a_look_at_an_empty_place_finds_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "state")
    log.settle(AT)
    assert (log.newest, log.take_notes()) == (Link(), [])


# --- rotation -------------------------------------------------------------------------------------


def test_the_chain_runs_on_over_files(tmp_path: Path) -> None:
    fill(AuditLog(tmp_path, rotate_bytes=2000), 40)
    names = [path.name for path in files(tmp_path)]
    assert len(names) > 4
    assert names[0] == "audit-000000001.jsonl"
    assert names[-1] == FILE
    assert [r.seq for r in records(tmp_path)] == list(range(1, 41))
    assert all(path.stat().st_size <= 2000 for path in files(tmp_path))
    last_of_first = open_line((tmp_path / names[0]).read_bytes().splitlines()[-1])
    first_of_second = open_line((tmp_path / names[1]).read_bytes().splitlines()[0])
    assert first_of_second.prev == last_of_first.digest
    assert verify_directory(tmp_path).ok


def test_a_crash_between_rotation_and_the_first_record_of_the_new_file(tmp_path: Path) -> None:
    fill(AuditLog(tmp_path), 3)
    (tmp_path / FILE).rename(tmp_path / "audit-000000001.jsonl")
    fill(AuditLog(tmp_path), 1, 3)
    assert [r.seq for r in records(tmp_path)] == [1, 2, 3, 4]
    assert verify_directory(tmp_path).ok


def test_nothing_is_written_over_by_a_rotation(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, rotate_bytes=1000)
    fill(log, 2)
    stranger = tmp_path / "audit-000000001.jsonl"
    stranger.write_text("mine")
    fill(log, 5, 2)
    assert stranger.read_text() == "mine"
    assert len(lines(tmp_path)) == 7


def test_old_files_are_removed_on_the_record_and_the_chain_stays_provable(tmp_path: Path) -> None:
    fill(AuditLog(tmp_path, rotate_bytes=2000, keep_files=2), 30)
    early = len(files(tmp_path))
    assert early > 4, "young files stay, whatever their number: the count of 30 days needs them"
    later = AuditLog(tmp_path, rotate_bytes=2000, keep_files=2)
    minutes = int(KEEP_FOR / timedelta(minutes=1)) + 100
    fill(later, 10, minutes)
    assert len(files(tmp_path)) < early
    assert "pruned" in whats(tmp_path)
    told = verify_directory(tmp_path)
    assert told.ok
    assert told.begins is not None
    assert told.begins.seq > 1
    assert any("were removed as too old" in note for note in told.notes)


# --- what a crash leaves --------------------------------------------------------------------------


@pytest.mark.parametrize("left", [b'{"at":"2026', b"\0" * 700, b'{"at":"2026"}', b"\xff\n"])
def test_half_a_record_is_set_aside_said_and_the_chain_goes_on(tmp_path: Path, left: bytes) -> None:
    fill(AuditLog(tmp_path), 3)
    with (tmp_path / FILE).open("ab") as file:
        file.write(left)
    log = AuditLog(tmp_path)
    fill(log, 1, 3)
    assert whats(tmp_path) == ["confirmed"] * 3 + ["mended", "confirmed"]
    told = lines(tmp_path)[3]
    assert told["bytes"] == len(left)
    assert told["sha256"] == hashlib.sha256(left).hexdigest()
    assert (tmp_path / told["kept_as"]).read_bytes() == left
    assert [note.what for note in log.take_notes()] == ["mended"]
    assert log.take_notes() == []
    assert verify_directory(tmp_path).ok


def test_half_of_the_very_first_record(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"at":"2026')
    fill(AuditLog(tmp_path), 1)
    assert whats(tmp_path) == ["mended", "confirmed"]
    assert verify_directory(tmp_path).ok


def test_lines_cut_off_at_the_end_are_noticed_by_the_next_start(tmp_path: Path) -> None:
    fill(AuditLog(tmp_path), 4)
    whole = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(b"".join(whole[:2]))
    fill(AuditLog(tmp_path), 1, 9)
    assert whats(tmp_path) == ["confirmed"] * 2 + ["cut", "confirmed"]
    assert lines(tmp_path)[2]["newest_was"] == 4
    assert lines(tmp_path)[2]["digest_was"] == open_line(whole[3].strip()).digest


# Records as fast as it can; the numbers of those acknowledged go to standard output. Another may
# hold the lock just whenever it looks.
WRITER = """
import sys
from pathlib import Path
from enforcer.observe.audit import record
from tests.observe.audit_worlds import event
number = 0
while True:
    number += 1
    try:
        link = record(Path(sys.argv[1]), event(number, by=sys.argv[2], pad="x" * 3000))
    except BlockingIOError:
        continue
    sys.stdout.write(f"{link.seq}\\n")
    sys.stdout.flush()
"""


def writer(directory: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(directory), name]
    # Unbuffered: what a buffer read beyond a line, `communicate` would not give back.
    return subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_writer_killed_at_any_moment_loses_at_most_the_record_it_was_writing(
    tmp_path: Path,
) -> None:
    acknowledged: set[int] = set()
    for attempt in range(8):
        process = writer(tmp_path, str(attempt))
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.011 * attempt)
        process.send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert first, err.decode()
        numbers = [int(n) for n in (first + out).split(b"\n") if n.strip()]
        # The pipe may end in half a number; what stands on a whole line was acknowledged.
        acknowledged |= set(numbers if out.endswith(b"\n") or not out else numbers[:-1])
    record(tmp_path, event(1))
    found = list(records(tmp_path))
    assert [r.seq for r in found] == list(range(1, len(found) + 1))
    seqs = {r.seq for r in found if r.what == "confirmed"}
    assert acknowledged <= seqs
    assert len(seqs - acknowledged) <= 8 + 1, "one that was written but not yet told, each"
    assert verify_directory(tmp_path).ok


def test_a_writer_killed_in_the_middle_of_its_write(tmp_path: Path) -> None:
    """A file size limit stops the kernel's write part way, and its signal kills, as a power cut
    would: half a record is really on the disk.
    """
    fill(AuditLog(tmp_path), 2)
    size = (tmp_path / FILE).stat().st_size
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size + 100},) * 2)"
    # The first write is cut at the limit; the truncation that would mend it never comes.
    script = (
        f"{limit}\nimport os, pathlib\nfrom enforcer.observe.audit import record\n"
        "from tests.observe.audit_worlds import event\n"
        "os.ftruncate = lambda *a: os.kill(os.getpid(), 9)\n"
        f"record(pathlib.Path({str(tmp_path)!r}), event(3))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (tmp_path / FILE).stat().st_size == size + 100
    broken = verify_directory(tmp_path).broken
    assert broken is not None
    assert "a crash left it" in broken.remedy
    fill(AuditLog(tmp_path), 1, 5)
    assert whats(tmp_path) == ["confirmed", "confirmed", "mended", "confirmed"]
    assert verify_directory(tmp_path).ok


# --- what was there before ------------------------------------------------------------------------

OLD = '{"at":"2026-11-30T08:00:00Z","v":1,"what":"closed"}\n{"at":"2026-11-30T09:00:00Z","v":1}\n'


def test_a_file_from_before_the_chain_is_kept_and_named_by_its_digest(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(OLD)
    fill(AuditLog(tmp_path), 1)
    assert whats(tmp_path) == ["adopted", "confirmed"]
    told = lines(tmp_path)[0]
    assert (tmp_path / told["file"]).read_text() == OLD
    assert told["sha256"] == hashlib.sha256(OLD.encode()).hexdigest()
    assert verify_directory(tmp_path).ok
    (tmp_path / told["file"]).write_text(OLD.replace("closed", "opened"))
    broken = verify_directory(tmp_path).broken
    assert broken is not None
    assert (broken.line, broken.seq) == (1, 1)


def test_a_crash_between_setting_the_old_file_aside_and_naming_it(tmp_path: Path) -> None:
    (tmp_path / "audit-adopted-000000001.jsonl").write_text(OLD)
    fill(AuditLog(tmp_path), 1)
    assert whats(tmp_path) == ["adopted", "confirmed"]


# --- several writers, and none ----------------------------------------------------------------


def test_daemon_and_commands_write_one_chain(tmp_path: Path) -> None:
    processes = [writer(tmp_path, name) for name in "ab"]
    log = AuditLog(tmp_path)
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for number in range(20):
        for _ in range(100):
            try:
                log.append(AT, values(event(number, by="c")))
                break
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise
    for process in processes:
        process.kill()
        process.communicate(timeout=PATIENCE_S)
    log.settle(AT)
    assert {r.values.get("by") for r in records(tmp_path)} >= {"a", "b", "c"}
    assert verify_directory(tmp_path).ok


def test_a_command_that_hangs_does_not_hang_the_daemon(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    fill(log, 1)
    with locked(tmp_path), pytest.raises(OSError, match="another process") as refused:
        fill(log, 1, 1)
    assert refused.value.errno == errno.EAGAIN
    fill(log, 1, 1)
    assert log.newest.seq == 2


class Full:
    """A disk that takes `room` bytes more of a write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room, self._write = room, os.write
        monkeypatch.setattr(audit_files.os, "write", self)

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.room < len(data):
            if self.room == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self._write(descriptor, data[: self.room])
        return self._write(descriptor, data)


@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_leaves_no_half_record_and_the_chain_goes_on_with_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    log = AuditLog(tmp_path)
    fill(log, 2)
    before = (tmp_path / FILE).read_bytes()
    disk = Full(monkeypatch, room)
    with pytest.raises(OSError) as full:  # noqa: PT011 - the number is what matters
        fill(log, 1, 2)
    assert full.value.errno == errno.ENOSPC
    assert (tmp_path / FILE).read_bytes() == before
    assert log.newest.seq == 2
    disk.room = 10**6
    fill(log, 1, 2)
    assert whats(tmp_path) == ["confirmed"] * 3
    assert verify_directory(tmp_path).ok


def test_what_was_mended_is_on_the_record_once_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(AuditLog(tmp_path), 2)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b"half")
    log = AuditLog(tmp_path)
    disk = Full(monkeypatch, 0)
    for _ in range(2):
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            fill(log, 1, 2)
    disk.room = 10**6
    fill(log, 1, 2)
    assert whats(tmp_path) == ["confirmed", "confirmed", "mended", "confirmed"]


def test_records_of_some_words_are_found_and_no_text_can_pose_as_one(tmp_path: Path) -> None:
    log = AuditLog(tmp_path, rotate_bytes=600)
    trap = '","what":"armed","x":"'
    for number, what in enumerate(("armed", "repaired", "ended", "repaired")):
        one = replace(event(number, reason=trap), what=what)
        log.append(one.at, values(one))
    assert len(files(tmp_path)) > 1
    assert [r.what for r in records(tmp_path, ("armed", "ended"))] == ["armed", "ended"]
    assert [r.what for r in records(tmp_path)] == ["armed", "repaired", "ended", "repaired"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_roots_commands_write_is_the_daemons_to_go_on_with(tmp_path: Path) -> None:
    """A command run by root without a daemon, and by a shell of umask 077."""
    os.chown(tmp_path, 65534, 65534)
    before = os.umask(0o077)
    try:
        fill(AuditLog(tmp_path, rotate_bytes=2000), 20)
        with (tmp_path / FILE).open("ab") as file:
            file.write(b"half a rec")
        AuditLog(tmp_path).settle(AT)
    finally:
        os.umask(before)
    found = {path.name: path.stat() for path in tmp_path.iterdir()}
    assert {"audit.jsonl", "audit.head", "audit-000000001.jsonl"} < found.keys()
    assert any(name.startswith("audit-torn") for name in found)
    assert {(info.st_uid, info.st_gid, info.st_mode & 0o777) for info in found.values()} == {
        (65534, 65534, 0o640)
    }
