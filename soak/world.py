"""The network of the soak, in namespaces of its own: peers on both sides of a gateway, and beside
the gateway a second way without any rules, for the control streams.

    out --wan0--> gw    --lan0--> in        (the daemon runs in gw)
    out --------> plain --------> in

In: nothing. Out: namespaces with addresses, routes and fixed neighbours (no packet waits for a
neighbour to be found). A context manager; nothing of it stays.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack

from enforcer.lab.machine import command
from enforcer.lab.namespace import Namespace
from enforcer.lab.topology import FORWARDING, PLAIN
from soak import streams as s

_OUTSIDE = (s.REGISTERED4, s.REGISTERED6, s.STRANGER4, s.TRANSIT4, s.TRANSIT6, s.CONTROL_OUT)
_INSIDE = (s.ESTATE4, s.ESTATE6, s.SUBSCRIBER4, s.SUBSCRIBER6, s.CONTROL_IN)
_CONTROL = (s.CONTROL_OUT, s.CONTROL_IN)
# (router, its device, peer, the peer's device, number of the link).
_WIRES = (
    ("gw", "wan0", "out", "eth0", 1),
    ("gw", "lan0", "in", "eth0", 2),
    ("plain", "out0", "out", "eth1", 3),
    ("plain", "in0", "in", "eth1", 4),
)


class World:
    def __init__(self) -> None:
        tag = f"enforcer-soak-{os.getpid()}"
        self.out, self.gw, self.inner, self.plain = (
            Namespace(role, f"{tag}-{role}") for role in ("out", "gw", "in", "plain")
        )
        self._made = ExitStack()

    def __enter__(self) -> World:
        with ExitStack() as made:
            for place in self._places():
                command("ip", "netns", "add", place.name)
                made.callback(_delete, place.name)
                place.sysctl(FORWARDING | PLAIN)
                place.ip("link set lo up")
            self._wire()
            self._address(self.out, _OUTSIDE)
            self._address(self.inner, _INSIDE)
            self._made = made.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._made.close()

    def _places(self) -> tuple[Namespace, ...]:
        return self.out, self.gw, self.inner, self.plain

    def _of(self, role: str) -> Namespace:
        return next(place for place in self._places() if place.role == role)

    def _wire(self) -> None:
        for router, device, peer, far, number in _WIRES:
            macs = f"02:00:00:00:{number:02x}:01", f"02:00:00:00:{number:02x}:02"
            self._of(router).ip(
                f"link add {device} address {macs[0]} type veth"
                f" peer name {far} address {macs[1]} netns {self._of(peer).name}"
            )
            for role, name, host, mac in (
                (router, device, 1, macs[1]),
                (peer, far, 2, macs[0]),
            ):
                self._of(role).ip(
                    f"addr add 172.29.{number}.{host}/24 dev {name}",
                    f"addr add fd00:{number}::{host}/64 dev {name} nodad",
                    f"link set {name} up",
                    f"neigh replace 172.29.{number}.{3 - host} lladdr {mac} dev {name}",
                    f"neigh replace fd00:{number}::{3 - host} lladdr {mac} dev {name}",
                )
        for router, _, peer, _, number in _WIRES:
            near = _OUTSIDE if peer == "out" else _INSIDE
            far_side = _INSIDE if peer == "out" else _OUTSIDE
            beside = router == "plain"
            self._of(router).ip(
                *(_route(a, number, 2) for a in near if (a in _CONTROL) == beside),
            )
            self._of(peer).ip(
                *(_route(a, number, 1) for a in far_side if (a in _CONTROL) == beside),
            )

    def _address(self, place: Namespace, addresses: tuple[str, ...]) -> None:
        place.ip(
            *(
                f"addr add {a}/128 dev lo nodad" if ":" in a else f"addr add {a}/32 dev lo"
                for a in addresses
            )
        )


def _route(address: str, number: int, host: int) -> str:
    if ":" in address:
        return f"route add {address}/128 via fd00:{number}::{host}"
    return f"route add {address}/32 via 172.29.{number}.{host}"


def _delete(name: str) -> None:
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, timeout=20, check=False)
