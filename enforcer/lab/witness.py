"""What the lab watches while traffic runs: DSCP on the wire, the shaper, the hooks, the metrics.

In: places. Out: counts. It only reads, and reads what any engineer could: a raw socket, `tc`, `nft`
and the metrics page.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import re
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from types import TracebackType

from enforcer.lab.namespace import Namespace
from enforcer.lab.probes import http_body

ETH_P_ALL = 3  # <linux/if_ether.h>
PACKET_OUTGOING = 4  # <linux/if_packet.h>
IPV4, IPV6 = 0x0800, 0x86DD
CS5 = 40
METRICS = ("127.0.0.1", 9435)
METRICS_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Packets that came in since the capture began: tagged cs5, and all."""

    registered_cs5: int
    registered: int
    others_cs5: int
    others: int

    def __sub__(self, earlier: Seen) -> Seen:
        return Seen(
            self.registered_cs5 - earlier.registered_cs5,
            self.registered - earlier.registered,
            self.others_cs5 - earlier.others_cs5,
            self.others - earlier.others,
        )


def source_and_dscp(packet: bytes, ethertype: int) -> tuple[bytes, int] | None:
    """The packed source address and the DSCP of an IP packet; None for anything else."""
    if ethertype == IPV4 and len(packet) >= 20:
        return packet[12:16], packet[1] >> 2
    if ethertype == IPV6 and len(packet) >= 40:
        return packet[8:24], (packet[0] << 8 | packet[1]) >> 6 & 0x3F
    return None


class Capture:
    """Counts what comes in on `device` of the place, between enter and exit."""

    def __init__(self, place: Namespace, device: str, registered: tuple[str, ...]) -> None:
        self._registered = {ipaddress.ip_address(each).packed for each in registered}
        # SOCK_DGRAM: packets begin at the network header.
        self._socket = place.call(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        )
        self._socket.bind((device, ETH_P_ALL))
        self._socket.settimeout(0.1)
        self._counts: Counter[tuple[bool, bool]] = Counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"capture-{device}", daemon=True)

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()

    def seen(self) -> Seen:
        counts = dict(self._counts)
        ours, ours_cs5 = counts.get((True, False), 0), counts.get((True, True), 0)
        others, others_cs5 = counts.get((False, False), 0), counts.get((False, True), 0)
        return Seen(ours_cs5, ours + ours_cs5, others_cs5, others + others_cs5)

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                packet, (_, ethertype, direction, *_) = self._socket.recvfrom(2048)
                found = source_and_dscp(packet, ethertype)
                if found and direction != PACKET_OUTGOING:
                    self._counts[found[0] in self._registered, found[1] == CS5] += 1


@dataclass(frozen=True, slots=True)
class ShaperClass:
    """A class of HTB as `tc` tells it: the guaranteed rate in its words, and packets sent."""

    rate: str
    packets: int


_CLASS = re.compile(
    r"class htb [0-9a-f]+:([0-9a-f]+) .*?\brate (\S+) .*?\n Sent \d+ bytes (\d+) pkt"
)


def shaper(place: Namespace, device: str) -> dict[int, ShaperClass]:
    return parse_classes(place.run("tc", "-s", "class", "show", "dev", device))


def parse_classes(text: str) -> dict[int, ShaperClass]:
    """The output of `tc -s class show` as classes by minor number."""
    return {
        int(minor, 16): ShaperClass(rate, int(packets))
        for minor, rate, packets in _CLASS.findall(text)
    }


def hooked_chains(place: Namespace) -> int:
    """The chains of table `inet enforcer` that the kernel calls for packets."""
    listing = json.loads(place.run("nft", "-j", "list", "chains"))
    chains = [item["chain"] for item in listing["nftables"] if "chain" in item]
    return sum(chain["table"] == "enforcer" and "hook" in chain for chain in chains)


def metrics(place: Namespace) -> str:
    """The page that Prometheus reads. Raises OSError when it does not answer."""
    request = "GET /metrics HTTP/1.0\r\nHost: localhost:9435\r\n\r\n"
    page = http_body(place, ("127.0.0.1", 0), METRICS, request, METRICS_TIMEOUT_S)
    return page.decode()


_SAMPLE = re.compile(r"([a-z_]+)(?:\{([^}]*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of the metrics page."""

    name: str
    labels: dict[str, str]
    value: float


def samples(page: str) -> list[Sample]:
    found = []
    for line in page.splitlines():
        if match := _SAMPLE.fullmatch(line):
            labels = dict(_LABEL.findall(match[2] or ""))
            found.append(Sample(match[1], labels, float(match[3])))
    return found
