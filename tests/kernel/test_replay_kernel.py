"""A capture that real tcpdump takes of packets that the real kernel judges: replay counts the same.

Fragments, extension headers, VLAN tags, packets cut short, and everything at the edges of what the
configuration names go in by AF_PACKET; then every named counter is compared, packets and bytes.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.nft import NftKernel
from enforcer.sources.capture import open_capture
from tests.kernel.daemon_process import Gateway, eventually
from tests.kernel.slowness import patient
from tests.sources import captures as c
from tests.sources.reading import frames_of

pytestmark = pytest.mark.kernel

REGISTRY = """\
id,prefix,category,valid_from,valid_until,services
R-1,198.51.100.0/24,software-house,,,
R-2,198.51.100.7/32,freelancer,,,udp/51820 esp
R-3,198.51.101.0/24,freelancer,,,tcp/443 udp/5000-5100
R-4,2001:db8:5::/48,freelancer,,,
R-5,2001:db8:6::1/128,software-house,,,udp/51820
"""
SOURCES_4 = ("198.51.100.9", "198.51.100.7", "198.51.101.1", "192.0.2.53", "192.0.2.99")
TARGETS_4 = ("203.0.113.5", "203.0.113.16", "198.51.100.7", "192.0.2.200")
SOURCES_6 = ("2001:db8:5::1", "2001:db8:6::1", "2001:db8:6::2")
TARGETS_6 = ("2001:db8:10::1", "2001:db8:11::1", "2001:db8:6::1")
UDP = c.ports(5050, 51820) + bytes(8)
TCP = {flags: c.tcp(5050, 443, flags) for flags in (c.SYN, c.SYN | c.ACK, c.ACK, c.SYN | 4)}


# Of a later fragment: its content looks like ports of ours, and is not taken for them.
LATER = UDP


def _ext(following: int, size: int = 8) -> bytes:
    return bytes([following, size // 8 - 1]) + b"\1" + bytes([size - 4]) + bytes(size - 4)


def frames() -> list[bytes]:
    found: list[bytes] = []
    for source in SOURCES_4:
        for target in TARGETS_4:
            payloads: list[tuple[int, bytes, int]] = [
                (17, UDP, 0),
                (17, UDP, 0x2000),
                (17, LATER, 0x0010),
                (17, c.ports(51820, 5050) + bytes(8), 0),
                (17, UDP[:3], 0),
                (50, bytes(16), 0),
                (50, bytes(16), 0x0010),
                (1, bytes(16), 0),
                (6, TCP[c.SYN][:13], 0),
                *((6, payload, 0) for payload in TCP.values()),
            ]
            for protocol, payload, fragment in payloads:
                packet = c.ipv4(source, target, protocol, payload, fragment=fragment)
                found.append(c.ethernet(_summed(packet)))
            found.append(c.ethernet(_summed(c.ipv4(source, target, 17, UDP, options=b"\1" * 8))))
    for source in SOURCES_6:
        for target in TARGETS_6:
            packets = (
                (17, UDP),
                (6, TCP[c.SYN]),
                (0, _ext(17) + UDP),
                (60, _ext(60, 24) + _ext(17) + UDP),
                (44, c.fragment_header(17, 0, more=True) + UDP),
                (44, c.fragment_header(17, 9) + LATER),
                (44, c.fragment_header(60, 9) + UDP),
                (44, c.fragment_header(51, 9) + UDP),
                (60, _ext(44) + c.fragment_header(17, 9) + LATER),
                (51, _ext(17, 16) + UDP),
                (59, b""),
                (58, bytes(8)),
                (60, b"\x11"),
            )
            found += [c.ethernet(c.ipv6(source, target, *packet)) for packet in packets]
    found.append(c.ethernet(b"\0" * 28, kind=0x88B5))
    return [frame.ljust(60, b"\0") for frame in found]


def _summed(packet: bytes) -> bytes:
    """With the checksum of the IPv4 header, without which the kernel drops it."""
    size = (packet[0] & 15) * 4
    total = sum(int.from_bytes(packet[i : i + 2], "big") for i in range(0, size, 2))
    total = (total & 0xFFFF) + (total >> 16)
    return (
        packet[:10] + ((total & 0xFFFF) + (total >> 16) ^ 0xFFFF).to_bytes(2, "big") + packet[12:]
    )


def _send(namespace: str, sent: list[bytes]) -> None:
    mac_file = "/sys/class/net/wan0/address"
    mac = subprocess.run(
        ["ip", "netns", "exec", namespace, "cat", mac_file],
        capture_output=True, text=True, check=True, timeout=patient(20),
    ).stdout  # fmt: skip
    to = bytes.fromhex(mac.strip().replace(":", ""))
    with in_namespace(namespace):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sock:
        sock.bind(("wan0-peer", 0))
        for frame in sent:
            sock.send(to + frame[6:])


def _counters(namespace: str) -> dict[str, tuple[int, int]]:
    kernel = NftKernel(namespace)
    try:
        return {name: counts for name, counts in kernel.counters().items() if counts[0]}
    finally:
        kernel.close()


@pytest.mark.parametrize(
    ("options", "suffix"),
    [(("-i", "wan0"), ""), (("-i", "any"), ""), (("-i", "wan0", "-s", "96"), ".ns")],
)
def test_replay_counts_what_the_kernel_counted(
    gateway: Gateway, tmp_path: Path, options: tuple[str, ...], suffix: str
) -> None:
    gateway.write(registry=REGISTRY)
    # So that nothing but our packets comes in, and all of them may.
    gateway.inside("ip", "link", "set", "lan0", "down")
    gateway.inside("ip", "route", "add", "default", "dev", "lo")
    gateway.inside("ip", "addr", "add", "203.0.113.1/28", "dev", "wan0")
    for name in ("all", "wan0"):
        gateway.inside("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0")
    gateway.inside("sysctl", "-qw", "net.ipv6.conf.wan0-peer.disable_ipv6=1")
    gateway.start()
    eventually(gateway.armed, "armed")
    file = tmp_path / "taken.pcap"
    ticks = ("--time-stamp-precision", "nano") if suffix else ()
    tcpdump = subprocess.Popen(
        ["ip", "netns", "exec", gateway.namespace, "tcpdump", "-Z", "root", "-U", "-n", *options,
         *ticks, "-w", str(file)],
        stderr=subprocess.PIPE,
    )  # fmt: skip
    sent = frames()
    try:
        assert tcpdump.stderr is not None
        assert any(b"listening" in line for line in iter(tcpdump.stderr.readline, b""))
        before = _counters(gateway.namespace)
        _send(gateway.namespace, sent)
        eventually(lambda: file.stat().st_size > 24 + 40 * len(sent), "captured")
        time.sleep(0.3)
    finally:
        tcpdump.terminate()
        tcpdump.wait(patient(20))
    counted = _counters(gateway.namespace)
    assert before == {} or all(name.startswith("reserve/") for name in before)
    # Of all interfaces, the capture tells the direction by itself.
    direction = () if options[1] == "any" else ("--direction", "in")
    done = gateway.run("replay", str(file), "--device", "wan0", *direction, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["packets"] >= len(sent)
    found: dict[str, list[int]] = {}
    for row in answer["verdicts"]:
        name = "{measure}/{window}/{verdict}/ip{family}/{category}".format(**row)
        sums = found.setdefault(name, [0, 0])
        sums[0] += row["packets"]
        sums[1] += row["bytes"]
    inbound = {name: counts for name, counts in counted.items() if not name.startswith("reserve/")}
    mine = {name: tuple(sums) for name, sums in found.items() if not name.startswith("reserve/")}
    assert mine == inbound
    assert len(inbound) >= 9, "every verdict, both families, several categories"


def test_what_is_saved_is_read_by_tcpdump(gateway: Gateway, tmp_path: Path) -> None:
    taken, held = tmp_path / "x.pcap", tmp_path / "held.pcap"
    at = gateway.now.timestamp()
    sent = frames()
    taken.write_bytes(c.pcap(sent, at_s=[at + n / 1000 for n in range(len(sent))]))
    done = gateway.run("replay", str(taken), "--write", str(held), "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    wanted = json.loads(done.stdout)["held_back"]["packets"]
    read = subprocess.run(
        ["tcpdump", "-n", "-r", str(held)],
        capture_output=True,
        text=True,
        check=True,
        timeout=patient(20),
    )
    assert len(read.stdout.splitlines()) == wanted > 5
    capture = open_capture(str(held))
    assert set(frames_of(list(capture.records()))) <= set(sent)
    capture.close()
