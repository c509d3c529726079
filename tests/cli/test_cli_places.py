"""The directories of the contract, unless the environment says others."""

from __future__ import annotations

import grp
import os
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.cli import places
from enforcer.errors import Problem
from enforcer.kernel.fake import FakeKernel
from enforcer.schedule.orders import Order, Orders
from enforcer.standing import write_orders
from tests.cli.cli_worlds import Place, window_text


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


@pytest.mark.parametrize("verb", ["check", "windows"])
def test_a_clash_that_may_be_none_is_not_told_to_who_may_not_read_what_was_closed(
    place: Place, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    hour = timedelta(hours=1)
    ddos = window_text("ddos", place.now - hour, place.now + hour)
    other = window_text("other", place.now - hour, place.now + hour).replace("0x51", "0x52")
    place.write(windows=ddos + other.replace("    guard: {estate: concentrators}\n", ""))
    closed = Order("ddos", place.now - hour, place.now + hour, "closed", given_at=place.now)
    write_orders(place.state_dir, Orders().given([closed]))
    assert place.run(verb).code == 0, "it was closed, so nothing clashes"
    orders = place.state_dir / "orders.json"
    may = unreadable(place, monkeypatch)
    said = place.run(verb)
    assert said.code == 78
    told = said.out + said.err
    assert "is armed too" not in told
    assert (
        f"{orders}: may not be read by this user, so whether windows clash, or one of them was "
        f"closed, is not known; {may}\n"
    ) in told
    assert (
        f"{orders}: Permission denied; windows closed or confirmed are told as if they were not; "
        f"{may}\n"
    ) in said.err
    if verb == "check":
        (error,) = place.run("check", "--format", "json").json["errors"]
        assert (error["file"], error["line"]) == (str(orders), 0)
    # What has nothing to do with closings is told as ever, and where nothing clashes nothing is.
    place.write(windows=ddos.replace("0x51", "fast"))
    assert "windows.d/w.yaml:10:" in place.run("check").out
    assert "orders.json" not in place.run("check").out
    place.write(windows=ddos)
    assert place.run(verb).code == 0


def test_declare_says_who_may_read_what_was_closed(
    place: Place, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    may = unreadable(place, monkeypatch)
    why = ("--reason", "r", "--reference", "t", "--id", "more")
    said = place.run("declare", "--for", "30m", "--measure", "mark=0x52", *why)
    assert (said.code, said.out) == (78, "")
    assert said.err.splitlines()[-1].endswith(f" is not known; {may}; nothing is declared")
    assert "is armed too" not in said.err
    # A clash of the files themselves is none of this declaration's, and nothing is to be moved.
    hour = timedelta(hours=1)
    other = window_text("other", place.now - hour, place.now + hour).replace("0x51", "0x53")
    (place.folder / "windows.d" / "other.yaml").write_text(other)
    said = place.run("declare", "--for", "30m", "--measure", "mark=0x52", *why)
    assert said.code == 78
    assert said.err.splitlines()[-1] == (
        "enforcer: nothing is declared, and what is in force stays"
    )
    assert not (place.folder / "windows.d" / "more.yaml").exists()


def unreadable(place: Place, monkeypatch: pytest.MonkeyPatch) -> str:
    """Who may read the orders, which nobody can now: they are of a group."""

    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may give a file to any group, others to their own.
    gid = os.getgid() or next(g.gr_gid for g in grp.getgrall() if g.gr_gid != 0)
    place.state_dir.mkdir(exist_ok=True)
    for path, mode in ((place.state_dir, 0o750), (place.state_dir / "orders.json", 0o640)):
        path.touch() if path.suffix else None
        os.chown(path, -1, gid)
        path.chmod(mode)
    monkeypatch.setattr("enforcer.standing.read_orders", denied)
    return f"run as root or as a member of group {grp.getgrgid(gid).gr_name}"


def test_who_may_read_the_orders_is_told_by_what_keeps_others_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    may, path = unreadable(place, monkeypatch), place.state_dir / "orders.json"
    assert places.orders_unsaid().unread == Problem(
        str(path),
        0,
        0,
        "",
        "may not be read by this user, so whether windows clash, or one of them was closed, is "
        f"not known; {may}",
    )
    path.chmod(0o600)
    alone = places.orders_unsaid().unread
    assert alone is not None
    assert alone.message.endswith("; run as root")
    # Behind a closed folder the file itself is not seen.
    path.unlink()
    closed = places.orders_unsaid().unread
    assert closed is not None
    assert closed.message.endswith(f"; {may}")
