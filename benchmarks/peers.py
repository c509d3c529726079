"""The same two wishes as other tools are asked for them: whole configurations, sets loaded once.

In: a bench and the distinct prefixes of a registry. Out: rules put in force and taken out, without
touching the sets. Each does what a competent engineer would write:

* `nft`: an interval set for each family with auto-merge; mark in prerouting, guard at ingress of
  the uplink, which is nftables at its cheapest.
* `ipset`: a hash:net for each family, matched by iptables (Debian's, which speaks nf_tables); mark
  in table mangle, guard in table raw, the first place that iptables has.

They match the prefix alone: no category, no service of a registration, no end of a window. That is
less than ours do. All count what they mark or drop, as ours do; so the bench can check them too.
"""

from __future__ import annotations

import re
from typing import Protocol

from benchmarks.counters import counter_packets
from benchmarks.ours import ESTATE, FWMARK, MeasureName
from benchmarks.wire import Bench

NFT_TABLE, SET, COUNTER = "peer_nft", "registered", "acted"
COUNT = f"counter name {COUNTER}"
IPSET_MAXELEM = 4_000_000
PORT = "51820"


class Peer(Protocol):
    """`load` fills the sets; `on` and `off` put a measure's rules in force and out again."""

    name: str

    def load(self, prefixes: dict[int, list[str]]) -> None: ...
    def on(self, measure: MeasureName) -> None: ...
    def off(self) -> None: ...
    def counted(self) -> int: ...
    def unload(self) -> None: ...


def interval_sets(prefixes: dict[int, list[str]], flags: str = "interval") -> str:
    """Two sets in nft syntax, one for each family."""
    made = []
    for family, lines in prefixes.items():
        elements = f"    elements = {{ {', '.join(lines)} }}\n" if lines else ""
        made.append(
            f"  set {SET}{family} {{\n    type ipv{family}_addr\n    flags {flags}\n"
            f"    auto-merge\n{elements}  }}\n"
        )
    return "".join(made)


def nft_script(prefixes: dict[int, list[str]]) -> str:
    return f"table inet {NFT_TABLE} {{\n  counter {COUNTER} {{ }}\n{interval_sets(prefixes)}}}\n"


class NftPeer:
    name = "nft interval set"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._active = False

    def _nft(self, script: str) -> str:
        return self._bench.in_gateway("nft", "-f", "-", stdin=script)

    def load(self, prefixes: dict[int, list[str]]) -> None:
        self._nft(nft_script(prefixes))

    def on(self, measure: MeasureName) -> None:
        if measure == "mark":
            hook = "prerouting priority mangle"
            rules = [
                f"ip saddr @{SET}4 {COUNT} meta mark set {FWMARK:#x}",
                f"ip6 saddr @{SET}6 {COUNT} meta mark set {FWMARK:#x}",
            ]
        else:
            hook = 'ingress device "wan0" priority 0'
            rules = [f"ip daddr {ESTATE} udp dport {PORT} ip saddr != @{SET}4 {COUNT} drop"]
        added = "".join(f"add rule inet {NFT_TABLE} work {rule}\n" for rule in rules)
        chain = f"{{ type filter hook {hook}; policy accept; }}"
        self._nft(f"add chain inet {NFT_TABLE} work {chain}\n{added}")
        self._active = True

    def off(self) -> None:
        if self._active:
            self._nft(f"flush chain inet {NFT_TABLE} work\ndelete chain inet {NFT_TABLE} work\n")
            self._active = False

    def counted(self) -> int:
        return counter_packets(self._bench.gateway, NFT_TABLE, COUNTER)

    def unload(self) -> None:
        self._active = False
        self._nft(f"add table inet {NFT_TABLE}\ndelete table inet {NFT_TABLE}\n")


def ipset_script(prefixes: dict[int, list[str]]) -> str:
    """What `ipset restore` reads; `hashsize` is what a careful engineer gives a large set."""
    lines = []
    for family, members in prefixes.items():
        size = max(1024, 1 << (len(members) - 1).bit_length()) if members else 1024
        kind = "inet" if family == 4 else "inet6"
        lines.append(
            f"create {SET}{family} hash:net family {kind} hashsize {size} maxelem {IPSET_MAXELEM}"
        )
        lines += [f"add {SET}{family} {member}" for member in members]
    return "\n".join(lines) + "\n"


class IpsetPeer:
    name = "ipset hash:net"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._table = ""

    def load(self, prefixes: dict[int, list[str]]) -> None:
        self._bench.in_gateway("ipset", "restore", stdin=ipset_script(prefixes))

    def on(self, measure: MeasureName) -> None:
        self._table = "mangle" if measure == "mark" else "raw"
        place = ("iptables-nft", "-t", self._table, "-A", "PREROUTING")
        match_set = ("-m", "set", "--match-set", f"{SET}4", "src")
        if measure == "mark":
            self._bench.in_gateway(*place, *match_set, "-j", "MARK", "--set-mark", f"{FWMARK:#x}")
            return
        self._bench.in_gateway(
            *place, "-i", "wan0", "-d", ESTATE, "-p", "udp", "--dport", PORT,
            "-m", "set", "!", *match_set[2:], "-j", "DROP",
        )  # fmt: skip

    def off(self) -> None:
        # The whole table, so that no empty hook of iptables stays on the path of the others.
        if self._table:
            self._bench.in_gateway("nft", "delete", "table", "ip", self._table)
            self._table = ""

    def counted(self) -> int:
        return packets_in(self._bench.in_gateway("iptables-nft-save", "-c", "-t", self._table))

    def unload(self) -> None:
        self.off()
        self._bench.in_gateway("ipset", "destroy")


def packets_in(listing: str) -> int:
    """The sum of the packet counters of all rules that iptables-save lists."""
    return sum(int(found) for found in re.findall(r"^\[(\d+):\d+\] -A", listing, re.MULTILINE))
