"""Whether a package's upgrade may restart the daemon: asked of a real one, with a window armed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from enforcer.cli import upgrading
from enforcer.cli.upgrading import config_of, why_not
from enforcer.errors import PolicyError, Problem
from enforcer.policy.model import Gateway, Policy
from tests.cli.cli_worlds import MAIN
from tests.kernel.daemon_process import Gateway as Running
from tests.kernel.daemon_process import stop
from tests.kernel.slowness import patient

KEEP, RELEASE = (Policy(Gateway("gw", ("wan0",), on_stop=w), ()) for w in ("keep", "release"))


@pytest.mark.parametrize(
    ("armed", "policy", "words"),
    [
        ((), KEEP, None),
        (("ddos",), KEEP, None),
        ((), RELEASE, None),
        (("ddos", "works"), RELEASE, "ddos, works: armed, and with on_stop: release a restart"),
        (
            (),
            PolicyError([Problem("e.yaml", 2, 1, "leese", "no")]),
            "refuses the configuration (e.",
        ),
    ],
)
def test_only_what_would_harm_keeps_it_from_a_restart(
    armed: tuple[str, ...], policy: Policy | PolicyError, words: str | None
) -> None:
    found = why_not(armed, policy)
    assert (found is None) == (words is None)
    assert words is None or words in str(found)
    assert found is None or found.endswith("then: systemctl restart enforcer")


# As `systemctl show --property=ExecStart --value` has it.
SHOWN = (
    "{{ path=/usr/bin/enforcer ; argv[]=/usr/bin/enforcer run{} ; ignore_errors=no ; "
    "start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }}"
)


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        (
            " --config /var/lib/enforcer/fleet/current/n.yaml",
            "/var/lib/enforcer/fleet/current/n.yaml",
        ),
        (" --config=/srv/e.yaml --log-format json", "/srv/e.yaml"),
    ],
)
def test_the_configuration_is_the_units(arguments: str, config: str) -> None:
    assert config_of(SHOWN.format(arguments)) == Path(config)


def test_where_the_unit_names_none_it_is_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, followed = tmp_path / "usual.yaml", tmp_path / "followed.yaml"
    monkeypatch.setattr(upgrading, "DEFAULT_CONFIG", usual)
    monkeypatch.setattr(upgrading, "FOLLOWED", followed)
    assert config_of("") == usual
    followed.touch()
    assert config_of(SHOWN.format("")) == followed
    usual.touch()
    assert config_of("") == usual


def test_a_refusal_names_the_command_that_tells_more() -> None:
    wrong = PolicyError([Problem("e.yaml", 2, 1, "leese", "no")])
    said = str(why_not((), wrong, Path("/srv/e.yaml")))
    assert "mend what `enforcer check --config /srv/e.yaml` names" in said
    assert "mend what `enforcer check` names" in str(why_not((), wrong))


@pytest.mark.kernel
def test_a_removal_clears_the_kernel_without_the_usual_configuration(
    gateway: Running, tmp_path: Path
) -> None:
    assert stop(gateway.start()) == 0
    assert gateway.armed(), "on_stop: keep"
    here = tmp_path / "bin"
    here.mkdir()
    # No systemd runs where tests do, and the daemon has stopped already.
    (here / "systemctl").write_text("#!/bin/sh\n")
    (here / "enforcer").write_text(f'#!/bin/sh\nexec {sys.executable} -m enforcer "$@"\n')
    for command in here.iterdir():
        command.chmod(0o755)
    prerm = Path(__file__).parents[2] / "packaging" / "deb" / "prerm"
    # The script's own paths, in a mount namespace that goes with it.
    own = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && "
    hide = "if [ -d /etc/enforcer ]; then mount -t tmpfs none /etc/enforcer; fi && "
    done = subprocess.run(
        [
            *("ip", "netns", "exec", gateway.namespace, "unshare", "--mount", "sh", "-c"),
            f'{own}{hide}PATH={here}:$PATH sh "$0" remove',
            str(prerm),
        ],
        env=gateway._environment(), cwd=gateway.folder, check=False,
        capture_output=True, text=True, timeout=patient(60),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert gateway.untouched(), done.stderr


@pytest.mark.kernel
def test_a_daemon_that_runs_is_asked_and_a_restart_adopts(gateway: Running) -> None:
    def asked() -> str:
        unit = SHOWN.format(f" --config {gateway.config}")
        command = [sys.executable, "-m", "enforcer.cli.upgrading", "--unit", unit]
        return subprocess.run(
            command, env=gateway._environment(), cwd=gateway.folder, check=True,
            capture_output=True, text=True, timeout=patient(60),
        ).stdout  # fmt: skip

    process = gateway.start()
    assert gateway.armed()
    assert asked() == "", "on_stop: keep"
    rules = gateway.handles()
    assert stop(process) == 0
    assert gateway.armed(), "between the two, as it is while a package restarts it"
    gateway.start()
    assert gateway.handles() == rules, "adopted: not one rule was made anew"
    gateway.write(main=MAIN.replace("lease: 10m", "lease: 10m, on_stop: release"))
    assert asked().startswith("ddos: armed, and with on_stop: release")
    gateway.write(main="version: 2\n")
    assert asked().startswith("this version refuses the configuration (enforcer.yaml:1:1")
