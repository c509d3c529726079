"""WireGuard end points from Debian's wireguard-go: real tunnels without the kernel's module.

In: places and keys. Out: devices that listen and dial, spoken to over their control socket (the
cross-platform protocol of https://www.wireguard.com/xplatform/). Device names are unique on the
machine, because that socket's directory belongs to no namespace.
"""

from __future__ import annotations

import base64
import socket
import time
from dataclasses import dataclass

from enforcer.lab import probes
from enforcer.lab.footprint import WIREGUARD_SOCKETS, Footprint
from enforcer.lab.machine import LabError, command
from enforcer.lab.namespace import Namespace
from enforcer.lab.topology import Dual
from enforcer.policy.prefix import Family

PORT = 51820
START_S = 5.0


@dataclass(frozen=True, slots=True)
class Peer:
    """What a device knows of the other side; keys are hexadecimal."""

    public: str
    allowed: str
    endpoint: str | None = None


@dataclass(frozen=True, slots=True)
class Device:
    name: str
    place: Namespace
    public: str

    def configure(self, peer: Peer) -> None:
        """Forgets the peer and its session keys, then learns it anew: the next packet to it needs a
        new handshake."""
        lines = [f"public_key={peer.public}", "remove=true", f"public_key={peer.public}"]
        if peer.endpoint:
            lines.append(f"endpoint={peer.endpoint}")
        self._ask("set=1", *lines, f"allowed_ip={peer.allowed}")

    def handshake_with(self, public: str) -> bool:
        """True when a handshake with that peer was completed since it was configured."""
        peer = ""
        for line in self._ask("get=1"):
            key, _, value = line.partition("=")
            if key == "public_key":
                peer = value
            elif key == "last_handshake_time_sec" and peer == public:
                return value != "0"
        return False

    def _ask(self, *lines: str) -> list[str]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(START_S)
            control.connect(str(WIREGUARD_SOCKETS / f"{self.name}.sock"))
            control.sendall(("\n".join(lines) + "\n\n").encode())
            answer = b""
            while not answer.endswith(b"\n\n"):
                piece = control.recv(65536)
                if not piece:
                    break
                answer += piece
        said = answer.decode().split()
        if "errno=0" not in said:
            raise LabError(f"{self.name}: wireguard-go refused {lines[0]}: {said}; see its log")
        return said


def start(
    footprint: Footprint, place: Namespace, letter: str, *addresses: str, port: int = PORT
) -> Device:
    """Runs wireguard-go in the place and gives its device, up and listening on `port`."""
    private = command("wg", "genkey").strip()
    public = command("wg", "pubkey", text=private + "\n").strip()
    device = Device(footprint.device(letter), place, base64.b64decode(public).hex())
    child = footprint.spawn(
        place,
        ["wireguard-go", device.name],
        f"wireguard-{place.role}.log",
        {"WG_PROCESS_FOREGROUND": "1", "LOG_LEVEL": "error"},
    )
    deadline = time.monotonic() + START_S
    while not (WIREGUARD_SOCKETS / f"{device.name}.sock").exists():
        if child.poll() is not None or time.monotonic() > deadline:
            log = footprint.directory / f"wireguard-{place.role}.log"
            raise LabError(f"wireguard-go in {place.name} did not start; read {log}")
        time.sleep(0.01)
    device._ask("set=1", f"private_key={base64.b64decode(private).hex()}", f"listen_port={port}")
    place.ip(
        *(f"addr add {each} dev {device.name}" for each in addresses), f"link set {device.name} up"
    )
    return device


@dataclass(frozen=True, slots=True)
class Tunnel:
    """`near` dials `far`, known to the Internet as `address`; `inner` is the target inside."""

    near: Device
    far: Device
    address: Dual
    source: str
    inner: probes.Address

    def open_and_use(self, family: Family, timeout_s: float) -> None:
        """A new handshake over the family, then an echo over TCP inside. Raises OSError."""
        address = self.address.of(family)
        endpoint = f"[{address}]:{PORT}" if family == 6 else f"{address}:{PORT}"
        self.near.configure(Peer(self.far.public, f"{self.inner[0]}/32", endpoint))
        probes.tcp_echo(self.near.place, (self.source, 0), self.inner, timeout_s)
        if not self.near.handshake_with(self.far.public):
            raise OSError("an echo without a handshake")
