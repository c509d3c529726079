"""Everybody who sends and answers in the lab, and one round of all of it.

In: places. Out: a count for each row of traffic. One round takes a bounded number of attempts of
bounded time; the rows run side by side, the attempts of a row one after the other.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from enforcer.lab import probes, servers, wireguard
from enforcer.lab.footprint import Footprint
from enforcer.lab.heartbeat import Heart
from enforcer.lab.machine import LabError
from enforcer.lab.namespace import Namespace
from enforcer.lab.phases import Count
from enforcer.lab.topology import (
    CONCENTRATOR,
    ESTATE_CLIENT,
    LIFELINE,
    REGISTERED,
    SUBSCRIBER,
    UNREGISTERED,
    WEB,
    Dual,
    Places,
)
from enforcer.policy.prefix import FAMILIES, Family

ATTEMPTS = 5  # of each family
TIMEOUT_S = 0.4
# WireGuard ignores a second handshake of one peer within 20 ms (HandshakeInitationRate).
PAUSE_S = 0.05
SERVICE_TCP, SERVICE_UDP, HTTP, OTHER = 443, 4500, 80, 7007
VPN_OUT, VPN_OWN = "10.99.0", "10.98.0"

Attempt = Callable[[Family], None]


def start_servers(footprint: Footprint, places: Places, python: str) -> None:
    """Raises LabError when one of them does not listen in time."""
    both = (CONCENTRATOR.ipv4, CONCENTRATOR.ipv6)
    specs = {
        places.estate: [
            *(f"tcp:[{address}]:{SERVICE_TCP}" for address in both),
            *(f"udp:[{address}]:{SERVICE_UDP}" for address in both),
            f"tcp:[]:{OTHER}",
        ],
        places.internet: [f"http:[]:{HTTP}", f"udp:[{WEB.ipv4}]:{OTHER}"],
        places.subscriber: [f"http:[]:{HTTP}"],
        places.unregistered: [f"tcp:[]:{OTHER}"],
    }
    children = {
        place: footprint.spawn(
            place, [python, "-m", servers.__name__, *texts], f"servers-{place.role}.log"
        )
        for place, texts in specs.items()
    }
    deadline = time.monotonic() + 10
    for place, child in children.items():
        log = footprint.directory / f"servers-{place.role}.log"
        while servers.READY not in log.read_text().splitlines():
            if child.poll() is not None or time.monotonic() > deadline:
                last = (log.read_text().splitlines() or ["no word of it"])[-1]
                raise LabError(f"{log}: the servers of {place.name} did not start: {last}; retry")
            time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Tunnels:
    registered: wireguard.Tunnel
    unregistered: wireguard.Tunnel
    subscriber: wireguard.Tunnel


def start_tunnels(footprint: Footprint, places: Places) -> Tunnels:
    """The estate's concentrator, its two dialling peers, and a subscriber's own VPN to a server
    that is in no registry."""
    estate = wireguard.start(footprint, places.estate, "c", f"{VPN_OUT}.1/24")
    registered = wireguard.start(footprint, places.registered, "r", f"{VPN_OUT}.2/24")
    unregistered = wireguard.start(
        footprint, places.unregistered, "u", f"{VPN_OUT}.3/24", f"{VPN_OWN}.1/24"
    )
    subscriber = wireguard.start(footprint, places.subscriber, "s", f"{VPN_OWN}.2/24")
    estate.configure(wireguard.Peer(registered.public, f"{VPN_OUT}.2/32"))
    estate.configure(wireguard.Peer(unregistered.public, f"{VPN_OUT}.3/32"))
    unregistered.configure(wireguard.Peer(subscriber.public, f"{VPN_OWN}.2/32"))
    inside, own = (f"{VPN_OUT}.1", OTHER), (f"{VPN_OWN}.1", OTHER)
    return Tunnels(
        wireguard.Tunnel(registered, estate, CONCENTRATOR, f"{VPN_OUT}.2", inside),
        wireguard.Tunnel(unregistered, estate, CONCENTRATOR, f"{VPN_OUT}.3", inside),
        wireguard.Tunnel(subscriber, unregistered, UNREGISTERED, f"{VPN_OWN}.2", own),
    )


@dataclass(frozen=True, slots=True)
class Traffic:
    places: Places
    tunnels: Tunnels
    kept_open: dict[Family, socket.socket]

    def round(self) -> dict[str, Count]:
        """One round of every row. Keys are the ids of `phases.TRAFFIC`."""
        attempts = self._attempts()
        with ThreadPoolExecutor(len(attempts)) as pool:
            return dict(zip(attempts, pool.map(_repeat, attempts.values()), strict=True))

    def _attempts(self) -> dict[str, Attempt]:
        at, out = self.places, self.tunnels
        tcp, web = probes.tcp_echo, probes.http_get
        return {
            "registered-vpn": lambda f: out.registered.open_and_use(f, TIMEOUT_S),
            "unregistered-vpn": lambda f: out.unregistered.open_and_use(f, TIMEOUT_S),
            "unregistered-tcp": _over(
                tcp, at.unregistered, UNREGISTERED, CONCENTRATOR, SERVICE_TCP
            ),
            "lifeline": _over(tcp, at.internet, LIFELINE, CONCENTRATOR, SERVICE_TCP),
            "other-service": _over(tcp, at.unregistered, UNREGISTERED, CONCENTRATOR, OTHER),
            "estate-ping": lambda f: probes.ping(
                at.unregistered, UNREGISTERED.of(f), CONCENTRATOR.of(f), TIMEOUT_S
            ),
            "kept-open": lambda f: probes.echo_over(self.kept_open[f]),
            "estate-outward": _over(web, at.estate, ESTATE_CLIENT, WEB, HTTP, SERVICE_TCP),
            "web-out": _over(web, at.subscriber, SUBSCRIBER, WEB, HTTP),
            "web-in": _over(web, at.internet, WEB, SUBSCRIBER, HTTP),
            "unregistered-in": _over(web, at.unregistered, UNREGISTERED, SUBSCRIBER, HTTP),
            "subscriber-flow": _over(tcp, at.subscriber, SUBSCRIBER, UNREGISTERED, OTHER),
            "subscriber-vpn": lambda f: out.subscriber.open_and_use(f, TIMEOUT_S),
        }


def _over(
    probe: Callable[[Namespace, probes.Address, probes.Address, float], object],
    place: Namespace,
    source: Dual,
    target: Dual,
    port: int,
    source_port: int = probes.ANY_PORT,
) -> Attempt:
    def attempt(family: Family) -> None:
        probe(place, (source.of(family), source_port), (target.of(family), port), TIMEOUT_S)

    return attempt


def _repeat(attempt: Attempt) -> Count:
    """The families take turns, so that a short disturbance does not hit one of them alone."""
    got: dict[Family, int] = dict.fromkeys(FAMILIES, 0)
    note = ""
    for _ in range(ATTEMPTS):
        for family in FAMILIES:
            try:
                attempt(family)
                got[family] += 1
            except OSError as failure:
                note = f"IPv{family}: {failure}"
            time.sleep(PAUSE_S)
    by_family = tuple((family, count, ATTEMPTS) for family, count in got.items())
    return Count(sum(got.values()), ATTEMPTS * len(FAMILIES), by_family, note)


@contextmanager
def traffic(places: Places, tunnels: Tunnels) -> Iterator[Traffic]:
    """Opens the connections that must live through every window."""
    with ExitStack() as stack:
        kept = {
            family: stack.enter_context(
                contextlib.closing(
                    probes.connect(
                        places.unregistered,
                        (UNREGISTERED.of(family), 0),
                        (CONCENTRATOR.of(family), SERVICE_TCP),
                        5.0,
                    )
                )
            )
            for family in FAMILIES
        }
        for stream in kept.values():
            stream.settimeout(TIMEOUT_S)
        yield Traffic(places, tunnels, kept)


@dataclass(frozen=True, slots=True)
class Hearts:
    """The steady beats: what may fall silent is `unregistered`, by family; the rest never."""

    unregistered: dict[Family, Heart]
    registered: Heart
    transit: Heart


@contextmanager
def hearts(places: Places) -> Iterator[Hearts]:
    with ExitStack() as stack:

        def beat(place: Namespace, source: str, target: str, port: int) -> Heart:
            return stack.enter_context(Heart(place, (source, 0), (target, port)))

        yield Hearts(
            {
                family: beat(
                    places.unregistered,
                    UNREGISTERED.of(family),
                    CONCENTRATOR.of(family),
                    SERVICE_UDP,
                )
                for family in FAMILIES
            },
            beat(places.registered, REGISTERED.ipv4, CONCENTRATOR.ipv4, SERVICE_UDP),
            beat(places.subscriber, SUBSCRIBER.ipv4, WEB.ipv4, OTHER),
        )
