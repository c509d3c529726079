"""The real daemon where nothing can be written: what ends a window is done all the same, what opens
one is not done.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.daemon_process import Gateway, with_full_disk, with_read_only_disk

pytestmark = pytest.mark.kernel

DECLARE = (
    *("declare", "--for", "1h", "--measure", "mark=0x51", "--id", "now", "--reason", "attack"),
    *("--reference", "NOC-2", "--declared-by", "noc@isp.example", "--confirm-within", "5m"),
)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(with_full_disk, "No space left on device", id="full"),
        pytest.param(with_read_only_disk, "Read-only file system", id="read-only"),
    ],
)
def test_what_opens_must_be_written_down_and_what_ends_is_done(
    gateway: Gateway, spoil: Callable[[Path], tuple[str, ...]], why: str
) -> None:
    standby = gateway.window(-60, 7200, "  provisional: true\n")
    standby = standby.replace("id: ddos", "id: standby")
    standby = standby.replace("    reserve: {link: wan, share: 40%}\n", "")
    gateway.write_windows(gateway.window() + standby)
    gateway.start(*spoil(gateway.state_dir))
    assert gateway.armed()
    before = gateway.handles()
    refusal = (
        f"enforcer: {gateway.state_dir}: {why}; what opens a window must be on the record: make "
        "room or rights\n"
    )

    confirmed = gateway.run("confirm", "standby")
    assert (confirmed.returncode, confirmed.stdout, confirmed.stderr) == (1, "", refusal)
    declared = gateway.run(*DECLARE)
    windows = gateway.folder / "windows.d"
    taken_back = f"nothing is declared, and {windows / 'now.yaml'} is removed again\n"
    assert (declared.returncode, declared.stderr) == (1, refusal + taken_back)
    assert os.listdir(windows) == ["w.yaml"]
    assert gateway.handles() == before, "nothing was opened, nothing was touched"

    closed = gateway.run("close", "ddos")
    assert closed.returncode == 0
    assert closed.stderr == (
        f"{gateway.state_dir}: {why}; it is done, but a restart would open it again\n"
    )
    assert not gateway.armed()


def test_a_window_that_finds_no_room_in_windows_d_leaves_nothing_there(gateway: Gateway) -> None:
    windows = gateway.folder / "windows.d"
    *alone, script, name = with_full_disk(windows)
    # The disk is gone with the command: look before.
    script = script.replace('exec "$@"', f'"$@"; code=$?; ls -A {windows}; exit $code')
    done = gateway.run(*DECLARE, before=(*alone, script, name))
    refusal = f"enforcer: {windows / 'now.yaml'}: No space left on device; nothing is declared\n"
    assert (done.returncode, done.stderr) == (1, refusal)
    assert done.stdout == "full\n"
