"""What Foomuuri makes of the same wishes: its zones compiled to nft, with conntrack first.

In: a bench and the distinct prefixes. Out: as the other peers. Written after what Foomuuri 0.29
documents and generates for a router with the zones `wan` and `lan`, an iplist `@registered`, and

    forward { saddr @registered mark_set 0x51 }
    wan-lan { udp 51820 daddr 203.0.113.0/28 saddr @registered
              udp 51820 daddr 203.0.113.0/28 drop
              accept }

An iplist is an interval set with auto-merge and timeouts; a pair of zones is a chain that first
lets related ICMP in, then looks at the state of the connection, then at the rules. Left out, in its
favour: the reverse path filter, which a gateway with asymmetric routes turns off, and logging.

Foomuuri judges connections: its flows are known here (each got one reply before the measuring), as
those of a running tunnel are. For guard they are new, as an attacker's are. The tracking table must
hold all flows: it would otherwise drop packets, and cost less for it.
"""

from __future__ import annotations

import re
import socket
import struct
from pathlib import Path

from benchmarks.counters import NETLINK_NETFILTER, counter_packets
from benchmarks.ours import ESTATE, FWMARK, MeasureName
from benchmarks.peers import COUNT, COUNTER, SET, interval_sets
from benchmarks.wire import Bench, inside

TABLE = "foomuuri"
TRACKED = Path("/proc/sys/net/netfilter/nf_conntrack_max")
_KEPT_S = 600
_DELETE_ALL = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE (<linux/netfilter>)

_CHAINS = f"""\
table inet {TABLE} {{
  chain allow_icmp_4 {{
    icmp type {{ destination-unreachable, time-exceeded, parameter-problem }} accept
  }}
  chain smurfs_drop {{ drop; }}
  chain invalid_drop {{ drop; }}
  chain smurfs_4 {{
    ip saddr 0.0.0.0 return
    fib saddr type {{ broadcast, multicast }} jump smurfs_drop
  }}
  chain wan-lan {{ meta nfproto vmap {{ ipv4 : jump wan-lan_4, ipv6 : accept }}; }}
  chain wan-lan_4 {{
    jump allow_icmp_4
    ct state vmap {{ established : accept, related : accept, invalid : jump invalid_drop,
                    new : jump smurfs_4, untracked : jump smurfs_4 }}
    GUARD
    accept
  }}
  map forward_zones {{
    type ifname . ifname : verdict
    elements = {{ "lo" . "lo" : accept, "wan0" . "lan0" : jump wan-lan,
                 "lan0" . "wan0" : accept }}
  }}
  chain forward {{
    type filter hook forward priority filter + 5
    iifname . oifname vmap @forward_zones
    drop
  }}
  MARK
}}
"""
_GUARD = f"""\
udp dport 51820 ip daddr {ESTATE} ip saddr @{SET}4 accept
    udp dport 51820 ip daddr {ESTATE} {COUNT} drop"""
_MARK = f"""\
chain filter_forward_mangle {{
    type filter hook forward priority mangle + 5
    meta mark set ct mark
    ip saddr @{SET}4 {COUNT} meta mark set {FWMARK:#x} ct mark set meta mark accept
    ip6 saddr @{SET}6 {COUNT} meta mark set {FWMARK:#x} ct mark set meta mark accept
  }}"""


def chains_script(measure: MeasureName) -> str:
    """The rules for a measure; the sets stand in the same table already."""
    guard, mark = (_GUARD, "") if measure == "guard" else ("", _MARK)
    return _CHAINS.replace("GUARD", guard).replace("MARK", mark)


def foomuuri_script(prefixes: dict[int, list[str]]) -> str:
    sets = interval_sets(prefixes, "interval, timeout")
    return f"table inet {TABLE} {{\n  counter {COUNTER} {{ }}\n{sets}}}\n"


class FoomuuriPeer:
    name = "Foomuuri-like nft"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._script = ""
        for key in ("udp_timeout", "udp_timeout_stream"):
            bench.in_gateway("sysctl", "-qw", f"net.netfilter.nf_conntrack_{key}={_KEPT_S}")

    def _nft(self, script: str) -> None:
        self._bench.in_gateway("nft", "-f", "-", stdin=script)

    def load(self, prefixes: dict[int, list[str]]) -> None:
        self._nft(foomuuri_script(prefixes))

    def on(self, measure: MeasureName) -> None:
        self._script = chains_script(measure)
        self._nft(self._script)

    def off(self) -> None:
        """Takes all chains out; conntrack leaves the path with the last rule that uses it."""
        if not self._script:
            return
        names = re.findall(r"chain (\S+) \{", self._script)
        self._script = ""
        script = "".join(f"flush chain inet {TABLE} {name}\n" for name in names)
        script += f"delete map inet {TABLE} forward_zones\n"
        self._nft(script + "".join(f"delete chain inet {TABLE} {name}\n" for name in names))

    def counted(self) -> int:
        return counter_packets(self._bench.gateway, TABLE, COUNTER)

    def unload(self) -> None:
        self._script = ""
        self._nft(f"add table inet {TABLE}\ndelete table inet {TABLE}\n")

    def forget(self) -> None:
        """Forgets all flows: the next sources are others."""
        inside(self._bench.gateway, _forget)


def _forget() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        request_and_ack, family = 1 | 4, bytes(4)
        sock.send(struct.pack("=IHHII", 20, _DELETE_ALL, request_and_ack, 1, 0) + family)
        answer = sock.recv(4096)
    code = -struct.unpack_from("=i", answer, 16)[0]
    if code:
        raise OSError(code, "conntrack flush")
