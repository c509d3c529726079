"""The last good configuration on the disk: whole or not at all, and never one that is spoilt."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enforcer.sources.lastgood import (
    FILE,
    SPOILT,
    SpoiltError,
    read_last_good,
    set_aside,
    write_last_good,
)
from enforcer.sources.load import Configuration, load_configuration
from tests.policy.documents_by_hand import MAIN, window

AT = datetime(2026, 11, 25, 3, tzinfo=UTC)
CONFIG = "/etc/enforcer/enforcer.yaml"
EVENT = (
    "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:VPN\nDTSTART:20261201T080000Z\nDURATION:PT1H\n"
    "END:VEVENT\nEND:VCALENDAR\n"
)


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    folder = tmp_path / "etc"
    (folder / "windows.d").mkdir(parents=True)
    main = MAIN.replace("[software-house, freelancer]", "[software-house]")
    (folder / "enforcer.yaml").write_text(main)
    (folder / "registry.csv").write_text("192.0.2.0/24\n2001:db8::/48\n")
    (folder / "windows.d" / "w.yaml").write_text(window(times="calendar: outages.ics"))
    (folder / "windows.d" / "outages.ics").write_text(EVENT)
    return load_configuration(folder / "enforcer.yaml")


@pytest.fixture
def state(tmp_path: Path, configuration: Configuration) -> Path:
    directory = tmp_path / "state"
    write_last_good(directory, CONFIG, AT, configuration)
    return directory


def test_what_was_kept_is_read_again_whole(state: Path, configuration: Configuration) -> None:
    kept = read_last_good(state)
    assert kept is not None
    assert (kept.config, kept.accepted_at) == (CONFIG, AT)
    assert kept.is_of(configuration)
    assert kept.documents == configuration.documents
    # With nothing on the disk but the snapshot; the calendar is in it.
    assert kept.documents.policy() == configuration.policy
    assert [p.name for p in state.iterdir()] == [FILE]
    assert (state / FILE).stat().st_mode & 0o077 == 0


def test_without_a_snapshot_there_is_none(tmp_path: Path) -> None:
    assert read_last_good(tmp_path) is None


def test_another_registry_is_another_configuration(
    state: Path, configuration: Configuration, tmp_path: Path
) -> None:
    (tmp_path / "etc" / "registry.csv").write_text("192.0.2.0/24\n2001:db8::/49\n")
    kept = read_last_good(state)
    assert kept is not None
    assert not kept.is_of(load_configuration(tmp_path / "etc" / "enforcer.yaml"))


def test_any_byte_that_changed_is_noticed(state: Path) -> None:
    path, chance = state / FILE, random.Random(4)
    whole = path.read_bytes()
    places = {*range(90), *(chance.randrange(len(whole)) for _ in range(200)), len(whole) - 1}
    for place in places:
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << chance.randrange(8)
        path.write_bytes(spoilt)
        with pytest.raises(SpoiltError):
            read_last_good(state)
    path.write_bytes(whole)
    assert read_last_good(state) is not None


@pytest.mark.parametrize("keep", [0, 1, 20, 86, 200, -1])
def test_a_snapshot_cut_short_is_noticed(state: Path, keep: int) -> None:
    path = state / FILE
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SpoiltError):
        read_last_good(state)


def test_a_snapshot_of_another_version_is_not_guessed_at(state: Path) -> None:
    path = state / FILE
    path.write_bytes(path.read_bytes().replace(b"last-good 1 ", b"last-good 2 ", 1))
    with pytest.raises(SpoiltError, match="written by another version of enforcer"):
        read_last_good(state)


def test_a_snapshot_that_others_could_write_is_nobodys_last_good(state: Path) -> None:
    (state / FILE).chmod(0o606)
    with pytest.raises(SpoiltError, match="may be changed by every user of this machine"):
        read_last_good(state)


def test_a_pipe_in_the_place_of_a_snapshot_holds_nobody_up(state: Path) -> None:
    (state / FILE).unlink()
    os.mkfifo(state / FILE)
    with pytest.raises(SpoiltError, match="not a regular file"):
        read_last_good(state)


def test_a_spoilt_snapshot_is_set_aside_for_people(state: Path) -> None:
    (state / FILE).write_bytes(b"junk")
    assert set_aside(state) == state / SPOILT
    assert (state / SPOILT).read_bytes() == b"junk"
    assert read_last_good(state) is None


def test_a_write_that_fails_leaves_the_old_one_and_no_scratch(
    state: Path, configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (state / FILE).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_last_good(state, CONFIG, datetime(2026, 12, 1, tzinfo=UTC), configuration)
    assert (state / FILE).read_bytes() == before
    assert [p.name for p in state.iterdir()] == [FILE]


def test_a_writer_killed_at_any_moment_leaves_the_old_one_or_the_new_one(
    state: Path, tmp_path: Path
) -> None:
    program = textwrap.dedent("""
        import sys
        from datetime import UTC, datetime
        from pathlib import Path
        from enforcer.sources.lastgood import write_last_good
        from enforcer.sources.load import load_configuration
        configuration = load_configuration(Path(sys.argv[1]))
        print("begun", flush=True)
        for day in range(1, 10_000_000):
            at = datetime.fromordinal(700_000 + day % 1000).replace(tzinfo=UTC)
            write_last_good(Path(sys.argv[2]), "written", at, configuration)
            print("written", flush=True)
    """)
    rows = "".join(f"198.51.{n >> 8}.{n & 255}\n" for n in range(20_000))
    (tmp_path / "etc" / "registry.csv").write_text(rows)
    argv = [sys.executable, "-c", program, str(tmp_path / "etc" / "enforcer.yaml"), str(state)]
    chance = random.Random(5)
    for _ in range(4):
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randrange(2, 12)):
                assert writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        kept = read_last_good(state)
        assert kept is not None
        assert (kept.config, len(kept.registry)) == ("written", 20_000)
