"""A fleet for a test: a real etcd in a namespace of its own, and gateways in theirs, joined by a
bridge. Each gateway has the real daemon and the real follower.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from enforcer.clock import SystemClock
from enforcer.fleet.etcd import Client
from enforcer.fleet.settings import Etcd
from enforcer.fleet.store import Store
from enforcer.kernel.namespace import in_namespace
from enforcer.policy.keys import PublicKey
from tests.cli.cli_worlds import window_text
from tests.kernel.certificates import Authority
from tests.kernel.conftest import made_namespace
from tests.kernel.daemon_process import PATIENCE_S, eventually

FLEET = "national"
HUB = "10.77.0.1"
PORT = 2379

SHARED = """\
version: 1
gateway: {name: template, uplinks: [wan0]}
categories: [mission, freelancer]
registry:
  sources: [{file: registry.csv}]
estates:
  mail: {prefixes: [203.0.113.0/28], services: [udp/51820]}
"""
LINKS = "links: {wan: {device: wan0, rate: 1gbit}}\n"
HEADER = "id,prefix,category,valid_from,valid_until,services\n"
_numbers = itertools.count()


def rows(count: int) -> str:
    """So many registered /32s, from 10.0.0.0 on every second one, so that none are joined."""
    return HEADER + "".join(
        f"R-{i},10.{i >> 15}.{i >> 7 & 255}.{2 * i & 255}/32,mission,,,\n" for i in range(count)
    )


def ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True, timeout=PATIENCE_S)


class Server:
    """etcd in a namespace with a bridge; `data` is its folder."""

    def __init__(
        self, namespace: str, folder: Path, data: Path, options: Sequence[str] = ()
    ) -> None:
        self.namespace, self.folder, self.options = namespace, folder, tuple(options)
        self.data = data
        self.log = folder / "etcd.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.scheme = "https" if "--cert-file" in " ".join(options) else "http"
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "link", "add", "hub", "type", "bridge")
        ip("-n", namespace, "addr", "add", f"{HUB}/16", "dev", "hub")
        ip("-n", namespace, "link", "set", "hub", "up")

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://{HUB}:{PORT}"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                (
                    *("ip", "netns", "exec", self.namespace, "etcd", "--name", "one"),
                    *("--data-dir", str(self.data), "--logger", "zap"),
                    *("--listen-client-urls", f"{self.endpoint},{self.scheme}://127.0.0.1:{PORT}"),
                    *("--advertise-client-urls", self.endpoint),
                    *("--listen-peer-urls", "http://127.0.0.1:2380", *self.options),
                ),
                stdout=log,
                stderr=log,
            )
        eventually(self._listens, "etcd listens")

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        done = subprocess.run(
            ("ip", "netns", "exec", self.namespace, "ss", "-Hltn", f"sport = :{PORT}"),
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return done.stdout.count(b"\n") >= 2

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
            self.process = None

    def restore(self, copy: Path) -> None:
        """Puts an older copy of etcd's data in place of what it has."""
        shutil.rmtree(self.data)
        shutil.copytree(copy, self.data)


class Member:
    """A gateway of the fleet."""

    def __init__(self, name: str, namespace: str, folder: Path, fleet: Fleet, track: str) -> None:
        self.name, self.namespace, self.folder, self.fleet = name, namespace, folder, fleet
        folder.mkdir()
        self.state, self.run_dir = folder / "state", folder / "run"
        self.state.mkdir()
        self.run_dir.mkdir()
        self.file = folder / "gateway.yaml"
        self.main = self.state / "fleet" / "current" / "enforcer.yaml"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.write(track)

    def write(self, track: str = "stable", more: str = "") -> None:
        self.file.write_text(
            f"version: 1\ngateway: {{name: {self.name}, uplinks: [wan0], "
            f"require_synchronised_clock: false}}\n{more}"
            f"fleet:\n  name: {FLEET}\n  track: {track}\n"
            f"  etcd: {{endpoints: ['{self.fleet.server.endpoint}']{self.fleet.etcd_more}}}\n"
            f"  public_keys: ['{self.fleet.key}']\n"
        )
        self.file.chmod(0o600)

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("NOTIFY_SOCKET", "JOURNAL_STREAM")}
        places = {"ENFORCER_RUN_DIR": str(self.run_dir), "ENFORCER_STATE_DIR": str(self.state)}
        return kept | places

    def spawn(self, *words: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """`enforcer WORDS`; `before` is put in front of it (`setpriv …`)."""
        return self.spawn_any(words[0], *before, sys.executable, "-m", "enforcer", *words)

    def spawn_any(self, verb: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{verb}.log").open("ab") as log:
            process = subprocess.Popen(
                ("ip", "netns", "exec", self.namespace, *command),
                stdout=log,
                stderr=log,
                env=self.environment(),
            )
        self.processes.append(process)
        return process

    def follow(self, *before: str) -> subprocess.Popen[bytes]:
        return self.spawn("follow", "--fleet", str(self.file), before=before)

    def start(self) -> subprocess.Popen[bytes]:
        """The daemon, once the follower has put a configuration there."""
        eventually(self.main.exists, f"{self.name} has a revision: {self.said('follow')}")
        process = self.spawn("run", "--config", str(self.main))
        socket = self.run_dir / "control.sock"

        def listens() -> bool:
            assert process.poll() is None, self.said("run")
            return socket.exists()

        eventually(listens, "the daemon listens")
        return process

    def said(self, verb: str) -> str:
        log = self.folder / f"{verb}.log"
        return log.read_text() if log.exists() else ""

    def holds(self, prefix: str) -> bool:
        """Whether the kernel itself has this address registered."""
        return f"{prefix} :" in self.inside("nft", "list", "table", "inet", "enforcer")

    def armed(self) -> bool:
        """Whether the kernel itself arms the window `ddos`."""
        return "elements" in self.inside("nft", "list", "set", "inet", "enforcer", "armed.ddos")

    def inside(self, *command: str) -> str:
        done = subprocess.run(
            ("ip", "netns", "exec", self.namespace, *command),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return done.stdout

    def connections(self) -> set[int]:
        """The ports of this gateway that are connected to etcd."""
        told = self.inside("ss", "-Htn", "state", "established", "dst", f"{HUB}:{PORT}")
        return {int(line.split()[2].rpartition(":")[2]) for line in told.splitlines()}

    def cut(self, *ports: int) -> None:
        """Packets of these connections, or of all to and from etcd, are lost and nobody is told."""
        mine = f"tcp %s {{ {', '.join(map(str, ports))} }}" if ports else "tcp %s 2379"
        out, back = ("sport", "dport") if ports else ("dport", "sport")
        self.inside(
            "nft",
            "table inet cut { "
            f"chain out {{ type filter hook output priority 0; {mine % out} drop; }}; "
            f"chain back {{ type filter hook input priority 0; {mine % back} drop; }}; }}",
        )
        assert "drop" in self.inside("nft", "list", "table", "inet", "cut")

    def mend(self) -> None:
        self.inside("nft", "delete", "table", "inet", "cut")

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE_S)


class Fleet:
    """`published` is the folder of the configuration that is published."""

    def __init__(self, server: Server, folder: Path, opened: ExitStack) -> None:
        self.server, self.folder, self._opened = server, folder, opened
        self.etcd_more = ""
        self.members: list[Member] = []
        self.published = folder / "published"
        self.published.mkdir(mode=0o755)
        (self.published / "windows.d").mkdir()
        (self.published / "enforcer.yaml").write_text(SHARED)
        (self.published / "registry.csv").write_text(rows(200))
        self.secret = folder / "secret.key"
        command = ("minisign", "-G", "-W", "-p", str(folder / "k.pub"), "-s", str(self.secret))
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
        self.key = PublicKey.parse((folder / "k.pub").read_text())
        self.file = folder / "fleet.yaml"

    def write(self) -> None:
        self.file.write_text(
            f"version: 1\nfleet:\n  name: {FLEET}\n"
            f"  etcd: {{endpoints: ['{self.server.endpoint}']{self.etcd_more}}}\n"
            f"  public_keys: ['{self.key}']\n"
        )

    def member(self, name: str, track: str = "stable") -> Member:
        namespace = self._opened.enter_context(made_namespace())
        number = len(self.members) + 2
        wire = f"to{next(_numbers)}"
        ip(
            *("-n", namespace, "link", "add", "fab0", "type", "veth"),
            *("peer", "name", wire, "netns", self.server.namespace),
        )
        ip("-n", self.server.namespace, "link", "set", wire, "master", "hub", "up")
        ip("-n", namespace, "addr", "add", f"10.77.0.{number}/16", "dev", "fab0")
        ip("-n", namespace, "link", "set", "fab0", "up")
        made = Member(name, namespace, self.folder / name, self, track)
        self._opened.callback(made.close)
        self.members.append(made)
        return made

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of the people who run the fleet, beside etcd."""
        self.write()
        return subprocess.run(
            (
                *("ip", "netns", "exec", self.server.namespace, sys.executable, "-m", "enforcer"),
                *("--config", str(self.published / "enforcer.yaml"), *words),
                *("--fleet", str(self.file)),
            ),
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def publish(self, *more: str) -> str:
        done = self.command("publish", "--key", str(self.secret), *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def store(self) -> Iterator[Store]:
        with in_namespace(self.server.namespace):
            client = Client(Etcd((self.server.endpoint,)))
            try:
                yield Store(client, FLEET)
            finally:
                client.close()

    def begin(self, *gateways: Member) -> list[subprocess.Popen[bytes]]:
        """Publishes, and has the gateways follow until all hold it; their followers."""
        self.publish()
        followers = [gateway.follow() for gateway in gateways]
        for gateway in gateways:
            gateway.start()
        eventually(self.converged, "all hold the first revision")
        return followers

    def add_row(self, prefix: str) -> None:
        registry = self.published / "registry.csv"
        registry.write_text(registry.read_text() + f"R-{prefix},{prefix},mission,,,\n")

    def add_links(self) -> None:
        main = self.published / "enforcer.yaml"
        main.write_text(main.read_text() + LINKS)

    def window(self, measures: str, starts_s: float = 86400, ends_s: float = 93600) -> datetime:
        """The window `ddos`, tomorrow unless told otherwise; when it ends."""
        now = SystemClock().now().replace(microsecond=0)
        start, end = now + timedelta(seconds=starts_s), now + timedelta(seconds=ends_s)
        text = window_text("ddos", start, end, more=measures)
        only = text.replace("    guard: {estate: concentrators}\n", "")
        (self.published / "windows.d" / "w.yaml").write_text(only)
        return end

    def row(self, gateway: str) -> dict[str, Any]:
        """What `enforcer fleet` tells of a gateway."""
        told = json.loads(self.command("fleet", "--format", "json").stdout or '{"gateways": []}')
        return next((dict(g) for g in told["gateways"] if g["gateway"] == gateway), {})

    def ctl(self, *words: str, tls: Path | None = None) -> None:
        """etcdctl, where there is TLS with the client's certificate."""
        files = (("cacert", "ca.pem"), ("cert", "client.pem"), ("key", "client.key"))
        secured = [f"--{option}={tls / name}" for option, name in files] if tls else []
        done = subprocess.run(
            (
                *("ip", "netns", "exec", self.server.namespace, "etcdctl"),
                *(f"--endpoints={self.server.endpoint}", *secured, *words),
            ),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
            env=os.environ | {"ETCDCTL_API": "3"},
        )
        assert done.returncode == 0, done.stderr

    def converged(self) -> bool:
        return self.command("fleet").returncode == 0


def stopped(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(number)
    return process.wait(PATIENCE_S)


@contextmanager
def made_fleet(
    folder: Path, options: Sequence[str] = (), *, in_memory: bool = True
) -> Iterator[Fleet]:
    """`in_memory`: etcd syncs to no disk, on which others may wait so long that it gives up."""
    shared = "/dev/shm" if in_memory and os.path.isdir("/dev/shm") else folder
    with ExitStack() as opened:
        data = opened.enter_context(TemporaryDirectory(prefix="etcd-", dir=shared))
        hub = f"enforcer-hub-{os.getpid()}-{next(_numbers)}-{time.monotonic_ns() % 1000}"
        ip("netns", "add", hub)
        opened.callback(ip, "netns", "delete", hub)
        server = Server(hub, folder, Path(data) / "etcd", options)
        opened.callback(server.kill)
        server.start()
        yield Fleet(server, folder, opened)


@contextmanager
def secured_fleet(folder: Path) -> Iterator[Fleet]:
    """With TLS, client certificates (in `folder/ca`) and a user of etcd (`folder/password`)."""
    authority = Authority(folder / "ca").make()
    authority.sign("server", f"IP:{HUB},IP:127.0.0.1")
    authority.sign("client", "DNS:edge-1", "/O=a gateway of a test")
    authority.sign("named", "DNS:edge-1")
    here = authority.folder
    options = (
        *(f"--cert-file={here}/server.pem", f"--key-file={here}/server.key"),
        *(f"--trusted-ca-file={here}/ca.pem", "--client-cert-auth"),
    )
    with made_fleet(folder, options) as fleet:
        password = folder / "password"
        password.write_text("correct horse\n")
        password.chmod(0o600)
        files = f"ca: {here}/ca.pem, certificate: {here}/client.pem, key: {here}/client.key"
        fleet.etcd_more = f", tls: {{{files}}}, user: enforcer, password_file: {password}"
        fleet.ctl("user", "add", "root:x", tls=here)
        fleet.ctl("user", "grant-role", "root", "root", tls=here)
        fleet.ctl("role", "add", "fleets", tls=here)
        below = ("--prefix=true", "readwrite", "/enforcer/")
        fleet.ctl("role", "grant-permission", "fleets", *below, tls=here)
        fleet.ctl("user", "add", "enforcer:correct horse", tls=here)
        fleet.ctl("user", "grant-role", "enforcer", "fleets", tls=here)
        fleet.ctl("auth", "enable", tls=here)
        yield fleet
