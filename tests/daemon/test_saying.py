"""What the journal hears of steps: once for as long as it lasts, and again when it comes again."""

from __future__ import annotations

import pytest

from enforcer.errors import KernelError
from enforcer.reconcile import Outcome
from enforcer.ruleset.transaction import AddCounter
from enforcer.ruleset.vocabulary import Ruleset
from enforcer.saying import Saying

ERROR = KernelError("read", 4, "interrupted")
WELL = Outcome("unchanged", Ruleset(), None)
FAILED = Outcome("failed", Ruleset(), None, error=ERROR)
WAITS = Outcome("unchanged", Ruleset(), None, waiting=("daily",))
CHANGED = Outcome("changed", Ruleset(), None, (AddCounter("a"),), waiting=("daily",))


def heard(
    caplog: pytest.LogCaptureFixture, *outcomes: Outcome, cause: str = "timer", known: bool = True
) -> list[str]:
    saying = Saying()
    caplog.clear()
    for outcome in outcomes:
        saying.step(cause, outcome, 0.1, orders_known=known)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    ("outcome", "event"), [(FAILED, "apply_failed"), (WAITS, "clock_unsynchronised")]
)
def test_what_lasts_is_said_once_and_what_comes_again_is_said_again(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, event: str
) -> None:
    assert heard(caplog, outcome, outcome, outcome) == [event]
    assert heard(caplog, outcome, WELL, outcome, outcome) == [event, event]


def test_a_step_that_fails_in_between_makes_no_news_of_who_waits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert heard(caplog, WAITS, FAILED, FAILED, WAITS, FAILED) == [
        "clock_unsynchronised",
        "apply_failed",
        "apply_failed",
    ]


def test_why_windows_wait_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert heard(caplog, WAITS, known=False) == ["orders_unreadable"]


def test_a_window_that_goes_on_waiting_is_no_news_behind_a_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    assert heard(caplog, WAITS, CHANGED, WAITS) == ["clock_unsynchronised", "applied"]


def test_what_ends_the_start_is_said_by_whoever_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    assert heard(caplog, FAILED, cause="start") == []
