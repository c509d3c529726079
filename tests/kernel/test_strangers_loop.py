"""Another program that undoes every repair: the daemon gives in, says so, and comes back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from enforcer.contest import BURST
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually

pytestmark = pytest.mark.kernel

ALL_HOOKS = {"prerouting", "postrouting"}
FLUSHES = 30


def cpu_ns(pid: int) -> int:
    """What the daemon's one thread has used of a core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def repairs(gateway: Gateway) -> int:
    return int(gateway.metrics()["enforcer_drift_repairs_total"])


def in_force(gateway: Gateway) -> bool:
    return gateway.hooks() == ALL_HOOKS and gateway.armed() and gateway.shaped()


@pytest.mark.parametrize("flush", ["flush ruleset", "flush map inet enforcer MAP"])
def test_a_flush_loop_is_given_in_to_and_told_and_outlived(gateway: Gateway, flush: str) -> None:
    process = gateway.start()
    flush = flush.replace("MAP", gateway.map_name())
    began = cpu_ns(process.pid)
    for number in (1, 2):
        gateway.inside("nft", *flush.split())
        eventually(lambda: repairs(gateway) == number, "a single flush is put right")  # noqa: B023
    eventually(lambda: in_force(gateway))
    each_ns = (cpu_ns(process.pid) - began) / 2
    began = cpu_ns(process.pid)
    loop = subprocess.Popen(
        ["ip", "netns", "exec", gateway.namespace, "sh", "-c",
         f"for i in $(seq {FLUSHES}); do nft {flush} 2>&-; sleep 0.1; done"],
    )  # fmt: skip
    try:
        eventually(lambda: "error contested by=nft pid=" in gateway.said(), "it gives in")
        assert gateway.hooks() == set(), "nobody is held back meanwhile"
        assert not gateway.armed()
        told = gateway.status()
        assert told["contested"]
        assert told["armed"] == []
        assert "keeps changing table inet enforcer" in told["problem"]
        assert gateway.metrics()["enforcer_contested"] == 1
    finally:
        loop.wait(PATIENCE_S)
    used_ns = cpu_ns(process.pid) - began
    assert repairs(gateway) < 2 + FLUSHES / 2
    assert used_ns < FLUSHES / 2 * each_ns, "by far less than a repair for each flush"
    eventually(lambda: in_force(gateway), "it comes back once the loop is over")
    # The kernel has it before metrics and log tell of it.
    eventually(lambda: gateway.metrics()["enforcer_contested"] == 0)
    eventually(lambda: "info contest_over" in gateway.said())
    record = (gateway.state_dir / "audit.jsonl").read_text().splitlines()
    told_of = [json.loads(line) for line in record]
    whats = [each["what"] for each in told_of]
    # What is repeated within a minute is one record that says how often, a minute later.
    assert 1 <= whats.count("repaired") <= BURST
    assert {"stood_down", "stood_up"} <= set(whats)
    assert next(each for each in told_of if each["what"] == "ended")["why"] == "stood_down"
    assert next(each for each in told_of if each["what"] == "repaired")["by"].startswith("nft (")
