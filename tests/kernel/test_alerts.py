"""Each alert fires when it has to and keeps quiet when it has not: by promtool, on made series."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.kernel.daemon_process import PATIENCE_S
from tests.observe.test_metrics import CONTRACT

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).parent.parent.parent
RULES = ROOT / "config" / "prometheus" / "rules.yml"
GUIDE = ROOT / "docs" / "operator-guide.md"
WHERE = {"job": "enforcer", "instance": "gw1"}


@dataclass(frozen=True)
class Case:
    """Series of promtool's notation, a minute apart, by metric and further labels. `at`: when the
    alert fires; just before it does not, and never while the series are `quiet`. `value` is what
    `$value` becomes in the texts.
    """

    fires: Mapping[str, str]
    quiet: Mapping[str, str]
    at: str
    before: str
    labels: Mapping[str, str] = field(default_factory=dict)
    value: str = ""


# A counter that is at 5 and gets one more in the third minute; one that stays.
ONE_MORE, STILL = "5 5 5 6x20", "5x20"
# The daemon answers for a minute and is gone; and one that stays.
GONE, STAYS = "1 1 0x20", "1x20"

CASES: dict[str, Case] = {
    "EnforcerDown": Case({"up": GONE}, {"up": "1 1 0x4 1x20"}, "7m", "6m"),
    "EnforcerDownInWindow": Case(
        {"up": GONE, "enforcer_armed_until_timestamp_seconds": "600 600 _x20"},
        # A window that was closed before; and one that has ended meanwhile.
        {"up": GONE, "enforcer_armed_until_timestamp_seconds": "600 0 _x20"},
        "3m",
        "2m",
    ),
    "EnforcerHung": Case(
        {"enforcer_last_step_timestamp_seconds": "0 60 60x20"},
        {"enforcer_last_step_timestamp_seconds": "0+60x20"},
        "4m",
        "3m",
        value="3m 0s",
    ),
    "EnforcerPromiseViolation": Case(
        {"enforcer_promise_violations_total": ONE_MORE},
        {"enforcer_promise_violations_total": STILL},
        "3m",
        "2m",
    ),
    "EnforcerWindowOverrun": Case(
        {
            'enforcer_window_end_timestamp_seconds{window="ddos"}': "60x20",
            'enforcer_window_active{window="ddos"}': "1x20",
        },
        # The end is behind it and it is no longer armed.
        {
            'enforcer_window_end_timestamp_seconds{window="ddos"}': "60x20",
            'enforcer_window_active{window="ddos"}': "1 0x20",
        },
        "3m",
        "2m",
        {"window": "ddos"},
        "2m 0s",
    ),
    "EnforcerKernelMismatch": Case(
        {"enforcer_kernel_mismatches_total": ONE_MORE},
        {"enforcer_kernel_mismatches_total": STILL},
        "3m",
        "2m",
    ),
    "EnforcerWindowWaiting": Case(
        {"enforcer_windows_waiting": "0 2x20"},
        {"enforcer_windows_waiting": "0 2 0x20"},
        "2m",
        "1m",
        value="2",
    ),
    "EnforcerNotInForce": Case(
        {'enforcer_apply_total{result="failed"}': "0 0 3 6 9 12 15x20"},
        # Two failures that the next attempt made good, and any number of successes.
        {
            'enforcer_apply_total{result="failed"}': "0 0 1 2x20",
            'enforcer_apply_total{result="changed"}': "0+9x20",
        },
        "4m",
        "2m",
        {"result": "failed"},
    ),
    "EnforcerContested": Case(
        {"enforcer_contested": "0 1x20"}, {"enforcer_contested": "0x20"}, "1m", "0m"
    ),
    "EnforcerDriftRepeated": Case(
        {"enforcer_drift_repairs_total": "0 2 4x20"},
        {"enforcer_drift_repairs_total": "0 2 3x20"},
        "2m",
        "1m",
    ),
    "EnforcerReloadFailing": Case(
        {"enforcer_config_last_reload_success": "1 0x20"},
        {"enforcer_config_last_reload_success": "1 0x4 1x20"},
        "6m",
        "5m",
    ),
    "EnforcerShrinkRefused": Case(
        {"enforcer_registry_shrink_refused": "0 1x20"},
        {"enforcer_registry_shrink_refused": "0 1 0x20"},
        "2m",
        "1m",
    ),
    "EnforcerDayRefused": Case(
        {"enforcer_registry_day_refused": "0 1x20"},
        {"enforcer_registry_day_refused": "0 1 0x20"},
        "2m",
        "1m",
    ),
    "EnforcerFeedStale": Case(
        {'enforcer_feed_last_success_timestamp_seconds{feed="a.csv"}': "-604700x20"},
        {'enforcer_feed_last_success_timestamp_seconds{feed="a.csv"}': "-603000x20"},
        "17m",
        "16m",
        {"feed": "a.csv"},
        "7d 0h 15m 20s",
    ),
    "EnforcerFeedLate": Case(
        {
            'enforcer_feed_last_success_timestamp_seconds{feed="registrar"}': "-3500x40",
            'enforcer_feed_interval_seconds{feed="registrar"}': "900x40",
        },
        {
            'enforcer_feed_last_success_timestamp_seconds{feed="registrar"}': "-3500x10 600x30",
            'enforcer_feed_interval_seconds{feed="registrar"}': "900x40",
        },
        "17m",
        "16m",
        {"feed": "registrar"},
        "1h 15m 20s",
    ),
    "EnforcerLastGoodNotKept": Case(
        {"enforcer_last_good_success": "1 0x20"},
        {"enforcer_last_good_success": "1 0x14 1x20"},
        "16m",
        "15m",
    ),
    "EnforcerClockUnsynchronised": Case(
        {"enforcer_clock_synchronised": "1 0x20"},
        {"enforcer_clock_synchronised": "1 0x9 1x20"},
        "11m",
        "10m",
    ),
    "EnforcerUplinkMissing": Case(
        {'enforcer_uplink_present{uplink="wan0"}': "1 0x20"},
        {'enforcer_uplink_present{uplink="wan0"}': "1 0 0 1x20"},
        "3m",
        "2m",
        {"uplink": "wan0"},
    ),
    "EnforcerLinkMissing": Case(
        {'enforcer_link_present{link="wan"}': "1 0x20"},
        {'enforcer_link_present{link="wan"}': "1 0 0 1x20"},
        "3m",
        "2m",
        {"link": "wan"},
    ),
    "EnforcerAuditFailing": Case(
        {"enforcer_audit_waiting_records": "0 1x20"},
        {
            "enforcer_audit_waiting_records": "0 1 1 1 0x20",
            "enforcer_audit_write_failures_total": STILL,
        },
        "6m",
        "5m",
    ),
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def told(rule: Mapping[str, Any], case: Case) -> dict[str, str]:
    """The annotations as they are sent."""
    values = {**WHERE, **case.labels}

    def fill(match: re.Match[str]) -> str:
        name = match[1].split("|")[0].strip()
        return case.value if name == "$value" else values[name.removeprefix("$labels.")]

    return {k: re.sub(r"\{\{ (.*?) \}\}", fill, text) for k, text in rule["annotations"].items()}


def series(found: Mapping[str, str]) -> list[dict[str, str]]:
    where = ",".join(f'{k}="{v}"' for k, v in WHERE.items())
    written = []
    for name, values in found.items():
        bare, _, labels = name.rstrip("}").partition("{")
        both = f"{where},{labels}" if labels else where
        written.append({"series": f"{bare}{{{both}}}", "values": values})
    return written


def sent(rule: Mapping[str, Any], case: Case) -> list[dict[str, Any]]:
    labels = {**rule["labels"], **WHERE, **case.labels}
    return [{"exp_labels": labels, "exp_annotations": told(rule, case)}]


def promtool(*arguments: str) -> str:
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules_and_the_example() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(RULES))
    assert "SUCCESS" in promtool("check", "config", str(RULES.with_name("prometheus.yml")))


def test_every_alert_fires_when_it_has_to_and_at_no_other_time(tmp_path: Path) -> None:
    assert sorted(rule["alert"] for rule in rules()) == sorted(CASES)
    tests = []
    for rule in rules():
        name, case = rule["alert"], CASES[rule["alert"]]
        at = [(case.before, []), (case.at, sent(rule, case))]
        tests.append({
            "name": f"{name} fires",
            "interval": "1m",
            "input_series": series(case.fires),
            "alert_rule_test": [
                {"eval_time": when, "alertname": name, "exp_alerts": alerts} for when, alerts in at
            ],
        })  # fmt: skip
        tests.append({
            "name": f"{name} keeps quiet",
            "interval": "1m",
            "input_series": series(case.quiet),
            "alert_rule_test": [
                {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": []}
                for minute in range(20)
            ],
        })  # fmt: skip
    file = tmp_path / "rules_test.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(RULES)], "tests": tests}))
    assert "SUCCESS" in promtool("test", "rules", str(file))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_the_matter_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
    file, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (ROOT / file, anchor) == (GUIDE, rule["alert"].lower())
    chapters = re.findall(r"^#+ (.+)$", GUIDE.read_text(), re.MULTILINE)
    assert chapters.count(rule["alert"]) == 1


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    asked = set(re.findall(r"enforcer_\w+", rule["expr"]))
    assert asked <= set(CONTRACT)
    assert asked or rule["alert"] == "EnforcerDown"
