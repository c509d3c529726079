"""A fleet for one follower: etcd is a dictionary, the daemon a function, the disk is real."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from enforcer.control import NoDaemonError
from enforcer.fleet.answers import Found, KeyValue
from enforcer.fleet.etcd import Delete, Put, Unchanged
from enforcer.fleet.follower import Follower
from enforcer.fleet.reports import Report
from enforcer.fleet.revision import Revision
from enforcer.fleet.settings import read_settings
from enforcer.fleet.spool import Spool
from enforcer.fleet.store import Signed, Store
from enforcer.sources.load import load_configuration
from tests.feeds.feed_world import Signer

MAIN = b"""version: 1
gateway: {name: template, uplinks: [lo]}
categories: [mission]
registry: {sources: [{file: registry.csv}]}
"""
HEADER = b"id,prefix,category,valid_from,valid_until,services\n"
ROW = b"R-1,198.51.100.0/24,mission,,,\n"
NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)


class Memory:
    """What a client of etcd does, without one. Watches end at once when `watches` is empty."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.watched = 0

    def get(self, key: str) -> tuple[int, KeyValue | None]:
        value = self.held.get(key)
        return 1, KeyValue(key, value, 1) if value is not None else None

    def under(self, prefix: str, *, newest: int = 0, keys_only: bool = False) -> Found:
        keys = sorted(key for key in self.held if key.startswith(prefix))
        return Found(1, tuple(KeyValue(key, self.held[key], 1) for key in keys))

    def many(self, keys: Sequence[str]) -> dict[str, bytes]:
        return {key: self.held[key] for key in keys if key in self.held}

    def present(self, keys: Sequence[str]) -> set[str]:
        return self.held.keys() & set(keys)

    def commit(
        self, operations: Sequence[Put | Delete], conditions: Sequence[Unchanged] = ()
    ) -> bool:
        for operation in operations:
            if isinstance(operation, Put):
                self.held[operation.key] = operation.value
            else:
                self.held.pop(operation.key, None)
        return True

    def grant(self, seconds: int) -> int:
        return 7

    def keep_alive(self, lease: int) -> bool:
        return True

    def watch(self, prefix: str, after: int, silence_s: float) -> Iterator[int]:
        self.watched += 1
        yield from ()


class World:
    """`daemon` is what a reload is answered: an answer, or an exception; `loaded` what the daemon
    read then. A daemon that answers holds it.
    """

    def __init__(self, folder: Path) -> None:
        self.signer = Signer()
        self.spool = Spool(folder)
        self.etcd = Memory()
        self.store = Store(self.etcd, "national")  # type: ignore[arg-type]
        self.daemon: Mapping[str, Any] | BaseException = {"error": None, "refused": False}
        self.status: dict[str, Any] = {"armed": [], "config": {"error": None}, "problem": None}
        self.asked = 0
        self.loaded: bytes | None = None
        self.follower = self.begun()

    def begun(self) -> Follower:
        """A follower as it is right after its start."""
        text = (
            "version: 1\ngateway: {name: edge-1, uplinks: [lo], require_synchronised_clock: false}"
            "\nfleet:\n  name: national\n  etcd: {endpoints: ['http://127.0.0.1:2379']}\n"
            f"  public_keys: ['{self.signer.public}']\n"
        )
        settings = read_settings("gateway.yaml", text.encode(), follows=True)
        return Follower(settings, self.spool, self.store, self.ask, self.check, lambda: NOW)

    def ask(self, verb: str, **_: Any) -> Mapping[str, Any]:
        if verb == "status":
            if isinstance(self.daemon, NoDaemonError):
                raise self.daemon
            return self.status
        self.asked += 1
        if isinstance(self.daemon, BaseException):
            raise self.daemon
        if not self.daemon["refused"]:
            self.loaded = (self.spool.main / "registry.csv").read_bytes()
        return self.daemon

    @staticmethod
    def check(main: Path) -> None:
        load_configuration(main)

    def publish(self, number: int, registry: bytes = HEADER + ROW) -> None:
        files = {"enforcer.yaml": MAIN, "registry.csv": registry}
        roots, _ = self.store.upload(files)
        made = Revision("national", number, NOW, "noc", "", "enforcer.yaml", roots).text()
        signature = self.signer.sign(made.encode(), f"serial:{number} enforcer national").decode()
        place = self.store.key("revisions", f"{number:012}")
        self.etcd.held[place] = Signed(made, signature).stored()
        self.head(str(number).encode())

    def head(self, text: bytes) -> None:
        self.etcd.held[self.store.key("head", "stable")] = text

    def due(self) -> None:
        """The pause is over."""
        self.follower._again_at = 0.0

    def report(self) -> Report:
        found = self.store.reports()["edge-1"]
        assert found is not None
        return found

    @property
    def on_disk(self) -> bytes:
        return (self.spool.main / "registry.csv").read_bytes()
