"""Judges the devices that the configuration names, and the sysctls that packets through them obey.

In: the policy, devices and numbers as they were read. Out: findings. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from enforcer.doctor.findings import Finding, fail, ok, warning
from enforcer.drift import needed
from enforcer.kernel.links import Device
from enforcer.kernel.others import Others
from enforcer.policy.model import Policy

# The number in /proc/sys at a path like net/ipv4/ip_forward; None where there is none.
Sysctl = Callable[[str], int | None]

_ETHERNET_MTU, _LEAST_IPV6_MTU = 1500, 1280
# What WireGuard, OpenVPN and IPsec put around a packet, generously.
_TUNNEL_BYTES = 80


def judge_devices(
    policy: Policy, devices: Mapping[str, Device], *, held: bool = False
) -> list[Finding]:
    """Existence and state of each uplink and link, its root qdisc, its offloads. `held`: a table
    of ours is in force, so that a daemon starts without any uplink too.
    """
    starts = held or not devices.keys().isdisjoint(policy.gateway.uplinks)
    found = []
    for name in sorted(needed(policy)):
        about = _role(policy, name)
        device = devices.get(name)
        if device is None:
            there = ", ".join(sorted(devices.keys() - {"lo"})[:20]) or "none"
            found.append(
                fail(
                    "device",
                    f"does not exist, so {_without(policy, name, starts)}",
                    f"create it, or name one of those there are: {there}",
                    about,
                )
            )
            continue
        found.append(_state(device, about))
        if device.xdp:
            found.append(
                warning(
                    "device",
                    "an XDP program sees its packets before any rule does, and may drop or "
                    "redirect them",
                    f"see what it does: ip -d link show dev {name}; bpftool net",
                    about,
                )
            )
        if "hw-tc-offload" in device.features:
            found.append(
                warning(
                    "offload",
                    "the network card may forward flows by itself (hw-tc-offload is on); rules "
                    "see no packet of these",
                    f"ethtool -K {name} hw-tc-offload off, unless nothing offloads to it",
                    about,
                )
            )
    for link in policy.links:
        if (device := devices.get(link.device)) is not None:
            found.append(_root(device, f"link {link.name} ({device.name})"))
    return found


def _without(policy: Policy, name: str, starts: bool) -> str:
    if name not in policy.gateway.uplinks:
        return "nothing is reserved on it"
    return "nothing that comes in by it is guarded" if starts else "the daemon does not start"


def _role(policy: Policy, name: str) -> str:
    return f"uplink {name}" if name in policy.gateway.uplinks else f"link {name}"


def _state(device: Device, about: str) -> Finding:
    if not device.up:
        return warning("device", "is down", f"ip link set {device.name} up", about)
    if not device.running:
        return warning(
            "device", "is up, without a carrier", "look at the cable and the other end", about
        )
    return ok("device", "is there and up", about)


def _root(device: Device, about: str) -> Finding:
    root = device.root
    if root is None or root.kind == "noqueue":
        return ok("qdisc", "none; reserve puts its HTB there during a window", about)
    if root.ours:
        return ok("qdisc", "enforcer's own HTB", about)
    if root.foreign:
        return fail(
            "qdisc",
            f"the root qdisc {root.kind} {root.handle >> 16:x}: is another program's, and stays: "
            "reserve does nothing on this link",
            f"tc qdisc del dev {device.name} root, and see who put it there; or mark, and give "
            "the mark its share in that qdisc",
            about,
        )
    if root.kind == "mq":
        return warning(
            "qdisc",
            "multi-queue (mq): during a reserve window one HTB takes its place, and one lock "
            "serialises all its queues",
            "measure it once at the link's full rate: declare a short reserve window",
            about,
        )
    fact = f"the kernel's default ({root.kind}); a reserve window puts HTB in its place"
    return ok("qdisc", fact, about)


def judge_mtu(policy: Policy, devices: Mapping[str, Device], sysctl: Sysctl) -> list[Finding]:
    """Whether full-sized packets of tunnels get through, or path MTU discovery has to help."""
    found = []
    largest = max((d.mtu for d in devices.values() if d.up and d.name != "lo"), default=0)
    for name in policy.gateway.uplinks:
        device = devices.get(name)
        if device is None:
            continue
        about, mtu = f"uplink {name}", device.mtu
        if mtu < _LEAST_IPV6_MTU:
            found.append(
                fail(
                    "mtu",
                    f"{mtu}: less than the {_LEAST_IPV6_MTU} that IPv6 needs",
                    f"ip link set {name} mtu {_ETHERNET_MTU}, or what the line carries",
                    about,
                )
            )
        elif mtu < _ETHERNET_MTU or mtu < largest:
            widest = f", others carry up to {largest}" if mtu < largest else ""
            found.append(
                warning(
                    "mtu",
                    f"{mtu}{widest}: larger packets depend on path MTU discovery",
                    "let ICMP 'fragmentation needed' and ICMPv6 'packet too big' through "
                    f"everywhere, and have tunnels use {mtu - _TUNNEL_BYTES} or less",
                    about,
                )
            )
        else:
            found.append(ok("mtu", f"{mtu}", about))
    if sysctl("net/ipv4/ip_no_pmtu_disc"):
        found.append(
            warning(
                "mtu",
                "this machine does no path MTU discovery for IPv4 (net.ipv4.ip_no_pmtu_disc)",
                "sysctl -w net.ipv4.ip_no_pmtu_disc=0",
            )
        )
    return found


def judge_sources(
    policy: Policy, devices: Mapping[str, Device], sysctl: Sysctl, others: Others
) -> list[Finding]:
    """Whether a stranger can pretend to be a registered source."""
    by_rule = {
        family
        for chain in others.chains
        if chain.checks_source and chain.hook in ("prerouting", "ingress")
        for family in (("ip", "ip6") if chain.family in ("inet", "netdev") else (chain.family,))
    }
    return [
        finding
        for name in policy.gateway.uplinks
        if name in devices
        for finding in (
            _ipv4_sources(policy, name, sysctl, "ip" in by_rule),
            _ipv6_sources(name, "ip6" in by_rule),
        )
    ]


_FORGED = "anybody who can send packets with any source can pretend to be registered"


def _ipv4_sources(policy: Policy, name: str, sysctl: Sysctl, by_rule: bool) -> Finding:
    about = f"uplink {name}"
    if by_rule:
        return ok("rp_filter", "IPv4 sources are checked by a rule (fib)", about)
    # The kernel takes the larger of the two (IN_DEV_MAXCONF).
    paths = f"net/ipv4/conf/{name}/rp_filter", "net/ipv4/conf/all/rp_filter"
    mode = max(sysctl(path) or 0 for path in paths)
    if mode == 1:
        if len(policy.gateway.uplinks) > 1:
            return warning(
                "rp_filter",
                "IPv4: strict, with several uplinks: what comes in by another one than answers "
                "take is dropped before any rule",
                "where routes are asymmetric: sysctl -w net.ipv4.conf.all.rp_filter=2",
                about,
            )
        return ok("rp_filter", "IPv4: strict", about)
    word = "loose, which a default route makes worth nothing" if mode == 2 else "off"
    return warning(
        "rp_filter",
        f"IPv4: {word}: {_FORGED}",
        f"sysctl -w net.ipv4.conf.{name}.rp_filter=1 and net.ipv4.conf.all.rp_filter to 0 or 1, "
        "unless routes are asymmetric; then have your upstream filter (BCP 38)",
        about,
    )


def _ipv6_sources(name: str, by_rule: bool) -> Finding:
    about = f"uplink {name}"
    if by_rule:
        return ok("rp_filter", "IPv6 sources are checked by a rule (fib)", about)
    return warning(
        "rp_filter",
        f"IPv6: the kernel has no such switch, and no rule checks: {_FORGED}",
        "unless routes are asymmetric: nft add rule ip6 TABLE PREROUTING "
        f"iifname {name} fib saddr . iif oif missing drop",
        about,
    )


def judge_forwarding(policy: Policy, sysctl: Sysctl, here: bool) -> list[Finding]:
    """`here`: an estate's address is this machine's own, so that not all has to be forwarded."""
    switches = {
        4: ("net/ipv4/ip_forward", "net.ipv4.ip_forward"),
        6: ("net/ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    }
    on = {family: sysctl(path) for family, (path, _) in switches.items()}
    found = []
    for family, (_, name) in switches.items():
        if on[family]:
            found.append(ok("forwarding", "on", f"IPv{family}"))
            continue
        fact = "off: nothing of it passes through this gateway"
        remedy = f"sysctl -w {name}=1, and keep it in /etc/sysctl.d"
        severe = not here and not any(on.values())
        found.append((fail if severe else warning)("forwarding", fact, remedy, f"IPv{family}"))
    return found
