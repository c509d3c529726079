"""The real Prometheus beside the daemon: the example configuration, alerts and dashboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from enforcer.kernel.namespace import in_namespace
from tests.kernel.conftest import made_namespace
from tests.kernel.daemon_process import Gateway, eventually, knock
from tests.kernel.slowness import patient
from tests.kernel.test_alerts import rules
from tests.observe.test_metrics import CONTRACT, OF_FEEDS

pytestmark = pytest.mark.kernel

CONFIG = Path(__file__).parent.parent.parent / "config"
DASHBOARD = json.loads((CONFIG / "grafana" / "enforcer.json").read_text())
KNOCKS = 5
# What Grafana puts in: every gateway and window, and ranges that hold two scrapes of this test's.
VARIABLES = {
    "$instance": ".*",
    "$window": ".*",
    "$__rate_interval": "5s",
}


class Prometheus:
    """As the example has it, but that it scrapes every second; in the namespace of the daemon."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self._gateway = gateway
        shutil.copytree(CONFIG / "prometheus", folder)
        main = folder / "prometheus.yml"
        text = main.read_text()
        assert text.count("interval: 15s") == 2
        main.write_text(text.replace("interval: 15s", "interval: 1s"))
        command = [
            *("ip", "netns", "exec", gateway.namespace, "prometheus"),
            f"--config.file={main}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:9090",
        ]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer; fails when it is no success."""
        url = f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with (
            in_namespace(self._gateway.namespace),
            urllib.request.urlopen(url, timeout=patient(20)) as said,
        ):
            answer = json.loads(said.read())
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        try:
            found = self.ask("query", query=expression)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from error
        return list(found["result"])

    def value(self, expression: str) -> float | None:
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def up(self) -> bool:
        """Not yet while it does not answer, or answers 503 because it opens its storage."""
        try:
            found = self.ask("query", query='up{job="enforcer"}')["result"]
        except OSError:
            return False
        return [one["value"][1] for one in found] == ["1"]

    def close(self) -> None:
        self._process.kill()
        self._process.wait(patient(20))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with made_namespace() as namespace:
        made = Gateway(namespace, tmp_path_factory.mktemp("gateway"))
        try:
            made.start()
            eventually(made.armed, "the window opens")
            for _ in range(KNOCKS):
                knock(namespace)
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def prometheus(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    made = Prometheus(gateway, tmp_path_factory.mktemp("prometheus") / "prometheus")
    try:
        eventually(made.up, "Prometheus has scraped the daemon")
        yield made
    finally:
        made.close()


def test_the_daemon_is_a_target_that_is_up(prometheus: Prometheus) -> None:
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["labels"]["job"], target["health"], target["lastError"]) == (
        "enforcer",
        "up",
        "",
    )
    assert target["scrapeUrl"] == "http://127.0.0.1:9435/metrics"


def test_the_alerts_are_loaded_and_none_of_them_fails(prometheus: Prometheus) -> None:
    def loaded() -> list[dict[str, Any]]:
        (group,) = prometheus.ask("rules")["groups"]
        evaluated = all(rule["health"] != "unknown" for rule in group["rules"])
        return list(group["rules"]) if evaluated else []

    found = eventually(loaded, "every rule was evaluated")
    assert [rule["name"] for rule in found] == [rule["alert"] for rule in rules()]
    assert {rule["name"]: rule.get("lastError") for rule in found if rule["health"] != "ok"} == {}


def test_what_the_daemon_counts_is_what_prometheus_has(
    prometheus: Prometheus, gateway: Gateway
) -> None:
    held_back = 'sum(enforcer_packets_total{window="ddos",measure="guard",verdict="held_back"})'
    eventually(lambda: prometheus.value(held_back) == KNOCKS, "what was held back is counted")
    assert prometheus.value('enforcer_window_active{window="ddos"}') == 1
    assert prometheus.value('enforcer_uplink_present{uplink="wan0"}') == 1
    (window,) = gateway.status()["windows"]
    ends_at = datetime.fromisoformat(window["ends_at"]).timestamp()
    assert prometheus.value('enforcer_window_end_timestamp_seconds{window="ddos"}') == ends_at
    assert prometheus.value("enforcer_armed_until_timestamp_seconds") == ends_at
    # No feed is declared here (`test_feeds` has some).
    assert {name for name in CONTRACT if not prometheus.query(name)} == OF_FEEDS


# --- the dashboard --------------------------------------------------------------------------------


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Each expression, by the title of its panel and its letter."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in panels()
        for target in panel["targets"]
    }
    for note in DASHBOARD["annotations"]["list"]:
        found[note["name"]] = note["expr"]
    return found


def filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


# True only for a moment: as a window opens or closes.
RARE = {"Windows open and close"}


def test_every_panel_shows_something(prometheus: Prometheus) -> None:
    wanted = {title: filled(text) for title, text in expressions().items() if title not in RARE}

    def empty() -> list[str]:
        return [title for title, text in wanted.items() if not prometheus.query(text)]

    # Rates need two scrapes.
    eventually(lambda: not empty(), "every panel has data")
    for title in RARE:
        prometheus.query(filled(expressions()[title]))


def test_the_variables_find_the_gateway_and_its_windows(prometheus: Prometheus) -> None:
    asked = [v["definition"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"]
    found = []
    for definition in asked:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", definition)
        assert match is not None
        series = prometheus.query(filled(match[1]))
        found.append(sorted({one["metric"][match[2]] for one in series}))
    assert found == [["127.0.0.1:9435"], ["ddos"]]


def test_the_dashboard_asks_for_metrics_that_there_are_at_a_prometheus_of_choice() -> None:
    asked = {name for text in expressions().values() for name in re.findall(r"enforcer_\w+", text)}
    assert asked <= set(CONTRACT)
    # What a night watch wants is in it: every metric but these.
    assert set(CONTRACT) - asked == OF_FEEDS | {
        "enforcer_apply_duration_seconds_count",
        "enforcer_apply_duration_seconds_sum",
        "enforcer_audit_newest_info",
        "enforcer_config_last_reload_timestamp_seconds",
        "enforcer_drift_repairs_total",
        "enforcer_last_good_success",
        "enforcer_last_good_timestamp_seconds",
        "enforcer_registry_day_refused",
        "enforcer_registry_shrink_refused",
        "enforcer_window_end_timestamp_seconds",
    }
    sources = re.findall(r'"uid": "([^"]+)"', json.dumps(DASHBOARD))
    assert set(sources) == {"${datasource}", "enforcer"}
    assert sources.count("enforcer") == 1


def test_panels_have_places_of_their_own_and_say_what_they_show() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                 for y in range(at["y"], at["y"] + at["h"])}  # fmt: skip
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or len(panel["description"]) > 10
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


# --- an alert, from the kill to Prometheus --------------------------------------------------------


def test_a_daemon_killed_in_a_window_raises_the_alert(
    prometheus: Prometheus, gateway: Gateway
) -> None:
    """The last one: it ends the daemon. Pending, for it has a minute to come back."""
    pending = 'ALERTS{alertname="EnforcerDownInWindow",alertstate="pending",severity="critical"}'
    assert prometheus.query(pending) == []
    for process in gateway.processes:
        process.kill()
        process.wait(patient(20))
    eventually(lambda: prometheus.query(pending), "the alert is pending")
