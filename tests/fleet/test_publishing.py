"""Numbers go on above what there is, and no forged one takes them to their end; and what canaries
do not hold goes to nobody else.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from enforcer.fleet.etcd import Delete, Put
from enforcer.fleet.publishing import (
    MOST_STEP,
    Draft,
    next_number,
    promote,
    promote_after,
    publish,
)
from enforcer.fleet.revision import MOST_NUMBER
from enforcer.fleet.store import RefusedError, Signed, Store
from tests.feeds.feed_world import Signer
from tests.fleet.follower_world import HEADER, MAIN, NOW, ROW, Memory
from tests.fleet.test_reports import REPORT
from tests.fleet.test_revision import REVISION


@pytest.fixture
def store() -> Store:
    """Two canaries that hold revision 7, of which the first one falls silent; and a stable one."""
    made = Store(Memory(), "national")  # type: ignore[arg-type]
    made.client.commit([Put(made.key("revisions", f"{7:012}"), Signed("{}", "").stored())])
    for name in ("c1", "c2"):
        made.report(replace(REPORT, gateway=name, track="canary"), 1)
    made.report(REPORT, 1)
    return made


def silence(store: Store, name: str) -> None:
    """As when its lease ends."""
    store.client.commit([Delete(store.key("gateways", name))])


def test_where_all_canaries_hold_it_it_goes_to_all(store: Store) -> None:
    silence(store, "edge-1")
    promote(store, 7)
    assert store.head("stable")[0] == 7, "a silent one of another track is no canary"


def test_a_canary_that_died_keeps_it_from_the_others(store: Store) -> None:
    silence(store, "c1")
    with pytest.raises(RefusedError) as refused:
        promote(store, 7)
    assert str(refused.value) == (
        "c1 is of track canary and does not report; bring it back or, if it is gone for good, run: "
        "enforcer fleet forget c1; mend it, or give it to all with --force"
    )
    assert store.head("stable")[0] == 0
    with pytest.raises(RefusedError, match="c1 is of track canary and does not report"):
        promote_after(store, 7, 0.0)
    assert store.head("stable")[0] == 0
    store.forget("c1")
    promote(store, 7)
    assert store.head("stable")[0] == 7


def test_it_may_be_forced_or_the_canary_come_back_on_another_track(store: Store) -> None:
    silence(store, "c1")
    promote(store, 7, force=True)
    assert store.head("stable")[0] == 7
    store.set_head("stable", 1)
    store.report(replace(REPORT, gateway="c1", track="stable"), 1)
    silence(store, "c1")
    promote(store, 7)
    assert store.head("stable")[0] == 7


def test_without_any_canary_there_is_nothing_to_go_by(store: Store) -> None:
    for name in ("c1", "c2"):
        silence(store, name)
        store.forget(name)
    with pytest.raises(RefusedError, match="no gateway of track canary reports"):
        promote(store, 7)


def test_a_track_that_is_none_is_nobodys(store: Store) -> None:
    store.client.commit([Put(store.key("roster", "odd"), b"\xff\x1b[2J")])
    assert store.roster() == {"c1": "canary", "c2": "canary", "edge-1": "stable", "odd": ""}


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


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ("{0},mission,,,\n", "it would remove 1 of 2 of mission, more than shrink_limit 20%, from"),
        (
            "{0},mission,,,esp\n",
            (
                "it would remove, or take services from, 2 of 2 of mission (1 removed, 1 "
                "narrowed), more than shrink_limit 20%, on"
            ),
        ),
    ],
)
def test_a_registry_that_loses_much_is_published_by_its_token_alone(after: str, told: str) -> None:
    first = ROW.decode().partition(",mission")[0]
    signer, fleet = Signer(), Store(Memory(), "national")  # type: ignore[arg-type]

    def published(rows: str, token: str = "") -> str:
        files = {"enforcer.yaml": MAIN, "registry.csv": HEADER + rows.encode()}
        draft = Draft("enforcer.yaml", files, "noc", "", ("stable",), accepts_shrink=token)
        done = publish(
            fleet,
            draft,
            (signer.public,),
            NOW,
            lambda text, said: signer.sign(text.encode(), said).decode(),
        )
        return done.revision.accepts_shrink

    assert published(f"{first},mission,,,\nR-2,198.51.101.0/24,mission,,,\n") == ""
    with pytest.raises(RefusedError) as refused:
        published(after.format(first))
    said, _, token = str(refused.value).rpartition(" ")
    assert said == (
        f"{told} every gateway; check the registry files or, if it is meant, add: --accept-shrink"
    )
    assert published(after.format(first), token).startswith(token)
