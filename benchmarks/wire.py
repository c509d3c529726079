"""A bench of three hosts, and a sender that fills one core: what a forwarded packet costs.

sender --veth--> gateway --veth--> sink, each in a network namespace of its own. The sender hands
frames to AF_PACKET with sendmmsg(2), past its qdisc; a veth passes them on in the same core, so
the time for a frame is the cost of the whole path on that core. The sink's neighbour entry has a
foreign MAC address: what arrives is dropped before the sink's own stack sees it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

SENDER_NET, SINK_NET = "10.201.0", "10.202.0"
FRAME_BYTES = 60
_BATCH = 1024
_SOL_PACKET, _QDISC_BYPASS = 263, 20
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def run(*command: str, stdin: str | None = None) -> str:
    """A command's output; raises with its error text."""
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def inside(namespace: str, act: Callable[[], T]) -> T:
    """Runs `act` in a thread of its own that has entered the namespace."""
    result: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
            try:
                if _libc.setns(fd, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            finally:
                os.close(fd)
            result.append(act())
        except BaseException as error:  # handed to the caller below
            failure.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vector", ctypes.c_void_p),
        ("vectors", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("hole", ctypes.c_int),
        ("sent", ctypes.c_uint),
    )


@dataclass
class Bench:
    """The three namespaces; a context manager that always takes them away again."""

    prefix: str = field(default_factory=lambda: f"bench-{os.getpid()}")

    @property
    def sender(self) -> str:
        return f"{self.prefix}-tx"

    @property
    def gateway(self) -> str:
        return f"{self.prefix}-gw"

    @property
    def sink(self) -> str:
        return f"{self.prefix}-rx"

    def __enter__(self) -> Bench:
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in (self.sender, self.gateway, self.sink):
            subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)

    def in_gateway(self, *command: str, stdin: str | None = None) -> str:
        return run("ip", "netns", "exec", self.gateway, *command, stdin=stdin)

    def _build(self) -> None:
        for name in (self.sender, self.gateway, self.sink):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        wires = ((self.sender, "tx0", "wan0"), (self.sink, "rx0", "lan0"))
        for far, far_device, near_device in wires:
            run("ip", "-n", self.gateway, "link", "add", near_device, "type", "veth",
                "peer", "name", far_device, "netns", far)  # fmt: skip
            run("ip", "-n", self.gateway, "link", "set", near_device, "up")
            run("ip", "-n", far, "link", "set", far_device, "up")
        run("ip", "-n", self.gateway, "addr", "add", f"{SENDER_NET}.1/24", "dev", "wan0")
        run("ip", "-n", self.gateway, "addr", "add", f"{SINK_NET}.1/24", "dev", "lan0")
        run("ip", "-n", self.gateway, "neigh", "add", f"{SINK_NET}.2", "lladdr",
            "02:00:00:00:00:99", "dev", "lan0", "nud", "permanent")  # fmt: skip
        run("ip", "-n", self.gateway, "route", "add", "203.0.113.0/24", "via", f"{SINK_NET}.2")
        for key in ("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0",
                    "net.ipv4.conf.wan0.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
                    "net.ipv6.conf.all.disable_ipv6=1"):  # fmt: skip
            self.in_gateway("sysctl", "-qw", key)
        # Replies to any source have a way out; what takes it is dropped like the rest.
        run("ip", "-n", self.gateway, "neigh", "add", f"{SENDER_NET}.2", "lladdr",
            "02:00:00:00:00:98", "dev", "wan0", "nud", "permanent")  # fmt: skip
        run("ip", "-n", self.gateway, "route", "add", "default", "via", f"{SENDER_NET}.2")

    def _mac(self, device: str) -> bytes:
        address = self.in_gateway("cat", f"/sys/class/net/{device}/address")
        return bytes.fromhex(address.strip().replace(":", ""))

    def frames(self, sources: NDArray[np.uint32], to: str = f"{SINK_NET}.2") -> Frames:
        return Frames(self._mac("wan0"), sources, to)

    def replies(self, frames: Frames) -> Frames:
        """The answers to these frames, to be sent from the sink."""
        return frames.turned(self._mac("lan0"))

    def forwarded(self) -> int:
        """Packets that have left the gateway towards the sink."""
        path = "/sys/class/net/lan0/statistics/tx_packets"
        return int(self.in_gateway("cat", path))


class Frames:
    """Ready frames, UDP of 60 bytes, one for each source address (uint32 in host order)."""

    def __init__(self, mac: bytes, sources: NDArray[np.uint32], to: str) -> None:
        count = len(sources)
        rows = np.zeros((count, FRAME_BYTES), np.uint8)
        ethernet = mac + bytes.fromhex("020000000001") + b"\x08\x00"
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, FRAME_BYTES - 14, 0, 0x4000, 64, 17, 0,
                         bytes(4), socket.inet_aton(to))  # fmt: skip
        udp = struct.pack(">HHHH", 51820, 51820, FRAME_BYTES - 34, 0)
        head = np.frombuffer(ethernet + ip + udp, np.uint8)
        rows[:, : len(head)] = head
        rows[:, 26:30] = sources.astype(">u4").view(np.uint8).reshape(count, 4)
        words = rows[:, 14:34].copy().view(">u2").astype(np.uint32)
        total = words.sum(axis=1)
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        rows[:, 24:26] = (~total & 0xFFFF).astype(">u2").view(np.uint8).reshape(count, 2)
        self._set_rows(rows)

    def turned(self, mac: bytes) -> Frames:
        """The same flows the other way: addresses change places, so the checksum stays right."""
        rows = self._rows.copy()
        rows[:, :6] = np.frombuffer(mac, np.uint8)
        rows[:, 26:30], rows[:, 30:34] = self._rows[:, 30:34], self._rows[:, 26:30]
        turned = Frames.__new__(Frames)
        turned._set_rows(rows)
        return turned

    def _set_rows(self, rows: NDArray[np.uint8]) -> None:
        count = len(rows)
        self._rows = np.ascontiguousarray(rows)
        vectors = np.zeros((count, 2), np.uint64)
        vectors[:, 0] = self._rows.ctypes.data + np.arange(count, dtype=np.uint64) * FRAME_BYTES
        vectors[:, 1] = FRAME_BYTES
        self._vectors = vectors
        self._messages = (_Message * count)()
        for i in range(count):
            self._messages[i].vector = vectors.ctypes.data + 16 * i
            self._messages[i].vectors = 1

    def __len__(self) -> int:
        return len(self._rows)

    def send(self, sock: socket.socket, start: int, count: int) -> int:
        """Sends `count` frames from number `start` on, going round. The next number."""
        fd, size = sock.fileno(), ctypes.sizeof(_Message)
        base = ctypes.addressof(self._messages)
        left = count
        while left:
            batch = min(_BATCH, left, len(self) - start)
            done = _libc.sendmmsg(fd, ctypes.c_void_p(base + start * size), batch, 0)
            if done < 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            left -= done
            start = (start + done) % len(self)
        return start


def open_sender(bench: Bench, *, at_sink: bool = False) -> socket.socket:
    def opened() -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        sock.bind(("rx0" if at_sink else "tx0", 0))
        sock.setsockopt(_SOL_PACKET, _QDISC_BYPASS, 1)
        return sock

    return inside(bench.sink if at_sink else bench.sender, opened)


def cost_ns(sock: socket.socket, frames: Frames, packets: int, start: int = 0) -> tuple[float, int]:
    """Nanoseconds of this thread's processor time for one packet, and where to go on."""
    begun = time.thread_time_ns()
    after = frames.send(sock, start, packets)
    return (time.thread_time_ns() - begun) / packets, after
