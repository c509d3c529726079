"""The soak's short form: the long one is `make soak`. Here is also shown that it would notice."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from soak.__main__ import SHORT
from soak.judge import NOTHING, OURS, Fault, judge
from soak.report import markdown
from soak.run import received, sending, soak
from soak.streams import REGISTERED4
from soak.world import World

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.alone,
    pytest.mark.not_emulated("thousands of faults against the clock"),
]


@pytest.fixture(autouse=True)
def root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")


def test_no_registered_packet_is_lost_by_us() -> None:
    before = set(Path("/run/netns").iterdir())
    result = soak(SHORT, print)
    said = markdown(result)
    assert result.problems == [], said
    assert result.sound, said
    done = {row.name: row for row in result.rows}
    kills = sum(row.count for name, row in done.items() if name.startswith("kill -9"))
    # A busy machine does not come to all of them in its time, and says so.
    assert kills == SHORT.kills or (kills and result.notes), said
    assert {"window ends, daemon dead", "window ends"} <= set(done), said
    assert any(name.startswith("foreign flush: ") for name in done), said
    assert all(row.registered for name, row in done.items() if row.seconds > 0.1), said
    ours = {place for place in Path("/run/netns").iterdir() if f"-{os.getpid()}-" in place.name}
    assert ours <= before, "namespaces are left behind"


def test_a_rule_that_drops_registered_packets_is_noticed(tmp_path: Path) -> None:
    """By a table that is not the daemon's, for a fifth of a second, at no fault."""
    with World() as world, sending(world, tmp_path) as process:
        time.sleep(0.5)
        begin_ns = time.monotonic_ns()
        world.gw.run("nft", "add table ip bad")
        world.gw.run("nft", "add chain ip bad in { type filter hook prerouting priority 0; }")
        world.gw.run("nft", "add", "rule", "ip", "bad", "in", "ip", "saddr", REGISTERED4, "drop")
        time.sleep(0.2)
        world.gw.run("nft", "delete table ip bad")
        end_ns = time.monotonic_ns()
        time.sleep(0.5)
        later = Fault("later", time.monotonic_ns(), time.monotonic_ns())
        traffic = received(process, tmp_path)
    rows = {row.name: row for row in judge(traffic, [later])}
    assert rows[NOTHING].lost("registered", OURS) > 10
    assert rows["later"].lost("registered", OURS) == 0
    for sent in traffic.streams:
        assert all(begin_ns < at_ns < end_ns for at_ns in sent.lost_ns)
        assert not len(sent.lost_ns) or sent.stream.source == REGISTERED4
