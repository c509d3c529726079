"""`declare`, `confirm`, `close`: what they write and refuse, with a daemon and without one."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from enforcer.cli.main import main
from enforcer.clock import SystemClock
from enforcer.control import Answer
from enforcer.daemon import Daemon
from enforcer.desk import Desk, stepped
from enforcer.errors import KernelError
from enforcer.kernel import nft
from enforcer.kernel.fake import FakeKernel
from enforcer.kernel.fake_table import FakeTable
from enforcer.listening import ControlSocket
from enforcer.notary import Notary
from enforcer.observe.totals import Totals
from enforcer.observe.views import status_view
from enforcer.ruleset.transaction import AddSet, Arm
from enforcer.schedule.orders import Orders
from enforcer.sources.load import load_configuration

MAIN = """
version: 1
gateway: {name: edge-1, uplinks: [wan0], lease: 10m, require_synchronised_clock: false}
categories: [freelancer]
registry: {sources: [{file: registry.csv}]}
estates:
  concentrators: {prefixes: [203.0.113.0/28], services: [udp/51820, tcp/443]}
links:
  wan: {device: wan0, rate: 1gbit}
"""
WHY = ("--reason", "attack", "--reference", "NOC-1", "--declared-by", "noc@isp.example")
GUARD = ("--measure", "guard=concentrators")
MARK = ("--measure", "mark=0x51")


class Place:
    """A configuration, a state directory and a run directory, and the command in them."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.etc, self.state = directory / "etc", directory / "state"
        self.run_dir = directory / "run"
        (self.etc / "windows.d").mkdir(parents=True)
        (self.etc / "enforcer.yaml").write_text(MAIN)
        (self.etc / "registry.csv").write_text(
            "id,prefix,category,valid_from,valid_until,services\nR-1,198.51.100.1/32,freelancer,,,\n"
        )
        self._capsys = capsys

    @property
    def config(self) -> Path:
        return self.etc / "enforcer.yaml"

    def files(self) -> dict[str, str]:
        return {p.name: p.read_text() for p in (self.etc / "windows.d").iterdir()}

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and error output of `enforcer ARGUMENTS`."""
        try:
            code = main([*arguments, "--config", str(self.config)])
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--format", "json")[1])

    def record(self) -> list[dict[str, Any]]:
        path = self.state / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def enforcer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Place:
    place = Place(tmp_path, capsys)
    monkeypatch.setenv("ENFORCER_STATE_DIR", str(place.state))
    monkeypatch.setenv("ENFORCER_RUN_DIR", str(place.run_dir))
    return place


class Running:
    """The daemon on a fake kernel, answering at the control socket from a thread of its own."""

    def __init__(self, place: Place) -> None:
        clock = SystemClock()
        self.kernel = FakeKernel(clock.now_ns, ["lo", "wan0"])
        self.daemon = Daemon(
            lambda orders: load_configuration(place.config, orders=orders),
            self.kernel,
            clock,
            Totals(self.kernel.counters),
        )
        self.daemon.step()
        self._desk = Desk(self.daemon, clock, Notary(place.state))
        self._control = ControlSocket(place.run_dir)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if select.select([self._control], [], [], 0.02)[0]:
                self._control.serve_one(self._handle)

    def _handle(self, request: dict[str, Any], who: str) -> Answer:
        if request["verb"] == "status":
            return status_view(self.daemon.snapshot(), "1")
        if request["verb"] in ("declared", "reload"):
            # As the service does: what was loaded is stepped for before anything is decided.
            refusal, error = self.daemon.reload(), self.daemon.step().error
            if refusal is not None or request["verb"] == "reload":
                return {"error": str(refusal or error) if refusal or error else None}
        answer = self._desk.serve(request, who)
        assert answer is not None
        if answer["error"] is not None:
            return answer
        return stepped(answer, self.daemon.step(), self.daemon.snapshot())

    def armed(self) -> set[str]:
        sets = self.kernel.read().sets
        return {
            n.removeprefix("armed.") for n, s in sets.items() if s.kind == "armed" and s.elements
        }

    def stop(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            self._control.close()


@pytest.fixture
def running(enforcer: Place) -> Iterator[Running]:
    daemon = Running(enforcer)
    try:
        yield daemon
    finally:
        daemon.stop()


def test_a_window_is_declared_armed_closed_and_on_the_record(
    enforcer: Place, running: Running
) -> None:
    code, out, err = enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos")
    assert (code, err) == (0, "")
    assert "declared ddos: armed" in out
    assert "armed now: ddos" in out
    assert running.armed() == {"ddos"}
    assert list(enforcer.files()) == ["ddos.yaml"]
    code, out, _ = enforcer("close", "ddos")
    assert code == 0
    assert "closed ddos: closed" in out
    assert running.armed() == set()
    assert [(e["what"], e["window"], e["reference"]) for e in enforcer.record()] == [
        ("declared", "ddos", "NOC-1"),
        ("closed", "ddos", "NOC-1"),
    ]
    assert all(", pid " in event["who"] for event in enforcer.record())
    assert [w["state"] for w in enforcer.json("windows")] == ["closed"]


def test_a_staged_guard_is_declared_as_one(enforcer: Place, running: Running) -> None:
    code, out, err = enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos", "--stage")
    assert (code, err) == (0, "")
    assert "guard (staged): counts what guard would hold back, and holds back nothing" in out
    assert enforcer.json("windows")[0]["stage"] is True
    assert "staged" not in enforcer("close", "ddos")[1]


def test_a_trial_is_armed_to_its_deadline_and_confirmed_to_its_end(
    enforcer: Place, running: Running
) -> None:
    declared = enforcer.json(
        "declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos", "--confirm-within", "5m"
    )
    assert declared["error"] is None
    assert declared["armed"] == ["ddos"]
    view = declared["occurrence"]
    assert view["ends_at"] == view["confirm_by"]
    (element,) = {
        timeout
        for s in running.kernel.read().sets.values()
        if s.kind == "armed"
        for _, timeout, _ in s.elements  # type: ignore[misc, has-type]
    }
    assert element <= 5 * 60 * 10**9
    confirmed = enforcer.json("confirm", "ddos")
    assert confirmed["error"] is None
    begins, ends = (datetime.fromisoformat(confirmed["occurrence"][k]) for k in _SPAN)
    assert ends - begins == timedelta(hours=2)
    assert running.armed() == {"ddos"}


_SPAN = ("starts_at", "ends_at")


def test_what_is_written_is_what_was_said(enforcer: Place) -> None:
    start = datetime(2031, 12, 1, 8, tzinfo=UTC)
    code, out, _ = enforcer(
        "declare", "--for", "90m", "--start", start.isoformat(), "--stage", "--lease", "until-end",
        *GUARD, "--measure", "mark=0x51,cs5", "--measure", "reserve=wan:40%",
        "--reason", 'a "quoted" reason: #1', *WHY[2:], "--dry-run",
    )  # fmt: skip
    assert code == 0
    assert out.split("\n", 2)[2] == (
        '- id: "declared-2031-12-01-0800"\n'
        '  reason: "a \\"quoted\\" reason: #1"\n'
        '  declared_by: "noc@isp.example"\n'
        '  reference: "NOC-1"\n'
        '  start: "2031-12-01T08:00:00Z"\n'
        '  duration: "90m"\n'
        "  lease: until-end\n"
        "  stage: true\n"
        "  measures:\n"
        '    guard: {estate: "concentrators"}\n'
        '    mark: {fwmark: 0x51, dscp: "cs5"}\n'
        '    reserve: {link: "wan", share: "40%"}\n'
    )
    assert enforcer.files() == {}
    assert enforcer.record() == []


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--for", "96h", *GUARD), 78, "96 h is over the 72 h ceiling of a guard window"),
        (("--for", "2h", "--measure", "guard=nowhere"), 78, 'no estate is named "nowhere"'),
        (("--for", "2h", "--measure", "reserve=wan:90%"), 78, "over the 80% ceiling"),
        (("--for", "two", *GUARD), 78, "is not a duration"),
        (("--for", "2h", *GUARD, "--id", "../x"), 78, "is not an id"),
        (
            ("--for", "2h", *GUARD, "--start", "2031-12-01T08:00Z", "--id", "a.b"),
            78,
            "is not an id",
        ),
        (("--for", "2h", *GUARD, "--start", "2031-12-01T08:00"), 64, "has no zone; add Z for UTC"),
        (("--for", "2h", "--measure", "drop=all"), 64, "there are guard, mark and reserve"),
        (("--for", "2h", "--measure", "guard"), 64, "write it like guard=ESTATE"),
        (("--for", "2h", "--measure", "mark=1,2"), 64, "gives fwmark twice"),
        (("--for", "2h", *GUARD, *GUARD), 64, "given twice"),
        (("--for", "2h", "--measure", "reserve=wan"), 64, "reserve=wan:40%"),
        (("--for", "2h", *GUARD, "--confirm-within", "soon"), 64, "is not a duration"),
        (("--for", "26h", *GUARD, "--confirm-within", "25h"), 1, "at most 24h"),
        (
            ("--for", "1h", *GUARD, "--confirm-within", "2h"),
            64,
            "--confirm-within: the window is over before the time to confirm it is; give less",
        ),
        (
            ("--for", "24h", *GUARD, "--confirm-within", "20h", "--start", "HALF_A_DAY_AGO"),
            64,
            "over before",
        ),
        (("--for", "2h", *GUARD, "--id", "x" * 300), 78, "is not an id"),
        (("--for", "0h", *GUARD), 78, "enforcer declare: --for: "),
        (("--for", "2h", "--measure", "guard=mail"), 78, "enforcer declare: --measure: "),
        (("--for", "2h", *GUARD, "--id", "a.b"), 78, "enforcer declare: --id: "),
        (("--for", "2h", "--measure", "mark"), 64, "write it like mark=0x51,cs5"),
        (("--for", "2h", "--measure", "reserve"), 64, "write it like reserve=LINK:40%"),
        (("--for", "2h", *GUARD, "--start", "HALF_A_DAY_AGO"), 1, "is over before it is declared"),
    ],
)
def test_a_refused_declaration_leaves_no_file(
    enforcer: Place, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ago = f"{SystemClock().now() - timedelta(hours=12):%Y-%m-%dT%H:%M:%SZ}"
    given = [ago if word == "HALF_A_DAY_AGO" else word for word in arguments]
    got, out, err = enforcer("declare", *given, *WHY)
    assert (got, out) == (code, "")
    assert said in err
    assert enforcer.files() == {}
    assert enforcer.record() == []


def test_beside_a_broken_file_of_another_it_says_what_became_of_this_one(enforcer: Place) -> None:
    (enforcer.etc / "windows.d" / "other.yaml").write_text("- id: [\n")
    declare = ("declare", "--for", "2h", *GUARD, *WHY)
    remedy = (
        "nothing is declared, and what is in force stays; correct what is named, or move its file "
        "out of windows.d, and declare again"
    )
    code, out, err = enforcer(*declare)
    assert (code, out) == (78, "")
    assert err.startswith("windows.d/other.yaml:2:1: ")
    assert err.endswith(f"\nenforcer: {remedy}\n")
    code, out, err = enforcer(*declare, "--format", "json")
    assert (code, err) == (78, "")
    assert json.loads(out)["error"].startswith("windows.d/other.yaml:2:1: ")
    assert json.loads(out)["error"].endswith(f"\n{remedy}")
    assert list(enforcer.files()) == ["other.yaml"]


@pytest.mark.parametrize(
    ("registry", "why"),
    [
        ("<html>", "registry.csv:1:1: is HTML or XML"),
        (None, "registry.csv: does not exist"),
    ],
    ids=["broken", "gone"],
)
def test_without_a_daemon_no_decision_needs_a_registry_and_declare_says_what_one_is_for(
    enforcer: Place, registry: str | None, why: str
) -> None:
    file = enforcer.etc / "registry.csv"
    file.unlink()
    if registry is not None:
        file.write_text(registry)
    declare = ("declare", "--for", "2h", *GUARD, *WHY, "--id", "need", "--confirm-within", "5m")
    code, _, err = enforcer(*declare)
    assert code == 0
    assert (
        "\nthe registry files are refused: a daemon that is started goes by the registrations of "
        "before where these are in the kernel yet, and else does not start; mend them first: "
        f"{why}" in err
    )
    for verb in ("confirm", "close"):
        code, _, err = enforcer(verb, "need")
        assert (code, "refused" in err) == (0, False), err


def test_on_a_fleets_gateway_it_is_written_where_no_revision_takes_it_away(
    enforcer: Place, tmp_path: Path
) -> None:
    fleet = tmp_path / "fleet"
    revisions = [fleet / "revisions" / f"{number:012}" for number in (1, 2)]
    for folder in revisions:
        shutil.copytree(enforcer.etc, folder)
    current = enforcer.etc = fleet / "current"
    current.symlink_to(revisions[0])
    daemon = Running(enforcer)
    try:
        code, out, _ = enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "urgent")
        assert (code, daemon.armed()) == (0, {"urgent"})
        assert "on this gateway alone" in out
        current.unlink()
        current.symlink_to(revisions[1])
        assert daemon.daemon.reload() is None
        daemon.daemon.step()
        assert daemon.armed() == {"urgent"}
        assert enforcer("close", "urgent")[0] == 0
        assert daemon.armed() == set()
    finally:
        daemon.stop()
    assert [p.name for p in (fleet / "windows.d").iterdir()] == ["urgent.yaml"]
    assert enforcer.files() == {}
    assert enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "urgent")[0] != 0


def test_what_the_daemon_refuses_leaves_no_file_and_stays_forgotten(
    enforcer: Place, running: Running
) -> None:
    enforcer.state.mkdir()
    (enforcer.state / "audit.jsonl").mkdir()
    code, _, err = enforcer("declare", "--for", "2h", *GUARD, *WHY)
    assert code == 1
    assert "must be on the record" in err
    assert "is removed again" in err
    assert enforcer.files() == {}
    assert running.daemon.config.policy.windows == ()
    assert running.armed() == set()


def test_an_id_that_is_taken_is_refused_and_a_made_one_gets_a_number(enforcer: Place) -> None:
    soon = ("--start", "2031-12-01T08:00:00Z")
    assert enforcer("declare", "--for", "1h", *GUARD, *WHY, *soon)[0] == 0
    later = ("--start", "2031-12-01T08:00:30Z")
    assert enforcer("declare", "--for", "1h", *GUARD, *WHY, *later)[0] == 0
    assert sorted(enforcer.files()) == [
        "declared-2031-12-01-0800-2.yaml",
        "declared-2031-12-01-0800.yaml",
    ]
    before = enforcer.files()
    code, _, err = enforcer(
        "declare", "--for", "1h", *GUARD, *WHY, "--id", "declared-2031-12-01-0800"
    )
    assert code == 1
    assert "choose another --id" in err
    assert enforcer.files() == before


def unsynchronised(place: Place, running: Running, patch: pytest.MonkeyPatch) -> None:
    place.config.write_text(MAIN.replace("clock: false", "clock: true"))
    patch.setattr(SystemClock, "synchronised", lambda _: False)


def refused_by_the_kernel(place: Place, running: Running, patch: pytest.MonkeyPatch) -> None:
    del place, patch
    for _ in range(20):
        running.kernel.fail_next(Arm, errno.ENOMEM)


def contested(place: Place, running: Running, patch: pytest.MonkeyPatch) -> None:
    del place, patch
    running.daemon.standing_down = "nothing acts: ferm keeps changing table inet enforcer"


@pytest.mark.parametrize("required", ["false", "true"])
def test_lost_orders_are_no_fault_of_the_clock(
    enforcer: Place, running: Running, monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    enforcer.config.write_text(MAIN.replace("clock: false", f"clock: {required}"))
    monkeypatch.setattr(SystemClock, "synchronised", lambda _: False)
    running.daemon.orders = Orders(readable=False)
    code, _, err = enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos")
    assert code == 1
    assert "is not in force: orders.json in the state directory cannot be read, " in err
    assert "clock" not in err
    said = enforcer("status")[1]
    assert "due       ddos: not armed\n" in said
    assert "until the clock is right" not in said
    assert "problem   orders.json in the state directory cannot be read" in said


NOT_IN_FORCE = [
    (unsynchronised, "the clock is not synchronised, so nothing new is armed; it opens once"),
    (refused_by_the_kernel, "Arm armed.ddos: Cannot allocate memory; "),
    (contested, "ferm keeps changing table inet enforcer; the daemon tries again by itself"),
]


@pytest.mark.parametrize(("hinder", "why"), NOT_IN_FORCE, ids=lambda v: getattr(v, "__name__", ""))
def test_what_is_declared_and_not_in_force_is_no_success(
    enforcer: Place,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    hinder: Callable[[Place, Running, pytest.MonkeyPatch], None],
    why: str,
) -> None:
    hinder(enforcer, running, monkeypatch)
    code, out, err = enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos",
                              "--confirm-within", "5m")  # fmt: skip
    assert code == 1
    assert "declared ddos: due, not armed" in out
    assert "armed now: nothing" in out
    assert "ddos is declared and stays so, but is not in force: " in err
    assert why in err
    assert list(enforcer.files()) == ["ddos.yaml"], "it opens as soon as it can"
    answer = enforcer.json("confirm", "ddos")
    assert (answer["occurrence"]["state"], answer["armed"]) == ("due", [])
    assert why in answer["error"]
    assert enforcer.json("windows")[0]["state"] == "due"
    assert "due, and not in force" in enforcer("windows")[1]
    code, out, err = enforcer("close", "ddos")
    assert "closed ddos: closed" in out, "what ends something was done, whatever is in force"


def test_what_is_declared_ahead_is_told_to_stand_where_the_kernel_refuses_something_else(
    enforcer: Place, running: Running
) -> None:
    running.kernel.flush()
    for _ in range(20):
        running.kernel.fail_next(AddSet, errno.ENOMEM)
    code, out, err = enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "later",
                              "--start", "2031-12-01T08:00:00Z")  # fmt: skip
    assert code == 1
    assert "declared later: next" in out
    assert err.startswith("enforcer: AddSet ")
    assert "later is declared and stays so; the daemon tries again by itself" in err


@pytest.mark.parametrize("verb", [("close", "ddos"), ("disarm",)], ids=lambda verb: verb[0])
def test_a_daemon_that_has_come_up_meanwhile_is_asked_after_all(
    enforcer: Place, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    """It began to listen after it was not found, and has read the orders already."""
    assert enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos")[0] == 0
    began: list[Running] = []

    @contextmanager
    def held(directory: Path) -> Iterator[None]:
        began.append(Running(enforcer))
        yield

    monkeypatch.setattr("enforcer.standing.held", held)
    try:
        code, out, _ = enforcer(*verb)
        (daemon,) = began
        assert (code, daemon.armed()) == (0, set())
        assert "no daemon" not in out
    finally:
        for daemon in began:
            daemon.stop()


def test_without_a_daemon_the_kernel_is_asked_what_is_in_force(
    enforcer: Place, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos")[0] == 0
    assert enforcer("declare", "--for", "1h", *MARK, *WHY, "--id", "other")[0] == 0
    running.stop()
    monkeypatch.setattr(nft, "NftKernel", lambda: running.kernel)

    def disarm(table: FakeTable | None) -> None:
        assert table is not None
        table.sets["armed.other"].elements.clear()

    running.kernel.edit(disarm)
    states = {w["id"]: w["state"] for w in enforcer.json("windows")}
    assert states == {"ddos": "armed", "other": "due"}

    def denied() -> None:
        raise KernelError("open netlink", 1, "not permitted; run as root")

    monkeypatch.setattr(nft, "NftKernel", denied)
    code, out, err = enforcer("windows")
    assert (code, "not in force" in out) == (0, False)
    alone = "ddos, other: armed by the schedule alone: no daemon answers, and the kernel"
    assert err == f"{alone} cannot be asked (open netlink: not permitted; run as root)\n"
    running.kernel.flush()
    monkeypatch.setattr(nft, "NftKernel", lambda: running.kernel)
    assert enforcer("windows")[2] == f"{alone} holds nothing of enforcer\n"


def test_what_is_closed_without_a_daemon_and_armed_in_the_kernel_is_no_success(
    enforcer: Place, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ddos", "other"):
        assert enforcer("declare", "--for", "2h", *MARK, *WHY, "--id", name)[0] == 0
    running.stop()
    monkeypatch.setattr(nft, "NftKernel", lambda: running.kernel)
    for done in ("closed", "already closed"):
        code, out, err = enforcer("close", "ddos")
        assert code == 1
        assert f"{done} ddos: closed" in out
        assert "enforcer: ddos is closed and stays so, but the kernel still arms it, until" in err
        assert "; to end it now: enforcer disarm" in err
    assert running.armed() == {"ddos", "other"}
    states = {w["id"]: w["state"] for w in enforcer.json("windows")}
    assert states == {"ddos": "armed", "other": "armed"}
    assert "ddos: closed, but the kernel still arms it, until" in enforcer("windows")[2]
    out = enforcer("windows")[1]
    assert "other: until " in out
    assert "ddos: until " not in out, "a daemon would not renew it"
    # Its ten minutes from now on, and not the two hours that it was declared for.
    (row,) = [line for line in out.splitlines() if line.startswith("ddos ") and "armed" in line]
    assert " 2h " not in row
    assert [e["what"] for e in enforcer.record()].count("closed") == 1
    assert enforcer("disarm")[0] == 0
    assert {w["state"] for w in enforcer.json("windows")} == {"closed"}
    assert enforcer("close", "ddos")[::2] == (0, "no daemon runs; it acts by this when it does\n")


def test_a_file_of_somebody_else_that_is_broken_keeps_a_window_from_being_declared_and_this_is_said(
    enforcer: Place,
) -> None:
    path = enforcer.config.parent / "windows.d/colleague.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("oops: [")
    code, out, err = enforcer("declare", "--for", "2h", *MARK, *WHY, "--id", "ddos")
    assert (code, out) == (78, "")
    place, fact = err.splitlines()
    assert place.startswith(f"{path.parent.name}/{path.name}:") or str(path) in place
    assert fact.startswith("enforcer: nothing is declared, and what is in force stays; ")
    assert not path.with_name("ddos.yaml").exists()


def test_without_a_daemon_and_with_a_broken_file_close_says_what_goes_on_and_what_ends_it(
    enforcer: Place, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert enforcer("declare", "--for", "2h", *MARK, *WHY, "--id", "ddos")[0] == 0
    running.stop()
    monkeypatch.setattr(nft, "NftKernel", lambda: running.kernel)
    (enforcer.etc / "windows.d" / "bad.yaml").write_text("- id: x\n\treason: y\n")
    nothing = f"enforcer: nothing is closed: no daemon runs, and {enforcer.config} is refused; "
    remedy = "to end all that is armed, without a configuration: enforcer disarm"
    code, out, err = enforcer("close", "ddos")
    place, said = err.splitlines()
    assert (code, out) == (78, "")
    assert place == "windows.d/bad.yaml:2:1: has a tab; use spaces"
    assert said.startswith(f'{nothing}the kernel still arms "ddos", until ')
    assert said.endswith(f"Z at the latest; {remedy}")
    answer = enforcer.json("close", "ddos")
    assert answer["error"].splitlines()[0] == place
    assert (answer["daemon"], answer["windows"], answer["occurrence"]) == (False, [], None)
    assert running.armed() == {"ddos"}
    assert enforcer("close", "other")[2].splitlines()[1] == (
        f'{nothing}the kernel does not arm "other"; mend the file, and close it again'
    )

    def denied() -> None:
        raise KernelError("open netlink", 1, "not permitted; run as root")

    monkeypatch.setattr(nft, "NftKernel", denied)
    unknown = (
        'whether the kernel arms "ddos" is not known (open netlink: not permitted; run as root)'
    )
    assert enforcer("close", "ddos")[2].splitlines()[1] == f"{nothing}{unknown}; {remedy}"
    assert [e["what"] for e in enforcer.record()].count("closed") == 0


def test_without_a_daemon_and_with_a_broken_file_confirm_says_that_nothing_is_confirmed(
    enforcer: Place, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare = ("declare", "--for", "2h", *MARK, *WHY, "--id", "ddos", "--confirm-within", "5m")
    assert enforcer(*declare)[0] == 0
    running.stop()
    monkeypatch.setattr(nft, "NftKernel", lambda: running.kernel)
    (enforcer.etc / "windows.d" / "bad.yaml").write_text("- id: x\n\treason: y\n")
    nothing = f"enforcer: nothing is confirmed: no daemon runs, and {enforcer.config} is refused; "
    remedy = "; mend the file, and confirm it again"
    code, out, err = enforcer("confirm", "ddos")
    place, said = err.splitlines()
    assert (code, out) == (78, "")
    assert place == "windows.d/bad.yaml:2:1: has a tab; use spaces"
    assert said.startswith(f'{nothing}the kernel arms "ddos" until ')
    assert said.endswith(f"Z at the latest{remedy}")
    answer = enforcer.json("confirm", "ddos")
    assert answer["error"].splitlines()[0] == place
    assert (answer["daemon"], answer["windows"], answer["occurrence"]) == (False, [], None)
    assert enforcer("confirm", "other")[2].splitlines()[1] == (
        f'{nothing}the kernel does not arm "other"{remedy}'
    )
    assert [e["what"] for e in enforcer.record()] == ["declared"]


def test_what_is_confirmed_without_a_daemon_is_told_with_the_end_of_its_lease(
    enforcer: Place, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_trial = ("--confirm-within", "30m", "--lease")
    for name, lease in (("ddos", "gateway"), ("other", "until-end"), ("whole", "until-end")):
        declared = ("declare", "--for", "2h", *MARK, *WHY, "--id", name, *on_trial, lease)
        assert enforcer(*declared)[0] == 0
    assert enforcer("confirm", "whole")[0] == 0
    running.stop()
    monkeypatch.setattr(nft, "NftKernel", lambda: running.kernel)
    assert enforcer("confirm", "whole")[2] == "no daemon runs; it acts by this when it does\n"
    # The gateway's lease of ten minutes; the trial's end, which the kernel was given.
    for name, minutes in (("ddos", 10), ("other", 30)):
        before = SystemClock().now()
        code, out, err = enforcer("confirm", name)
        assert code == 0
        assert out.startswith(f"confirmed {name}: armed, ")
        said = "no daemon runs; it acts by this when it does; without one the kernel disarms "
        assert err.startswith(f"{said}{name} by itself at ")
        at = datetime.fromisoformat(err.strip().removeprefix(f"{said}{name} by itself at "))
        assert at <= before + timedelta(minutes=minutes)


def test_a_refused_declaration_is_json_where_that_is_asked_for(
    enforcer: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare = ("declare", "--for", "2h", *MARK, *WHY, "--id", "ddos")
    nothing = {"warning": None, "windows": [], "occurrence": None}
    assert enforcer(*declare)[0] == 0
    path = enforcer.etc / "windows.d" / "ddos.yaml"
    cases = [
        (1, declare, f"{path} exists; choose another --id, or end it first, for it is on"),
        (1, (*declare[:-1], "x", "--confirm-within", "30h", "--for", "48h"), "a time to confirm"),
        (
            78,
            ("declare", "--for", "2h", "--measure", "guard=mail", *WHY),
            "enforcer declare: --measure",
        ),
    ]
    for code, arguments, fact in cases:
        found, out, err = enforcer(*arguments, "--format", "json")
        answer = json.loads(out)
        assert (found, err) == (code, "")
        assert answer["error"].startswith(fact)
        assert answer == {**nothing, "error": answer["error"]}
        assert answer["error"] in enforcer(*arguments)[2]

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("enforcer.cli.declare.write_new", full)
    found, out, err = enforcer(*declare[:-1], "x", "--format", "json")
    error = f"{path.with_name('x.yaml')}: No space left on device; nothing is declared"
    assert (found, json.loads(out), err) == (1, {**nothing, "error": error}, "")


def test_what_is_closed_already_is_said_to_be(enforcer: Place, running: Running) -> None:
    assert enforcer("declare", "--for", "2h", *MARK, *WHY, "--id", "ddos")[0] == 0
    assert enforcer("close", "ddos")[1].startswith("closed ddos: closed, ")
    code, out, err = enforcer("close", "ddos")
    assert (code, err) == (0, "")
    assert out.startswith("already closed ddos: closed, ")
    running.stop()
    code, out, _ = enforcer("close", "ddos")
    assert code == 0
    assert out.startswith("already closed ddos: closed, ")
    assert [e["what"] for e in enforcer.record()] == ["declared", "closed"]


@pytest.mark.parametrize(
    ("first", "second"), [("mark=0x51", "mark=0x52"), ("reserve=wan:60%", "reserve=wan:50%")]
)
@pytest.mark.parametrize("daemon", [True, False])
def test_what_was_closed_makes_room_for_what_would_clash_with_it(
    enforcer: Place, running: Running, first: str, second: str, *, daemon: bool
) -> None:
    if not daemon:
        running.stop()
    declare = ("declare", "--for", "2h", *WHY)
    assert enforcer(*declare, "--measure", first, "--id", "w1")[0] == 0
    code, _, err = enforcer(*declare, "--measure", second, "--id", "w2")
    assert code == 78
    assert "armed too at" in err
    assert enforcer("close", "w1")[0] == 0
    code, _, err = enforcer(*declare, "--measure", second, "--id", "w2")
    assert code == 0, err
    if daemon:
        assert running.armed() == {"w2"}
        assert running.daemon.reload() is None
    running.stop()
    # Every command that reads the files knows what is closed.
    assert [w["state"] for w in enforcer.json("windows")][:1] == ["closed"]
    assert enforcer("completion", "windows")[1].split() == ["w2"]
    for verb in (["check"], ["plan"], ["explain", "198.51.100.1"], ["export", "bird"]):
        assert "armed too at" not in "".join(map(str, enforcer(*verb))), verb
        assert enforcer(*verb)[0] != 78, verb


def test_the_ceilings_of_guard_count_what_was_closed_until_its_file_is_removed(
    enforcer: Place, running: Running
) -> None:
    declare = ("declare", *GUARD, *WHY)
    assert enforcer(*declare, "--for", "72h", "--id", "w1")[0] == 0
    assert enforcer("close", "w1")[0] == 0
    start = f"{SystemClock().now() + timedelta(hours=48):%Y-%m-%dT%H:%M:%SZ}"
    again = (*declare, "--for", "30h", "--id", "w2", "--start", start)
    code, _, err = enforcer(*again)
    assert code == 78
    assert "over the 72 h ceiling of a guard window" in err
    assert 'closed early, and counted as declared all the same: "w1" at windows.d/w1.yaml' in err
    (enforcer.etc / "windows.d" / "w1.yaml").unlink()
    code, _, err = enforcer(*again)
    assert code == 0, err


def test_a_closing_from_a_day_on_tells_what_is_before_it(enforcer: Place) -> None:
    (enforcer.etc / "windows.d" / "moon.yaml").write_text(
        PROVISIONAL.replace("  provisional: true\n", "")
    )
    code, _, err = enforcer("close", "moon", "--at", "2031-12-02")
    assert code == 1
    assert err.endswith(
        '"moon" has no occurrence ahead from 2031-12-02T00:00:00Z on; the first that is not over '
        "begins at 2031-12-01T08:00:00Z: leave --at out for it\n"
    )
    code, _, err = enforcer("confirm", "moon", "--shift", "40d")
    assert (code, "a shift of 40 days is over 30 days" in err) == (1, True)


def test_a_shifted_occurrence_is_closed_where_it_was_moved_to(enforcer: Place) -> None:
    (enforcer.etc / "windows.d" / "moon.yaml").write_text(PROVISIONAL)
    assert enforcer("confirm", "moon", "--shift", "1d")[0] == 0
    assert "closed moon: closed, 2031-12-02T08:00:00Z to" in enforcer("close", "moon")[1]
    ahead = enforcer.json("windows", "--from", "2031-11-20", "--days", "30")
    assert [(w["starts_at"], w["state"]) for w in ahead] == [("2031-12-02T08:00:00Z", "closed")]


def test_no_key_completes_what_is_closed_already(enforcer: Place, running: Running) -> None:
    for name in ("ddos", "other"):
        assert enforcer("declare", "--for", "2h", *MARK, *WHY, "--id", name)[0] == 0
    assert enforcer("completion", "windows")[1].split() == ["ddos", "other"]
    assert enforcer("close", "ddos")[0] == 0
    assert enforcer("completion", "windows")[1].split() == ["other"]


def test_without_a_daemon_it_is_written_and_said(enforcer: Place) -> None:
    code, out, err = enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos",
                              "--confirm-within", "5m")  # fmt: skip
    assert code == 0
    assert "declared ddos: due, not armed" in out
    assert "no daemon runs; it acts by this when it does" in err
    code, out, _ = enforcer("confirm", "ddos")
    assert code == 0
    assert "confirmed ddos" in out
    code, out, _ = enforcer("close", "ddos")
    assert code == 0
    assert [e["what"] for e in enforcer.record()] == ["declared", "confirmed", "closed"]
    assert [w["state"] for w in enforcer.json("windows")] == ["closed"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_what_root_declares_without_a_daemon_the_daemons_user_can_take_up(
    enforcer: Place, umask: int
) -> None:
    enforcer.state.mkdir(exist_ok=True)
    os.chown(enforcer.state, 65534, 65534)
    before = os.umask(umask)
    try:
        code, _, err = enforcer("declare", "--for", "2h", *GUARD, *WHY, "--id", "ddos",
                                "--confirm-within", "5m")  # fmt: skip
    finally:
        os.umask(before)
    assert code == 0, err
    kept = {path.name: path.stat() for path in enforcer.state.iterdir()}
    assert {"orders.json", "audit.jsonl", "audit.head"} <= kept.keys()
    assert {(info.st_uid, info.st_mode & 0o777) for info in kept.values()} == {(65534, 0o640)}
    assert (enforcer.etc / "windows.d" / "ddos.yaml").stat().st_mode & 0o777 == 0o644


PROVISIONAL = """
- id: moon
  reason: r
  declared_by: d
  reference: REF
  provisional: true
  start: "2031-12-01T08:00:00Z"
  duration: 12h
  measures: {guard: {estate: concentrators}}
"""


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        ((), "2031-12-01T08:00:00Z"),
        (("--shift", "1d"), "2031-12-02T08:00:00Z"),
        (("--shift", "-1d"), "2031-11-30T08:00:00Z"),
        (("--shift=-90m",), "2031-12-01T06:30:00Z"),
        (("--shift", "+1h", "--at", "2031-12-01"), "2031-12-01T09:00:00Z"),
    ],
)
def test_a_provisional_window_is_confirmed_and_shifted(
    enforcer: Place, given: tuple[str, ...], starts: str
) -> None:
    (enforcer.etc / "windows.d" / "moon.yaml").write_text(PROVISIONAL)
    code, _, err = enforcer("confirm", "moon", *given)
    assert code == 0, err
    ahead = enforcer.json("windows", "--from", "2031-11-20", "--days", "30")
    assert [(w["starts_at"], w["state"]) for w in ahead] == [(starts, "next")]


def test_what_is_refused_says_why_with_exit_1(enforcer: Place) -> None:
    code, out, err = enforcer("confirm", "moon")
    assert (code, out) == (1, "")
    assert 'no window is named "moon"' in err
    assert enforcer("confirm", "moon", "--shift", "soon")[0] == 64


def test_a_daemon_that_cannot_be_asked_is_not_written_around(enforcer: Place) -> None:
    (enforcer.etc / "windows.d" / "moon.yaml").write_text(PROVISIONAL)
    enforcer.run_dir.mkdir()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(enforcer.run_dir / "control.sock"))
        deaf.listen(1)
        hangs_up = threading.Thread(target=lambda: deaf.accept()[0].close())
        hangs_up.start()
        code, out, err = enforcer("confirm", "moon")
        hangs_up.join()
    assert (code, out) == (1, "")
    assert "control.sock" in err
    assert enforcer.record() == []
