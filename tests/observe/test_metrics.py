"""What a scrape says, word for word, for a given snapshot and given totals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from enforcer import __version__
from enforcer.errors import KernelError
from enforcer.observe.metrics import Metrics
from enforcer.observe.snapshot import FeedLook, Snapshot
from enforcer.policy.model import Gateway, Link, Once, Policy, RegistrySpec, Window
from enforcer.ruleset.measures import CounterName

LOADED = datetime(2026, 12, 1, 6, tzinfo=UTC)
OPENS, CLOSES = LOADED + timedelta(hours=2), LOADED + timedelta(hours=4)


def window(name: str) -> Window:
    return Window(name, "r", "d", "f", Once(OPENS, CLOSES), UTC, "UTC")


SNAPSHOT = Snapshot(
    policy=Policy(
        Gateway("edge-1", ("wan0",)),
        ("software-house", "freelancer"),
        RegistrySpec(("registry.csv", "feeds/r.csv", "feeds/o.csv")),
        links=(Link("wan", "wan0", 10**9),),
        windows=(window("ddos"), window("exam")),
    ),
    config_error=None,
    loaded_at=LOADED,
    reloaded_at=LOADED,
    armed=("ddos",),
    waiting_for_clock=(),
    coming=(),
    edges=(("ddos", CLOSES), ("exam", OPENS)),
    prefixes=((4, "software-house", 12), (6, "freelancer", 3)),
    elements=((4, 512), (6, 3)),
    clock_synchronised=True,
    drift_repairs=2,
    promise_violations=0,
    problem=None,
    missing_devices=(),
    drift_kinds=(("table", 2), ("rules", 0)),
    stepped_at=OPENS,
    ends=(("ddos", CLOSES),),
    fetched=(
        FeedLook(
            "registrar",
            "feeds/r.csv",
            900,
            OPENS,
            counts=(("unchanged", 9), ("refused", 2)),
            problem="has serial 41",
        ),
        FeedLook("other", "feeds/o.csv", 3600),
    ),
)
TOTALS = {
    CounterName("guard", "ddos", "held_back", 4, "unregistered"): (7, 700),
    CounterName("mark", "ddos", "marked", 6, "freelancer"): (3, 300),
}

# Every name of the contract with its labels; `le` is the histogram's own.
CONTRACT: dict[str, set[str]] = {
    "enforcer_build_info": {"version"},
    "enforcer_config_last_reload_success": set(),
    "enforcer_config_last_reload_timestamp_seconds": set(),
    "enforcer_prefixes": {"family", "category"},
    "enforcer_set_elements": {"family"},
    "enforcer_feed_last_success_timestamp_seconds": {"feed"},
    "enforcer_feed_interval_seconds": {"feed"},
    "enforcer_feed_last_fetch_success": {"feed"},
    "enforcer_feed_fetches_total": {"feed", "result"},
    "enforcer_registry_shrink_refused": set(),
    "enforcer_registry_day_refused": set(),
    "enforcer_last_good_success": set(),
    "enforcer_last_good_timestamp_seconds": set(),
    "enforcer_window_active": {"window"},
    "enforcer_window_next_transition_timestamp_seconds": {"window"},
    "enforcer_window_end_timestamp_seconds": {"window"},
    "enforcer_armed_until_timestamp_seconds": set(),
    "enforcer_windows_waiting": set(),
    "enforcer_last_step_timestamp_seconds": set(),
    "enforcer_uplink_present": {"uplink"},
    "enforcer_link_present": {"link"},
    "enforcer_packets_total": {"window", "measure", "verdict", "family", "category"},
    "enforcer_bytes_total": {"window", "measure", "verdict", "family", "category"},
    "enforcer_apply_duration_seconds_bucket": {"le"},
    "enforcer_apply_duration_seconds_count": set(),
    "enforcer_apply_duration_seconds_sum": set(),
    "enforcer_apply_total": {"result"},
    "enforcer_drift_repairs_total": set(),
    "enforcer_drift_total": {"kind"},
    "enforcer_contested": set(),
    "enforcer_promise_violations_total": set(),
    "enforcer_kernel_mismatches_total": set(),
    "enforcer_samples_total": set(),
    "enforcer_samples_lost_total": set(),
    "enforcer_clock_synchronised": set(),
    "enforcer_audit_records_total": set(),
    "enforcer_audit_newest_info": {"digest"},
    "enforcer_audit_waiting_records": set(),
    "enforcer_audit_write_failures_total": set(),
}
# Those that are there when a feed is declared.
OF_FEEDS = {
    "enforcer_feed_fetches_total",
    "enforcer_feed_interval_seconds",
    "enforcer_feed_last_fetch_success",
}


def scrape(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def samples(text: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert found.setdefault(sample.name, set(sample.labels)) == set(sample.labels)
    return found


def values(text: str) -> dict[str, float]:
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {key: float(value) for key, _, value in (line.rpartition(" ") for line in lines)}


def test_a_scrape_is_word_for_word_this(golden: Callable[[str, str], None]) -> None:
    metrics = Metrics(lambda: SNAPSHOT, lambda: TOTALS)
    metrics.applies.labels("changed").inc()
    metrics.apply_seconds.observe(0.25)
    golden("metrics.txt", scrape(metrics).replace(__version__, "VERSION"))


def test_every_metric_of_the_contract_is_there_with_its_labels() -> None:
    assert samples(scrape(Metrics(lambda: SNAPSHOT, lambda: TOTALS))) == CONTRACT


def test_a_reload_that_was_refused_is_zero() -> None:
    refused = replace(SNAPSHOT, config_error="enforcer.yaml:2: no")
    assert (
        values(scrape(Metrics(lambda: refused, dict)))["enforcer_config_last_reload_success"] == 0
    )


def test_nothing_is_told_before_there_is_a_snapshot() -> None:
    told = samples(scrape(Metrics(lambda: None, lambda: TOTALS)))
    assert "enforcer_build_info" not in told
    assert "enforcer_packets_total" not in told


def test_counters_that_cannot_be_read_are_absent_and_the_rest_is_there() -> None:
    def unreadable() -> dict[CounterName, tuple[int, int]]:
        raise KernelError("counters", 1, "not permitted")

    told = samples(scrape(Metrics(lambda: SNAPSHOT, unreadable)))
    absent = {"enforcer_packets_total", "enforcer_bytes_total"}
    assert told == {name: labels for name, labels in CONTRACT.items() if name not in absent}


@pytest.mark.parametrize("name", ["ddos", "exam"])
def test_each_window_tells_its_own_next_edge(name: str) -> None:
    told = values(scrape(Metrics(lambda: SNAPSHOT, dict)))
    edge = dict(SNAPSHOT.edges)[name].timestamp()
    assert told[f'enforcer_window_next_transition_timestamp_seconds{{window="{name}"}}'] == edge
    assert told[f'enforcer_window_active{{window="{name}"}}'] == (name == "ddos")


def test_devices_that_are_away_are_zero() -> None:
    gateway = Gateway("edge-1", ("wan0", "wan1"))
    links = (Link("wan", "wan1", 10**9), Link("lan", "lan0", 10**9))
    policy = replace(SNAPSHOT.policy, gateway=gateway, links=links)
    away = replace(SNAPSHOT, policy=policy, missing_devices=("wan1",))
    told = values(scrape(Metrics(lambda: away, dict)))
    assert {key: value for key, value in told.items() if "_present" in key} == {
        'enforcer_uplink_present{uplink="wan0"}': 1,
        'enforcer_uplink_present{uplink="wan1"}': 0,
        'enforcer_link_present{link="wan"}': 0,
        'enforcer_link_present{link="lan"}': 1,
    }


def test_until_when_is_told_also_when_nothing_is_armed() -> None:
    later = CLOSES + timedelta(hours=1)
    both = replace(SNAPSHOT, ends=(("ddos", CLOSES), ("exam", later)))
    none = replace(SNAPSHOT, armed=(), ends=())
    name = "enforcer_armed_until_timestamp_seconds"
    assert values(scrape(Metrics(lambda: both, dict)))[name] == later.timestamp()
    told = values(scrape(Metrics(lambda: none, dict)))
    assert told[name] == 0
    assert not [key for key in told if key.startswith("enforcer_window_end_")]
