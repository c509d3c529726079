"""A namespace in which raw packets go in by three devices and every one that passes a hook is told
of, byte by byte: the kernel logs it to us (NFLOG) right behind our chains.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.wire import Message, attribute, attributes, replies
from enforcer.policy.prefix import Family
from tests.kernel.slowness import patient
from tests.kernel.worlds import RealWorld
from tests.ruleset.raw_packets import Raw

# nfnetlink_log (<linux/netfilter/nfnetlink_log.h>).
_SUBSYSTEM, _MSG_PACKET, _MSG_CONFIG = 4, 0, 1
_CFG_CMD, _CFG_MODE, _CFG_QTHRESH = 1, 2, 5
_BIND, _COPY_PACKET = 1, 2
_HEADER, _MARK, _PAYLOAD, _PREFIX = 1, 2, 9, 10
PREROUTING, POSTROUTING = 5, 6
DEVICES = ("wan0", "wan1", "lan0")
PATIENCE_S = patient(10.0)
# What is registered is registered in this corner (`strategies.CORNER`); the first half of each
# family's addresses leaves by wan0, so that `reserve` has something to do.
_SETUP = """
ip link add wan1 type veth peer name wan1-peer; ip link set wan1 up; ip link set wan1-peer up
for d in wan0 wan1 lan0; do sysctl -qw net.ipv6.conf.$d-peer.disable_ipv6=1; done
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
for d in all default wan0 wan1 lan0; do sysctl -qw net.ipv4.conf.$d.rp_filter=0 \
  net.ipv4.conf.$d.send_redirects=0 net.ipv6.conf.$d.accept_ra=0 ; done
sysctl -qw net.ipv4.icmp_ratelimit=0
ip address add 192.0.2.254/31 dev lan0; ip address add 192.0.2.252/31 dev wan0
for d in lan0:192.0.2.255 wan0:192.0.2.253; do
  ip neigh add ${d#*:} lladdr 02:00:00:00:00:09 dev ${d%%:*} nud permanent
  ip -6 neigh add fe80::9 lladdr 02:00:00:00:00:09 dev ${d%%:*} nud permanent
done
ip route add default via 192.0.2.255 dev lan0
ip -6 route add default via fe80::9 dev lan0
ip route add 20.0.255.224/27 via 192.0.2.253 dev wan0
ip -6 route add 2a01:500:1400:0:1401::/123 via fe80::9 dev wan0
"""


def _log(group: int, prefix: str) -> str:
    return f'log prefix "{prefix}" group {group} snaplen 512'


_WATCHER = f"""
table inet watcher {{
  chain before {{
    type filter hook prerouting priority -140
    meta priority != 0 {_log(PREROUTING, "noted")}
    meta priority 0 {_log(PREROUTING, "plain")}
  }}
  chain behind {{
    type filter hook postrouting priority -140
    meta priority e4f0:10 oifname "wan0" {_log(POSTROUTING, "reserved wan0")}
    meta priority e4f0:10 oifname != "wan0" {_log(POSTROUTING, "reserved lan0")}
    meta priority != e4f0:10 oifname "wan0" {_log(POSTROUTING, "plain wan0")}
    meta priority != e4f0:10 oifname != "wan0" {_log(POSTROUTING, "plain lan0")}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """A packet as it passed a hook, behind our chains. `noted`: its priority was not 0 there."""

    group: int
    data: bytes
    mark: int
    noted: bool
    oif: str = ""


# Family, number, source and destination: what tells one packet of a batch from every other.
Which = tuple[Family, int, bytes]


def which(data: bytes) -> Which:
    """Of a packet from its network header on; the number is in the identification or the flow
    label (`raw_packets`).
    """
    if data[0] >> 4 == 6:
        return 6, int.from_bytes(data[2:4], "big"), data[8:40]
    return 4, int.from_bytes(data[4:6], "big"), data[12:20]


class OracleWire:
    def __init__(self, world: RealWorld) -> None:
        self.world = world
        world.run("sh", "-ec", _SETUP)
        world.nft(_WATCHER)
        self.macs, self.sockets = {}, {}
        with in_namespace(world.namespace):
            for device in DEVICES:
                text = world.run("cat", f"/sys/class/net/{device}/address").strip()
                self.macs[device] = bytes.fromhex(text.replace(":", ""))
                self.sockets[device] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
                self.sockets[device].bind((f"{device}-peer", 0))
            self.log = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        self.log.bind((0, 0))
        self.log.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.log.settimeout(PATIENCE_S)
        for group in (PREROUTING, POSTROUTING):
            self._configure(group, attribute(_CFG_CMD, bytes([_BIND])))
            mode = struct.pack(">IBx", 512, _COPY_PACKET)
            self._configure(group, attribute(_CFG_MODE, mode), attribute(_CFG_QTHRESH, b"\0\0\0\1"))
        # One processor, so that what is sent first arrives first.
        self.cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(self.cores)})
        for device in DEVICES:
            self._warm(device)

    def _configure(self, group: int, *attributes_: bytes) -> None:
        body = struct.pack(">BBH", 0, 0, group) + b"".join(attributes_)
        self.log.send(Message(_SUBSYSTEM << 8 | _MSG_CONFIG, 4, body).packed(1))
        (reply,) = replies(self.log.recv(4096))
        assert reply.error == 0, os.strerror(reply.error or 0)

    def close(self) -> None:
        os.sched_setaffinity(0, self.cores)
        for one in (*self.sockets.values(), self.log):
            one.close()

    def passed(self, packets: Sequence[Raw]) -> list[Logged]:
        """What passed the hooks, in order, of the packets sent. At most 600 at once: the kernel
        queues a thousand for a processor, and throws away what is more.
        """
        assert len(packets) <= 600
        for device in DEVICES:
            frames = [self._frame(device, raw) for raw in packets if raw.packet.iif == device]
            self._send(device, [*frames, self._marker(device)])
        found, markers = [], 0
        while markers < len(DEVICES):
            for one in self._logged():
                if one.data[12:20] == _MARKER_ENDS:
                    markers += one.group == PREROUTING
                else:
                    found.append(one)
        return found

    def _warm(self, device: str) -> None:
        """Until something comes through: a device that is just up may swallow what is first."""
        self.log.settimeout(0.05)
        for _ in range(200):
            self._send(device, [self._marker(device)])
            try:
                while not any(one.data[12:20] == _MARKER_ENDS for one in self._logged()):
                    pass
                break
            except TimeoutError:
                continue
        else:
            raise AssertionError(f"nothing comes through {device}")
        try:
            while True:
                self.log.recv(1 << 17)
        except TimeoutError:
            self.log.settimeout(PATIENCE_S)

    def _frame(self, device: str, raw: Raw) -> bytes:
        kind = b"\x08\0" if raw.packet.family == 4 else b"\x86\xdd"
        return self.macs[device] + b"\x02\0\0\0\0\1" + kind + raw.data

    def _marker(self, device: str) -> bytes:
        head = bytes.fromhex("450000145555000040fd") + b"\0\0" + _MARKER_ENDS
        total = sum(struct.unpack(">10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        head = head[:10] + struct.pack(">H", total ^ 0xFFFF) + head[12:]
        return self.macs[device] + b"\x02\0\0\0\0\1\x08\0" + head

    def _send(self, device: str, frames: list[bytes]) -> None:
        for frame in frames:
            self.sockets[device].send(frame)

    def _logged(self) -> Iterator[Logged]:
        # ENOBUFS would say that the log overflowed: it is an error of the test's.
        data = self.log.recv(1 << 17)
        for reply in replies(data):
            if reply.kind != _SUBSYSTEM << 8 | _MSG_PACKET:
                continue
            found = attributes(reply.body[4:])
            word, _, oif = bytes(found[_PREFIX]).rstrip(b"\0").decode().partition(" ")
            mark = int.from_bytes(found.get(_MARK, b""), "big")
            group = int.from_bytes(reply.body[2:4], "big")
            payload = bytes(found.get(_PAYLOAD, b""))
            if payload[8:40] == _OWN_REPORTS:
                continue
            yield Logged(group, payload, mark, word != "plain", oif)


# The kernel's own: of a device that has just come up, a report of its multicast groups (RFC 3810),
# from no address to ff02::16, whenever it gets round to it.
_OWN_REPORTS = bytes(16) + bytes.fromhex("ff020000000000000000000000000016")
# From one address of documentation to another: no world names them.
_MARKER_ENDS = bytes([198, 51, 100, 1, 198, 51, 100, 2])
