"""The files that the lab writes for the daemon are those of an operator."""

from __future__ import annotations

from datetime import UTC, datetime

from enforcer.lab import gateway, witness
from enforcer.lab.gateway import Span
from enforcer.lab.registry import generate
from enforcer.lab.topology import ESTATE_PREFIXES, LIFELINE, UPLINK
from enforcer.policy.model import Gateway, Guard, Mark, Metrics, Once, Reserve
from enforcer.sources.files import load_policy

NOON = int(datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC).timestamp())


def test_windows_are_declared_in_whole_seconds_and_in_order():
    assert gateway.spans(NOON - 0.7, 20_000) == (
        Span("lab-1", NOON + 8, NOON + 18),
        Span("lab-2", NOON + 22, NOON + 34),
    )


def test_a_larger_registry_gets_a_longer_lead():
    first, _ = gateway.spans(NOON, 1_000_000)
    assert first.starts_at == NOON + 28


def test_a_window_has_all_three_measures_and_its_times_in_utc():
    assert gateway.windows_text((Span("lab-1", NOON, NOON + 10),)) == (
        "- id: lab-1\n"
        "  reason: rehearsal in the lab\n"
        "  declared_by: lab@isp.example\n"
        "  reference: LAB-1\n"
        '  start: "2026-12-01T12:00:00"\n'
        '  end: "2026-12-01T12:00:10"\n'
        "  timezone: UTC\n"
        "  measures:\n"
        "    guard: {estate: concentrators}\n"
        "    mark: {fwmark: 0x51, dscp: cs5}\n"
        "    reserve: {link: wan, share: 40%}\n"
    )


def test_the_labs_own_end_point_is_appended_to_the_generated_registry():
    generated = generate(50, 2)
    text = gateway.registry_text(generated)
    assert text.startswith(generated)
    assert text[len(generated) :] == (
        b"LAB-1,198.51.100.0/28,software-house,,,\nLAB-1,2001:db8:100::/56,software-house,,,\n"
    )


def test_the_files_stand_where_the_configuration_looks_for_them(tmp_path):
    declared = gateway.spans(NOON, 50)
    config = gateway.write_files(tmp_path, b"registry", declared)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "etc",
        "etc/enforcer.yaml",
        "etc/registry.csv",
        "etc/windows.d",
        "etc/windows.d/lab.yaml",
        "run",
        "state",
    ]
    assert config.read_text() == gateway.config_text()
    assert gateway.environment(tmp_path) == {
        "ENFORCER_STATE_DIR": f"{tmp_path}/state",
        "ENFORCER_RUN_DIR": f"{tmp_path}/run",
    }


def test_the_policy_room_accepts_what_the_lab_declares(tmp_path):
    declared = gateway.spans(NOON, 50)
    config = gateway.write_files(tmp_path, gateway.registry_text(generate(50, 2)), declared)
    policy, registry = load_policy(config)
    assert list(registry) == ["registry.csv"]
    assert (policy.gateway, policy.metrics) == (
        Gateway("lab", (UPLINK,), 600, require_synchronised_clock=False),
        Metrics(*witness.METRICS),
    )
    assert [(window.id, window.form, window.measures) for window in policy.windows] == [
        (
            span.window,
            Once(at(span.starts_at), at(span.ends_at)),
            (Guard("concentrators"), Mark(0x51, witness.CS5), Reserve("wan", 0.4)),
        )
        for span in declared
    ]


def at(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


def test_every_prefix_that_the_lab_counts_on_is_in_its_configuration():
    text = gateway.config_text()
    for prefix in (*ESTATE_PREFIXES, f"{LIFELINE.ipv4}/32", f"{LIFELINE.ipv6}/128"):
        assert prefix in text
