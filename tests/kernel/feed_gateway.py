"""A gateway with a feed, its registrar on loopback, and the registrar's key: all of them real."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from enforcer.kernel.namespace import in_namespace
from enforcer.policy.keys import PublicKey
from tests.cli.cli_worlds import MAIN
from tests.feeds.feed_world import Authority, Registrar, csv, registrar
from tests.kernel.daemon_process import PATIENCE_S, Gateway


class World:
    """A gateway, a registrar on its loopback, and the registrar's key."""

    def __init__(self, gateway: Gateway, server: Registrar, authority: Authority) -> None:
        self.gateway, self.server, self.authority = gateway, server, authority
        self.folder = gateway.folder
        self.file = self.folder / "feeds" / "registrar.csv"
        self.minisign("-G", "-W", "-p", "k.pub", "-s", "k.key")
        self.key = PublicKey.parse((self.folder / "k.pub").read_text())
        self.write()

    def minisign(self, *words: str) -> None:
        command = ("minisign", *words)
        subprocess.run(
            command, cwd=self.folder, check=True, capture_output=True, timeout=PATIENCE_S
        )

    def write(self, urls: Iterable[str] = (), more: str = "", timeout: str = "5s") -> None:
        listed = ", ".join(f"'{url}'" for url in urls or [self.server.url("/r.csv")])
        source = (
            "{file: feeds/registrar.csv, feed: {name: registrar, "
            f"urls: [{listed}], public_keys: ['{self.key}'], timeout: {timeout}, "
            f"tls: {{ca: {self.authority.ca}}}{more}}}}}"
        )
        main = MAIN.replace("{file: registry.csv}", source).replace("90%", "20%")
        self.gateway.write(main=main)

    def publish(self, body: bytes, serial: int, served: bytes | None = None) -> None:
        """Signed by the real minisign; `served` is what the server gives instead."""
        (self.folder / "r.csv").write_bytes(body)
        comment = f"serial:{serial} by a test"
        self.minisign("-S", "-s", "k.key", "-m", "r.csv", "-t", comment)
        signature = (self.folder / "r.csv.minisig").read_bytes()
        etag = f'"{serial}-{len(served or body)}"'
        self.server.serve("/r.csv", served or body, signature, ETag=etag)

    def fetch(self, *more: str) -> dict[str, Any]:
        """What `fetch --once` says, with its exit code."""
        done = self.gateway.run("fetch", "--once", *more, "--format", "json")
        assert done.stdout, done.stderr
        (told,) = json.loads(done.stdout)["feeds"]
        return {**told, "code": done.returncode}

    def holds(self, address: str) -> bool:
        """Whether the kernel itself has this address registered."""
        listed = self.gateway.inside("nft", "list", "table", "inet", "enforcer")
        return f"{address} :" in listed

    def begin(self, rows: int = 100) -> subprocess.Popen[bytes]:
        """A first body, and a daemon that has it."""
        self.publish(csv(rows, "freelancer"), 1)
        assert self.fetch()["code"] == 0
        return self.gateway.start()


@contextmanager
def made_world(gateway: Gateway) -> Iterator[World]:
    authority = Authority(gateway.folder / "tls")
    files = authority.make("server")
    with ExitStack() as opened:
        with in_namespace(gateway.namespace):
            server = opened.enter_context(registrar(*files))
        yield World(gateway, server, authority)
