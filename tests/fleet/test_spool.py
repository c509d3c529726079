"""What a gateway has on its disk: one revision in force, switched whole, and never an older one."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.fleet.spool import Held, Spool
from enforcer.fleet.store import RefusedError, Signed

SIGNED = Signed("{}", "")


def put(spool: Spool, number: int, text: str) -> None:
    files = {"enforcer.yaml": text.encode(), "windows.d/w.yaml": b"[]\n"}
    spool.write(number, files, "enforcer.yaml", f"composed {text}", SIGNED)


def test_a_revision_is_read_once_it_was_switched_to(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.current() is None
    put(spool, 1, "one")
    assert spool.current() is None
    spool.switch(1)
    put(spool, 2, "two")
    assert (spool.main / "enforcer.yaml").read_text() == "composed one"
    spool.switch(2)
    assert (spool.main / "enforcer.yaml").read_text() == "composed two"
    assert (spool.main / "windows.d" / "w.yaml").read_bytes() == b"[]\n"
    assert spool.composed("enforcer.yaml") == "composed two"
    assert spool.composed("other.yaml") is None
    assert spool.signed(2) == SIGNED
    spool.compose("enforcer.yaml", "composed anew")
    assert spool.composed("enforcer.yaml") == "composed anew"
    assert spool.files(2)["enforcer.yaml"] == b"two", "what was published stays"
    with pytest.raises(RefusedError, match="it is fetched anew once etcd answers"):
        spool.signed(7)
    spool.switch_back(1)
    assert spool.current() == 1
    spool.switch_back(None)
    assert spool.current() is None


def test_what_the_daemon_answered_for_is_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for held in (Held(2, "a"), Held(2, "a", "b")):
        spool.hold(held)
        assert spool.held() == held
    # As an older one wrote it: nobody knows.
    (tmp_path / "held.json").write_text('{"number": 2, "digest": "a"}')
    assert spool.held() == Held(2, "a", "")
    (tmp_path / "held.json").write_text("[]")
    with pytest.raises(RefusedError, match="could pass for a new one"):
        spool.held()


def test_the_files_are_as_published_not_as_composed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put(spool, 1, "one")
    assert spool.files(1) == {"enforcer.yaml": b"one", "windows.d/w.yaml": b"[]\n"}
    assert spool.files(2) == {}


def test_old_ones_go_but_never_the_one_in_force(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(1, 7):
        put(spool, number, str(number))
    spool.switch(1)
    spool.tidy()
    assert [n for n in range(1, 7) if spool.files(n)] == [1, 4, 5, 6]


def test_others_cannot_write_what_the_daemon_reads(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put(spool, 1, "one")
    for path in tmp_path.rglob("*"):
        assert path.stat().st_mode & 0o022 == 0, path


def test_what_was_held_is_remembered_or_said_to_be_lost(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.held() is None
    spool.hold(Held(7, "abc"))
    assert spool.held() == Held(7, "abc")
    (tmp_path / "held.json").write_text("{")
    with pytest.raises(RefusedError, match=r"held\.json cannot be read"):
        spool.held()
