"""Captures as files, pcap and pcapng, plain and gzip, replayed as the command does."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from enforcer.cli.replaying import Taken, replay
from enforcer.policy.model import Policy
from enforcer.policy.registry import Registry, parse_registry
from enforcer.ruleset.moments import Moments
from enforcer.schedule.load import load
from enforcer.schedule.orders import Orders
from enforcer.sources.capture import open_capture
from enforcer.sources.files import ZONES
from fuzz.scratch import scratch
from fuzz.targets import MAIN, ROWS, WINDOWS

_AT = datetime(2026, 12, 1, 9, tzinfo=UTC)
_DEVICES = frozenset({"wan0"})


@cache
def _declared() -> tuple[Policy, Registry]:
    policy = load({"enforcer.yaml": MAIN, "windows.d/w.yaml": WINDOWS}, "enforcer.yaml", ZONES)
    return policy, parse_registry("r.csv", ROWS.format("call-centre").encode(), policy.categories)


def capture(data: bytes) -> None:
    """Every packet is told of once, judged or not, at its own time and at a given one."""
    policy, registry = _declared()
    path = scratch("capture") / "x.pcap"
    path.write_bytes(data)
    for at in (None, _AT):
        opened = open_capture(str(path))
        try:
            outcome = replay(
                opened,
                Moments(policy, Orders(), registry, at),
                Taken(),
                _DEVICES,
                None,
                own_times=at is None,
                progress=lambda _read, _packets: None,
            )
        finally:
            opened.close()
        assert opened.input.count <= len(data)
        assert outcome.error is None or "\n" not in outcome.error
        assert 0 <= outcome.held_back[0] <= outcome.judged[0] <= outcome.packets
        assert outcome.judged[0] + outcome.timeless <= outcome.packets
        assert sum(packets for packets, _ in outcome.tallies.values()) >= outcome.held_back[0]
