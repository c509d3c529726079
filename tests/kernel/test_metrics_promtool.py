"""What the daemon serves, as Prometheus reads it."""

from __future__ import annotations

import subprocess
import threading

import pytest

from tests.kernel.daemon_process import PATIENCE_S, Gateway, knock
from tests.observe.test_metrics import CONTRACT, OF_FEEDS, samples

pytestmark = pytest.mark.kernel


def test_promtool_has_nothing_to_say_and_the_contract_is_whole(gateway: Gateway) -> None:
    gateway.start()
    knock(gateway.namespace)
    text = gateway.scrape()
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # No feed is declared here.
    assert samples(text) == {name: CONTRACT[name] for name in CONTRACT.keys() - OF_FEEDS}
    assert "_created" not in text


def test_scrapes_at_the_same_time_do_not_disturb_each_other(gateway: Gateway) -> None:
    """All threads of the metrics server ask the kernel on one socket."""
    gateway.start()
    knock(gateway.namespace)
    counts: list[int] = []

    def scrape() -> None:
        for _ in range(10):
            counts.append(gateway.scrape().count("enforcer_packets_total{"))

    threads = [threading.Thread(target=scrape) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(counts) == 80
    assert len(set(counts)) == 1
    assert counts[0] > 0
