"""Each test has files of its own and a kernel in memory: no command here sees the host's."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.kernel import nft
from enforcer.kernel.fake import FakeKernel
from tests.cli.cli_worlds import Place, memory_kernel


@pytest.fixture
def place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Place:
    made = Place(tmp_path, capsys)
    monkeypatch.setenv("ENFORCER_RUN_DIR", str(made.run_dir))
    monkeypatch.setenv("ENFORCER_STATE_DIR", str(made.state_dir))
    monkeypatch.setattr("enforcer.uplinks.devices_here", lambda: ("wan0", "lan0", "lo"))
    return made


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """What every command of the test finds where the real kernel would be."""
    made = memory_kernel()
    monkeypatch.setattr(nft, "NftKernel", lambda: made)
    return made
