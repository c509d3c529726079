"""Whether a package's upgrade may restart the daemon: asked of a real one, with a window armed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from enforcer.cli.upgrading import why_not
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


@pytest.mark.kernel
def test_a_daemon_that_runs_is_asked_and_a_restart_adopts(gateway: Running) -> None:
    def asked() -> str:
        command = [sys.executable, "-m", "enforcer.cli.upgrading", str(gateway.config)]
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
