"""A daemon in a world of values: a clock that tests turn, a fake kernel, files in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from enforcer.daemon import Daemon
from enforcer.errors import PromiseError
from enforcer.kernel.fake import FakeKernel
from enforcer.observe.totals import Totals
from enforcer.policy.registry import parse_registry
from enforcer.ruleset import promises
from enforcer.ruleset.compiler import epoch_ns
from enforcer.schedule.load import load
from enforcer.schedule.orders import Orders
from enforcer.sources.files import ZONES
from enforcer.sources.load import Configuration

OPENS = datetime(2026, 12, 1, 8, tzinfo=UTC)
CLOSES = datetime(2026, 12, 1, 20, tzinfo=UTC)
BEFORE, INSIDE, AFTER = OPENS - timedelta(hours=1), OPENS + timedelta(hours=1), CLOSES
LEASE = timedelta(minutes=10)

MAIN = """
version: 1
gateway: {name: edge-1, uplinks: [wan0], lease: 10m, require_synchronised_clock: %s}
categories: [software-house, freelancer]
registry: {sources: [{file: registry.csv}], shrink_limit: 20%%}
lifelines: [192.0.2.53/32]
estates:
  concentrators: {prefixes: [203.0.113.0/28], services: [udp/51820, tcp/443]}
links:
  wan: {device: wan0, rate: 1gbit}
"""
WINDOWS = """
- id: ddos
  reason: attack
  declared_by: noc@isp.example
  reference: NOC-1
  start: "2026-12-01T08:00:00Z"
  end: "2026-12-01T20:00:00Z"
  measures:
    guard: {estate: concentrators}
    mark: {fwmark: 0x51}
    reserve: {link: wan, share: 40%}
"""
HEADER = "id,prefix,category,valid_from,valid_until,services\n"
REGISTRY = HEADER + "".join(f"R-{i},198.51.100.{i}/32,software-house,,,\n" for i in range(10))


MADE_UP = "promise 3: made up by this test"


def break_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every ruleset with a window on breaks `MADE_UP`."""
    check = promises.check

    def broken(ruleset: object, policy: object, activations: object, tables: object) -> None:
        if activations:
            raise PromiseError([MADE_UP])
        check(ruleset, policy, activations, tables)  # type: ignore[arg-type]

    monkeypatch.setattr(promises, "check", broken)


class TurnedClock:
    """Stands still until a test turns it."""

    def __init__(self, now: datetime) -> None:
        self.at, self.right = now, True
        self._set_by = timedelta()

    def set_by(self, by: timedelta) -> None:
        """Somebody sets it, which moves no timer of the kernel."""
        self.at += by
        self._set_by += by

    def now(self) -> datetime:
        return self.at

    def now_ns(self) -> int:
        return epoch_ns(self.at)

    def monotonic_ns(self) -> int:
        return epoch_ns(self.at - self._set_by)

    def synchronised(self) -> bool:
        return self.right


class World:
    """Files that tests rewrite, and the daemon that reads them."""

    def __init__(self, now: datetime = BEFORE, *, require_clock: bool = False) -> None:
        self.main = MAIN % str(require_clock).lower()
        self.windows, self.registry = WINDOWS, REGISTRY
        self.clock = TurnedClock(now)
        self.kernel = FakeKernel(self.clock.monotonic_ns, ["lo", "wan0", "lan0"])
        self.daemon = self.start()

    def configuration(self, orders: Orders = Orders()) -> Configuration:  # noqa: B008 - a value
        documents = {
            "enforcer.yaml": self.main.encode(),
            "windows.d/w.yaml": self.windows.encode(),
        }
        policy = load(documents, "enforcer.yaml", ZONES, orders=orders)
        return Configuration(
            policy, parse_registry("registry.csv", self.registry.encode(), policy.categories)
        )

    def start(self, orders: Orders = Orders()) -> Daemon:  # noqa: B008 - a value
        """A fresh daemon over the same kernel, as after a crash."""
        totals = Totals(self.kernel.counters)
        self.daemon = Daemon(self.configuration, self.kernel, self.clock, totals, orders)
        return self.daemon

    def step_at(self, now: datetime) -> Daemon:
        self.clock.at = now
        self.outcome = self.daemon.step()
        return self.daemon

    def hooked(self) -> set[str]:
        """The base chains in the kernel."""
        return {name for name, c in self.kernel.read().chains.items() if c.hook}

    def armed(self) -> set[str]:
        """The windows that the kernel itself still arms."""
        sets = self.kernel.read().sets
        return {
            n.removeprefix("armed.") for n, s in sets.items() if s.kind == "armed" and s.elements
        }
