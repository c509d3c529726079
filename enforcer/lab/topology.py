"""Six namespaces and the wires between them: an ISP's gateway with something on each side.

    subscriber ── lan0 ┐                        ┌─ registered    (a VPN end point in the registry)
                       gateway ── wan0 ── internet
    estate ────── est0 ┘                        └─ unregistered  (a host in no registry)

In: a Footprint that makes and records the namespaces. Out: `Places`. All addresses are of
documentation or shared space and never leave these namespaces.
"""

from __future__ import annotations

from dataclasses import dataclass

from enforcer.lab.footprint import Footprint
from enforcer.lab.namespace import Namespace
from enforcer.policy.prefix import Family


@dataclass(frozen=True, slots=True)
class Dual:
    """The IPv4 and the IPv6 address of one host."""

    ipv4: str
    ipv6: str

    def of(self, family: Family) -> str:
        return self.ipv4 if family == 4 else self.ipv6


SUBSCRIBER = Dual("100.64.1.2", "2001:db8:64:1::2")
CONCENTRATOR = Dual("203.0.113.2", "2001:db8:10::2")
ESTATE_CLIENT = Dual("203.0.113.3", "2001:db8:10::3")
REGISTERED = Dual("198.51.100.5", "2001:db8:100::5")
UNREGISTERED = Dual("192.0.2.194", "2001:db8:bad::2")
LIFELINE = Dual("192.0.2.53", "2001:db8::53")
WEB = Dual("192.0.2.80", "2001:db8::80")

ESTATE_PREFIXES = ("203.0.113.0/28", "2001:db8:10::/64")
REGISTERED_PREFIXES = ("198.51.100.0/28", "2001:db8:100::/56")
UPLINK, UPLINK_RATE = "wan0", "1gbit"


@dataclass(frozen=True, slots=True)
class End:
    role: str
    device: str
    addresses: tuple[str, ...]


WIRES = (
    (
        End("gateway", "lan0", ("100.64.1.1/24", "2001:db8:64:1::1/64")),
        End("subscriber", "eth0", ("100.64.1.2/24", "2001:db8:64:1::2/64")),
    ),
    (
        End("gateway", "est0", ("203.0.113.1/28", "2001:db8:10::1/64")),
        End(
            "estate",
            "eth0",
            ("203.0.113.2/28", "203.0.113.3/28", "2001:db8:10::2/64", "2001:db8:10::3/64"),
        ),
    ),
    (
        End("gateway", "wan0", ("100.64.255.2/30", "2001:db8:64:ff::2/64")),
        End("internet", "gw0", ("100.64.255.1/30", "2001:db8:64:ff::1/64")),
    ),
    (
        End("internet", "reg0", ("198.51.100.1/28", "2001:db8:100::1/64")),
        End("registered", "eth0", ("198.51.100.5/28", "2001:db8:100::5/64")),
    ),
    (
        End("internet", "unreg0", ("192.0.2.193/30", "2001:db8:bad::1/64")),
        End("unregistered", "eth0", ("192.0.2.194/30", "2001:db8:bad::2/64")),
    ),
)
LOOPBACK = End(
    "internet", "lo", ("192.0.2.53/32", "192.0.2.80/32", "2001:db8::53/128", "2001:db8::80/128")
)
ROUTES = {
    "subscriber": ("default via 100.64.1.1", "default via 2001:db8:64:1::1"),
    "estate": ("default via 203.0.113.1", "default via 2001:db8:10::1"),
    "gateway": ("default via 100.64.255.1", "default via 2001:db8:64:ff::1"),
    "registered": ("default via 198.51.100.1", "default via 2001:db8:100::1"),
    "unregistered": ("default via 192.0.2.193", "default via 2001:db8:bad::1"),
    "internet": (
        "100.64.1.0/24 via 100.64.255.2",
        "203.0.113.0/28 via 100.64.255.2",
        "2001:db8:64:1::/64 via 2001:db8:64:ff::2",
        "2001:db8:10::/64 via 2001:db8:64:ff::2",
    ),
}
FORWARDING = {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}
# The host's defaults may reach a new namespace. Duplicate address detection would keep IPv6 (and
# the router's own link-local address) from use for two seconds.
PLAIN = {
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
}


@dataclass(frozen=True, slots=True)
class Places:
    subscriber: Namespace
    gateway: Namespace
    estate: Namespace
    internet: Namespace
    registered: Namespace
    unregistered: Namespace

    def of(self, role: str) -> Namespace:
        return next(place for place in self.all if place.role == role)

    @property
    def all(self) -> tuple[Namespace, ...]:
        return (
            self.subscriber,
            self.gateway,
            self.estate,
            self.internet,
            self.registered,
            self.unregistered,
        )


def build(footprint: Footprint) -> Places:
    """Makes the namespaces, wires, addresses and routes. Raises LabError; removing is the
    footprint's."""
    places = Places(*(footprint.namespace(role) for role in Places.__dataclass_fields__))
    for place in places.all:
        place.sysctl(PLAIN)
    for near, far in WIRES:
        places.of(near.role).ip(
            f"link add {near.device} type veth"
            f" peer name {far.device} netns {places.of(far.role).name}"
        )
    for end in (LOOPBACK, *(end for wire in WIRES for end in wire)):
        places.of(end.role).ip(
            *(f"addr add {address} dev {end.device}" for address in end.addresses),
            f"link set {end.device} up",
        )
    for role, routes in ROUTES.items():
        places.of(role).ip(*(f"route add {route}" for route in routes))
    for router in (places.gateway, places.internet):
        router.sysctl(FORWARDING)
    return places
