"""The command line as a whole: options on either side of the verb, wrong usage, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enforcer import __version__
from enforcer.cli.main import VERBS, main
from enforcer.kernel.fake import FakeKernel
from tests.cli.cli_worlds import Place


def command(*argv: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "enforcer", *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | (env or {}),
    )


def test_global_options_stand_before_or_after_the_verb(place: Place) -> None:
    config = str(place.config)
    before = place.run("--format", "json", "check")
    assert before.json == {"ok": True, "errors": []}
    for argv in (
        ["check", "--format", "json", "--config", config],
        ["--config", config, "check", "--format", "json"],
        ["--color", "never", "check", "--config", config, "--format", "json"],
    ):
        assert main(argv) == 0
        assert place._capture.readouterr().out == before.out


@pytest.mark.parametrize("argv", [("plan",), ("windows",), ("explain", "198.51.100.1")])
def test_what_comes_to_nothing_is_json_where_json_is_asked_for(
    place: Place, kernel: FakeKernel, argv: tuple[str, ...]
) -> None:
    place.config.write_text("version: [\n")
    for_people = place.run(*argv)
    assert (for_people.code, for_people.out) == (78, "")
    answer = place.run(*argv, "--format", "json")
    assert (answer.code, answer.err) == (78, "")
    assert answer.json == {"error": for_people.err.removesuffix("\n")}


def test_an_option_whose_value_is_the_name_of_a_verb_is_no_verb(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    place.config.rename("run")
    assert main(["--config", "run", "windows", "--days", "1"]) == 0


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "the following arguments are required: VERB"),
        (["dance"], "invalid choice: 'dance'"),
        (["check", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["check", "--form", "json"], "unrecognized arguments"),
        (["check", "--format", "xml"], "argument --format: invalid choice: 'xml'"),
        (["explain"], "the following arguments are required: ADDRESS"),
        (["explain", "somewhere"], "'somewhere'"),
        (["explain", "192.0.2.1", "--service", "https"], "https"),
        (["explain", "192.0.2.1", "--to", "2001:db8::1"], "are of two families"),
        (["explain", "192.0.2.1", "--at", "noon"], "'noon' is no instant; write it like"),
        (["plan", "--at", "0001-01-01T00:00:00+05:00"], "is no instant"),
        (["windows", "--from", "9999-12-31", "--days", "3660"], "write one from 1970 to 2199"),
        (["plan", "--at", "0001-01-01"], "'0001-01-01' is outside the years that windows may be"),
        (["windows", "--from", "2199-12-31T23:59:59-14:00"], "write one from 1970 to 2199"),
        (["windows", "--from", "\udcff"], "argument 5: '\\udcff' is not UTF-8; write it in UTF-8"),
        (["explain", "192.0.2.1", "--service", "a\udcff"], "argument 6: 'a\\udcff' is not UTF-8"),
        (["windows", "--days", "0"], "'0' is no number of days from 1 to 3,660"),
        (["windows", "--days", "99999999999"], "is no number of days"),
        (["schema", "registry"], "invalid choice: 'registry'"),
    ],
)
def test_wrong_usage_is_exit_64_with_a_sentence(
    place: Place, argv: list[str], sentence: str
) -> None:
    said = place.run(*argv)
    assert (said.code, said.out) == (64, "")
    assert sentence in said.err
    assert said.err.rstrip().endswith("--help")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(place: Place, verb: str) -> None:
    said = place.run(verb, "--help")
    assert said.code == 0
    assert said.out.startswith(f"usage: enforcer {verb}")


@pytest.mark.parametrize("verb", ["plan", "explain 192.0.2.1", "windows", "check", "run"])
def test_a_bad_configuration_is_exit_78_with_its_place(place: Place, verb: str) -> None:
    place.write(main="version: 1\ngateway: {name: edge-1, uplinks: [wan0], leese: 10m}\n")
    said = place.run(*verb.split())
    assert said.code == 78
    assert "enforcer.yaml:2:" in said.err + said.out
    assert "leese" in said.err + said.out


def test_the_version_is_told() -> None:
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"enforcer {__version__}\n")


def test_a_reader_that_goes_away_is_no_error(place: Place) -> None:
    """`enforcer schema | head -1`, with the head gone before the first byte is written."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "enforcer", "schema"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_said() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "enforcer", "schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "enforcer: standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ("audit", "enforcer audit: the following arguments are required: act; see"),
        (
            "rollback --key k two",
            "argument NUMBER: 'two' is no revision; `publish` told its number",
        ),
        ("rollback --key k 0", "argument NUMBER: '0' is no revision"),
        ("statsu", "enforcer: argument VERB: 'statsu' is not known; did you mean status; see"),
        ("frobnicate", "invalid choice: 'frobnicate' (choose from 'run', "),
    ],
)
def test_wrong_usage_names_what_is_wrong(
    argv: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(argv.split())
    assert exited.value.code == 64
    assert said in capsys.readouterr().err
