"""Numbers go on above what there is, and no forged one takes them to their end."""

from __future__ import annotations

from dataclasses import replace

from enforcer.fleet.publishing import MOST_STEP, next_number
from enforcer.fleet.revision import MOST_NUMBER
from tests.fleet.test_reports import REPORT
from tests.fleet.test_revision import REVISION


def test_they_go_on_above_what_there_is() -> None:
    assert next_number(None, [], []) == 1
    assert next_number(REVISION, [7, 6], []) == 8
    # What was signed with a key that is not known here any more, or stands in the way.
    assert next_number(REVISION, [9, 7], []) == 10


def test_and_above_what_gateways_hold_when_etcd_is_an_older_copy() -> None:
    held = replace(REPORT, revision=12)
    assert next_number(REVISION, [7], [held, None, replace(REPORT, revision=None)]) == 13
    assert next_number(None, [], [held]) == 13


def test_a_forged_number_does_not_count() -> None:
    forged = replace(REPORT, revision=MOST_NUMBER)
    assert next_number(REVISION, [MOST_NUMBER, 7], [forged, replace(REPORT, revision=9)]) == 10
    most = REVISION.number + MOST_STEP
    assert next_number(REVISION, [most], []) == most + 1
    assert next_number(REVISION, [most + 1], []) == REVISION.number + 1
