"""The shape of the house: who may import whom, what the pure rooms never touch, what has a test."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "enforcer"
PURE = ("policy", "lookup", "schedule", "ruleset", "registries", "routers")
OUTER = ("kernel", "sources", "observe")

# Room → rooms it may import beside itself. Modules at the top are rooms of their own below; `disk`
# imports nothing of ours.
MAY_IMPORT: dict[str, set[str]] = {
    "policy": set(),
    "lookup": {"policy"},
    "schedule": {"policy", "lookup"},
    "ruleset": {"policy", "lookup", "schedule"},
    "registries": {"policy", "lookup"},
    "routers": {"policy", "lookup"},
    **{room: {*PURE, "disk"} for room in OUTER},
    # Processes of their own beside the daemon, which they only ask.
    "feeds": {*PURE, "disk", "sources", "control", "log", "__init__"},
    "fleet": {*PURE, "disk", "sources", "control", "log", "__init__"},
}
# Facts of the world that every room may import: errors are values.
FOR_ALL = {"errors"}

# What would give a pure room a clock, a file, a socket or a process.
WORLDLY = {
    "os",
    "io",
    "time",
    "pathlib",
    "shutil",
    "subprocess",
    "tempfile",
    "threading",
    "asyncio",
    "selectors",
    "random",
    "logging",
    "pyroute2",
    "urllib3",
    "prometheus_client",
}
# Pure functions of an impure module.
SOCKET_ALLOWED = {"AF_INET", "AF_INET6", "inet_pton", "inet_ntop", "htonl", "ntohl"}
# (module, import): why a pure room may have it all the same.
EXCUSED: dict[tuple[str, str], str] = {}
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}

# Modules without a test file of their own name → the test that would notice if they broke.
TESTED_BY: dict[str, str] = {
    "cli.fleets": "kernel/test_fleet.py",
    "cli.fullscreen": "cli/test_watch.py",
    "cli.follow": "kernel/test_fleet.py",
    "cli.publish": "kernel/test_fleet.py",
    "cli.rollback": "kernel/test_fleet.py",
    "fleet.poke": "fleet/test_watching.py",
    "cli.fetch": "kernel/test_feeds.py",
    "kernel.steps": "kernel/test_load_in_steps.py",
    "kernel.underway": "kernel/test_load_in_steps.py",
    "feeds.deadline": "feeds/test_transfer.py",
    "clockd": "daemon/test_synchronised.py",
    "listening": "daemon/test_control.py",
    "cli.arming": "cli/test_cli_declare.py",
    "cli.close": "cli/test_cli_declare.py",
    "cli.completion": "kernel/test_shells.py",
    "cli.confirm": "cli/test_cli_declare.py",
    "cli.deciding": "cli/test_cli_declare.py",
    "cli.declaring": "cli/test_cli_declare.py",
    "doctor.findings": "doctor/test_doctor_machine.py",
    "errors": "policy/test_bad_config.py",
    "cli.reload": "kernel/test_lastgood_daemon.py",
    "cli.replay_text": "cli/test_replay.py",
    "cli.replaying": "cli/test_replay.py",
    "cli.registries": "cli/test_cli_registry.py",
    "cli.registry_diff": "cli/test_cli_registry.py",
    "cli.registry_export": "cli/test_cli_registry.py",
    "cli.registry_import": "cli/test_cli_registry.py",
    "cli.registry_lint": "cli/test_cli_registry.py",
    "cli.startable": "cli/test_status.py",
    "cli.windows_chart": "cli/test_cli_windows.py",
    "cli.windows_ics": "cli/test_cli_windows.py",
    "kernel.decode": "kernel/test_kernel_contract.py",
    "kernel.elements": "kernel/test_kernel_contract.py",
    "kernel.encode": "kernel/test_kernel_contract.py",
    "kernel.fake": "kernel/test_kernel_contract.py",
    "kernel.fake_table": "kernel/test_kernel_contract.py",
    "kernel.links": "kernel/test_doctor.py",
    "kernel.namespace": "kernel/test_kernel_contract.py",
    "kernel.netlink": "kernel/test_kernel_faults.py",
    "kernel.numbers": "kernel/test_kernel_wire.py",
    "kernel.others": "kernel/test_doctor.py",
    "kernel.probe": "kernel/test_doctor.py",
    "kernel.remedies": "kernel/test_kernel_faults.py",
    "kernel.samples": "kernel/test_kernel_sampling.py",
    "kernel.series": "kernel/test_kernel_wire.py",
    "kernel.shaping": "kernel/test_kernel_shapers.py",
    "lab.gateway": "kernel/test_lab.py",
    "lab.heartbeat": "kernel/test_lab.py",
    "lab.machine": "kernel/test_lab.py",
    "lab.namespace": "kernel/test_lab.py",
    "lab.probes": "kernel/test_lab.py",
    "lab.run": "kernel/test_lab.py",
    "lab.screen": "kernel/test_lab.py",
    "lab.servers": "kernel/test_lab.py",
    "lab.topology": "kernel/test_lab.py",
    "lab.traffic": "kernel/test_lab.py",
    "lab.wireguard": "kernel/test_lab.py",
    "lab.witness": "kernel/test_lab.py",
    "lookup.expansion": "lookup/test_planner.py",
    "lookup.nodes": "lookup/test_planner.py",
    "lookup.restage": "lookup/test_replan.py",
    "lookup.rows": "lookup/test_splice.py",
    "lookup.stages": "lookup/test_planner.py",
    "observe.http.tls": "kernel/test_status_port.py",
    "observe.page.blocks": "observe/test_page.py",
    "observe.page.asking": "observe/test_observe_routes.py",
    "observe.page.document": "observe/test_page.py",
    "observe.page.sections": "observe/test_page.py",
    "observe.page.selfcheck": "observe/test_page.py",
    "observe.page.style": "kernel/test_page_browser.py",
    "observe.page.words": "observe/test_page.py",
    "observe.report_style": "kernel/test_report_browser.py",
    "observe.report_text": "observe/test_report.py",
    "observe.snapshot": "observe/test_views.py",
    "policy.documents": "policy/test_load.py",
    "policy.estates": "ruleset/test_promises.py",
    "policy.fields": "policy/test_bad_config.py",
    "policy.forms": "policy/test_bad_config.py",
    "policy.keys": "sources/test_minisign.py",
    "policy.limits": "ruleset/test_promises.py",
    "policy.model": "policy/test_load.py",
    "policy.places": "policy/test_bad_config.py",
    "policy.prefix": "policy/test_values.py",
    "policy.registry_builder": "policy/test_registry.py",
    "policy.registry_columns": "policy/test_registry.py",
    "policy.registry_rows": "policy/test_registry.py",
    "policy.registry_text": "policy/test_registry_chunks.py",
    "policy.scalars": "policy/test_bad_config.py",
    "policy.sections": "policy/test_bad_config.py",
    "policy.shape": "policy/test_bad_config.py",
    "policy.times": "policy/test_bad_config.py",
    "policy.windows": "policy/test_bad_config.py",
    "policy.words": "policy/test_bad_config.py",
    "policy.yamlevents": "policy/test_yamltext.py",
    "policy.zones": "policy/test_bad_config.py",
    "sources.causes": "fleet/test_troubles.py",
    "sources.guarded": "feeds/test_credentials.py",
    "registries.delegated": "registries/test_reading.py",
    "registries.findings": "registries/test_lint.py",
    "registries.gathering": "registries/test_reading.py",
    "registries.jsonform": "registries/test_reading.py",
    "registries.loose": "registries/test_table.py",
    "registries.nesting": "registries/test_lint.py",
    "registries.overlaps": "registries/test_lint.py",
    "registries.sheetwriting": "registries/test_writing.py",
    "registries.sheetxml": "registries/test_workbook.py",
    **{
        f"routers.{router}": "routers/test_languages.py"
        for router in ("bird", "eos", "frr", "junos")
    },
    "ruleset.admitting": "ruleset/test_promises.py",
    "ruleset.case": "ruleset/test_promises.py",
    "ruleset.compiler": "ruleset/test_meaning.py",
    "ruleset.dropping": "ruleset/test_promises.py",
    "ruleset.guard": "ruleset/test_meaning.py",
    "ruleset.lower": "kernel/test_kernel_contract.py",
    "ruleset.mark": "ruleset/test_meaning.py",
    "ruleset.measures": "ruleset/test_promises.py",
    "ruleset.paths": "ruleset/test_promises.py",
    "ruleset.registered": "ruleset/test_meaning.py",
    "ruleset.reserve": "ruleset/test_meaning.py",
    "ruleset.transaction": "ruleset/test_diff.py",
    "ruleset.vocabulary": "ruleset/test_render.py",
    "schedule.confirming": "daemon/test_decisions.py",
}
# Written, and still without any test: this list may only become shorter.
WITHOUT_A_TEST: set[str] = set()
# Over 400 lines, each for a reason.
LONG = {"ruleset.vocabulary": "one closed list of words: to split it would hide that it is closed"}


def modules(*rooms: str) -> list[Path]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [p for p in paths if not rooms or room_of(p) in rooms]


def dotted(path: Path) -> str:
    """`ruleset.diff` for enforcer/ruleset/diff.py."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything imported anywhere in the file, functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who imports whom"
            module = node.module or ""
            yield module
            # `from enforcer import clock` names a module as well.
            yield from (
                f"{module}.{alias.name}"
                for alias in node.names
                if module == "enforcer" and alias.name != "__version__"
            )


def rooms_imported(path: Path) -> set[str]:
    parts = (name.split(".") for name in imports(path))
    return {p[1] for p in parts if p[0] == "enforcer" and len(p) > 1} - {room_of(path)}


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_imports_run_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | FOR_ALL
    wrong = {dotted(p): bad for p in modules(room) if (bad := rooms_imported(p) - allowed)}
    assert wrong == {}


def test_nothing_but_the_top_imports_the_daemon_the_commands_or_the_lab() -> None:
    top = {"daemon", "desk", "service", "starting", "strangers", "cli", "lab", "__main__"}
    wrong = {
        dotted(p): bad
        for p in modules()
        if room_of(p) not in top and (bad := rooms_imported(p) & {"daemon", "cli", "lab"})
    }
    assert wrong == {}


def test_every_room_that_is_there_is_known_here() -> None:
    rooms = {p.name for p in PACKAGE.iterdir() if p.is_dir() and (p / "__init__.py").exists()}
    assert rooms == {*MAY_IMPORT, "cli", "doctor", "examples", "lab"}


@pytest.mark.parametrize("path", modules(*PURE), ids=dotted)
def test_a_pure_room_has_no_world(path: Path) -> None:
    found = {name.split(".")[0] for name in imports(path)} & WORLDLY
    assert found - {name for module, name in EXCUSED if module == dotted(path)} == set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input"}, f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner, name = node.value.id, node.attr
            assert owner != "socket" or name in SOCKET_ALLOWED, f"line {node.lineno}: {name}"
            assert (owner, name) not in CLOCKS, f"line {node.lineno}: {owner}.{name}"
        if isinstance(node, ast.ImportFrom) and node.module == "socket":
            assert {alias.name for alias in node.names} <= SOCKET_ALLOWED
        assert not isinstance(node, ast.Global | ast.Nonlocal), "no globals that change"


def test_scapy_never_comes_into_the_daemons_process() -> None:
    users = {dotted(p) for p in modules() if any(n.split(".")[0] == "scapy" for n in imports(p))}
    assert {name for name in users if not name.startswith(("cli.", "lab."))} == set()


def test_every_module_has_a_test() -> None:
    """`test_MODULE*.py` or `test_ROOM_MODULE*.py`, or the test that the list above names."""
    tests = {p.stem for p in (ROOT / "tests").rglob("test_*.py")}

    def has_one(path: Path) -> bool:
        names = (f"test_{path.stem}", f"test_{room_of(path)}_{path.stem}")
        return any(t == name or t.startswith(f"{name}_") for name in names for t in tests)

    wanted = [p for p in modules() if p.stem not in {"__init__", "__main__"}]
    bare = {dotted(p) for p in wanted if not has_one(p)}
    assert sorted(bare - set(TESTED_BY)) == sorted(WITHOUT_A_TEST)
    assert sorted(set(TESTED_BY) - bare) == [], "tested under its own name: off the list"
    gone = {test for test in TESTED_BY.values() if not (ROOT / "tests" / test).exists()}
    assert gone == set()


def _files_of_the_repository() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, timeout=20
    )
    if listed.returncode == 0:
        names = [n for n in listed.stdout.decode().split("\0") if n]
        return [ROOT / n for n in names if (ROOT / n).is_file()]
    hidden = {".git", ".venv", "__pycache__"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not hidden & set(p.parts)]


# In two halves, so that this file does not name what it looks for.
REGISTRIES = [
    a + b
    for a, b in (
        ("py", "pi.org"),
        ("python", "hosted.org"),
        ("registry.", "npmjs"),
        ("deb.", "debian.org"),
        ("ftp.", "debian.org"),
        ("security.", "debian.org"),
        ("snapshot.", "debian.org"),
    )
]
PLACES_OF_THIS_MACHINE = [a + b for a, b in (("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"))]


def test_no_file_names_a_registrys_host_or_a_path_of_this_machine() -> None:
    found = []
    for path in _files_of_the_repository():
        text = path.read_bytes().decode("utf-8", errors="replace")
        for word in (*REGISTRIES, *PLACES_OF_THIS_MACHINE):
            if word in text:
                found.append(f"{path.relative_to(ROOT)}: {word}")
    assert found == []


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_a_module_says_what_it_is_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), "a module begins with what comes in and goes out"
    assert dotted(path) in LONG or len(text.splitlines()) <= 400, "one file, one idea"
