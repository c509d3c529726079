"""The record of what a lab started: it ends that, and never another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from enforcer.lab import footprint
from enforcer.lab.footprint import Footprint, Process, started_at
from enforcer.lab.machine import LabError

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def sleeper():
    child = subprocess.Popen(SLEEP)
    yield child
    child.kill()
    child.wait()


def known(child: subprocess.Popen[bytes]) -> Process:
    return Process(child.pid, started_at(child.pid) or 0, SLEEP)


def footprint_of(directory, *processes: Process, owner: Process | None = None) -> Footprint:
    directory.mkdir(parents=True)
    # No such process: the lab that left this is gone.
    made = Footprint(directory, owner or Process(1, 0, ("gone",)), processes=list(processes))
    made.save()
    return made


def test_a_process_is_known_by_id_start_and_command_line(sleeper):
    process = known(sleeper)
    while not process.alive():  # until the child has become what it runs
        assert sleeper.poll() is None
    assert not replace(process, started=process.started - 1).alive()
    assert not replace(process, command=("sleep", "60")).alive()
    sleeper.kill()
    sleeper.wait()
    assert not process.alive()


def test_a_process_that_ended_and_was_not_reaped_is_not_alive(sleeper):
    process = known(sleeper)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert started_at(sleeper.pid) is None
    assert not process.alive()


def test_removing_ends_the_recorded_process_and_deletes_the_directory(tmp_path, sleeper):
    footprint_of(tmp_path / "labs" / "1", known(sleeper)).remove()
    assert sleeper.wait(timeout=5) == -15
    assert list(tmp_path.iterdir()) == []


def test_clean_leaves_a_process_whose_id_was_reused(tmp_path, sleeper):
    stranger = replace(known(sleeper), started=1)
    footprint_of(tmp_path / "labs" / "1", stranger)
    assert footprint.clean(tmp_path / "labs") == ["removed lab 1: 1 processes, 0 namespaces"]
    assert sleeper.poll() is None


def test_clean_leaves_a_lab_that_still_runs(tmp_path, sleeper):
    process = known(sleeper)
    while not process.alive():
        assert sleeper.poll() is None
    directory = tmp_path / "labs" / "1"
    footprint_of(directory, owner=process)
    assert footprint.clean(tmp_path / "labs") == [
        f"{directory}: its lab still runs as process {sleeper.pid}; left"
    ]
    assert directory.is_dir()


@pytest.mark.parametrize("record", ["{", "{}", '{"owner": {"pid": "1"}}', "[]"])
def test_clean_leaves_a_directory_that_it_cannot_read(tmp_path, record):
    directory = tmp_path / "labs" / "1"
    directory.mkdir(parents=True)
    (directory / "state.json").write_text(record)
    assert footprint.clean(tmp_path / "labs") == [
        f"{directory}: no readable state.json; look at it, then delete it yourself"
    ]
    assert directory.is_dir()


def test_clean_finds_nothing_where_no_lab_was(tmp_path):
    assert footprint.clean(tmp_path / "labs") == []


def test_a_record_reads_back_as_it_was_written(tmp_path, sleeper):
    made = footprint_of(tmp_path / "1", known(sleeper))
    made.namespaces.append("lab-1-gateway")
    made.device("c")
    assert Footprint.load(tmp_path / "1") == made
    assert json.loads((tmp_path / "1" / "state.json").read_text())["kept"] is False


def test_a_second_lab_of_one_process_is_refused_with_the_remedy(tmp_path):
    first = Footprint.begin(tmp_path / "labs")
    with pytest.raises(LabError, match=r"left by an earlier lab; run: enforcer lab --clean"):
        Footprint.begin(tmp_path / "labs")
    first.remove()
    assert list(tmp_path.iterdir()) == []
