"""The directories of the contract, unless the environment says others."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.cli import places
from enforcer.schedule.orders import Orders


def test_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ENFORCER_STATE_DIR", "ENFORCER_RUN_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert places.state_dir() == Path("/var/lib/enforcer")
    assert places.run_dir() == Path("/run/enforcer")
    monkeypatch.setenv("ENFORCER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ENFORCER_RUN_DIR", str(tmp_path / "run"))
    assert (places.state_dir(), places.run_dir()) == (tmp_path / "state", tmp_path / "run")


def test_spoilt_orders_are_none_and_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENFORCER_STATE_DIR", str(tmp_path))
    assert places.orders() == Orders()
    assert capsys.readouterr().err == ""
    (tmp_path / "orders.json").write_text("{")
    assert places.orders() == Orders(readable=False)
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path}/orders.json: spoilt (")
    assert said.endswith("windows closed or confirmed are told as if they were not\n")
