"""The man pages: everything that the command line and the schemas have is on them."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from enforcer.cli.grammar import Command, Option, read_grammar
from enforcer.cli.manual import _command, _quoted, _text, pages

DAY = date(2026, 11, 25)


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages(DAY)


def test_every_command_and_option_is_on_the_page(made: dict[str, str]) -> None:
    page = made["enforcer.8"].replace("\\-", "-")
    for command in read_grammar().commands:
        (section,) = [s for s in page.split(".SS ") if s.startswith(f'"{command.name}"\n')]
        for option in command.options:
            assert f"\\fB{option.flags[-1]}\\fR" in section, f"{command.name} {option.flags}"
        for argument in command.arguments:
            assert argument.metavar in section or "|".join(argument.choices) in section
    for word in ("EXIT STATUS", "FILES", "ENVIRONMENT", "NO_COLOR", "SIGHUP", "enforcer.yaml (5)"):
        assert word in page


def test_every_key_of_the_configuration_is_on_the_page(made: dict[str, str]) -> None:
    page = made["enforcer.yaml.5"].replace("\\-", "-")
    for key in (
        "gateway.uplinks",
        "registry.sources[].file",
        "estates.NAME.services",
        "links.NAME.rate",
        "metrics.tls.client_ca",
        "measures.reserve.share",
        "hijri.month",
        "rrule",
    ):
        assert f'.B "{key}"\n' in page, key
    assert "Arm no window while the clock is not synchronised (default true)." in page


def test_a_command_is_written_so() -> None:
    options = (
        Option(("-n", "--number"), "word", "how many - at least 1", "N", required=True),
        Option(("--all",), "none", ".hidden ones too"),
    )
    assert list(_command(Command(("list",), "list things", "List things.", options, ()))) == [
        '.SS "list"',
        "\\fBenforcer list\\fR \\fB\\-\\-number\\fR \\fIN\\fR [\\fB\\-\\-all\\fR]",
        ".PP",
        "List things.",
        ".TP",
        "\\fB\\-n\\fR \\fIN\\fR, \\fB\\-\\-number\\fR \\fIN\\fR",
        "How many \\- at least 1.",
        ".TP",
        "\\fB\\-\\-all\\fR",
        "\\&.hidden ones too.",
    ]


def test_no_text_is_read_as_a_request() -> None:
    assert [_text(t) for t in (".SH", "'x", "a\\fB", "a-b")] == [
        "\\&.SH",
        "\\&'x",
        "a\\efB",
        "a\\-b",
    ]
    assert _quoted('say "x"') == '"say \\(dqx\\(dq"'


def test_the_same_source_gives_the_same_pages(made: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "enforcer.cli.manual", str(tmp_path)]
    subprocess.run(command, env={"SOURCE_DATE_EPOCH": "1795608000"}, check=True, timeout=60)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == made
    assert subprocess.run(command[:-1], check=False, capture_output=True).returncode == 64


@pytest.mark.kernel
def test_mandoc_and_groff_find_no_fault(made: dict[str, str], tmp_path: Path) -> None:
    """Needs Debian's mandoc and man-db, which `make kernel` brings."""
    for name, text in made.items():
        path = tmp_path / name
        path.write_text(text)
        lint = subprocess.run(
            ["mandoc", "-T", "lint", path], capture_output=True, text=True, check=False
        )
        assert (lint.stdout, lint.stderr) == ("", "")
        shown = subprocess.run(
            ["man", "--warnings", "-l", path], capture_output=True, text=True, check=True
        )
        assert shown.stderr == ""
        assert "NAME" in shown.stdout
