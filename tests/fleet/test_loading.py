"""Only the daemon's answer counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from enforcer.control import HungDaemonError, NoDaemonError, TurnedAwayError
from enforcer.errors import PolicyError, Problem
from enforcer.fleet.loading import Taken, UnansweredError, load
from enforcer.fleet.store import RefusedError

MAIN = Path("/x/enforcer.yaml")


def answered(answer: Mapping[str, Any] | Exception, check_fails: bool = False) -> Taken:
    def ask(verb: str, **more: Any) -> Mapping[str, Any]:
        assert (verb, more["accept_shrink"]) == ("reload", "0123abcd")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def check(main: Path) -> None:
        if check_fails:
            raise PolicyError([Problem(str(main), 0, 0, "", "no; yes")])

    return load(ask, check, MAIN, "0123abcd")


def none_runs(cause: Exception) -> NoDaemonError:
    error = NoDaemonError("nobody")
    error.__cause__ = cause
    return error


def test_what_is_taken_may_have_another_trouble() -> None:
    assert answered({"error": None, "refused": False}) == Taken(None, asked=True)
    troubled = answered({"error": "commit: no room", "refused": False})
    assert troubled == Taken("commit: no room", asked=True)


def test_what_is_refused_is_refused() -> None:
    with pytest.raises(RefusedError, match="no; yes"):
        answered({"error": "w.yaml:1:1: no; yes", "refused": True})


@pytest.mark.parametrize("cause", [FileNotFoundError(), ConnectionRefusedError()])
def test_without_a_daemon_the_files_are_looked_at_here(cause: Exception) -> None:
    assert answered(none_runs(cause)) == Taken("nobody", asked=False)
    with pytest.raises(PolicyError):
        answered(none_runs(cause), check_fails=True)


@pytest.mark.parametrize(
    "error", [TurnedAwayError("a"), HungDaemonError("b"), NoDaemonError("c"), none_runs(OSError())]
)
def test_a_daemon_that_does_not_say_is_no_daemon_that_holds(error: Exception) -> None:
    with pytest.raises(UnansweredError):
        answered(error)
