"""The process that sends and receives: `python -m soak.traffic OUT_NAMESPACE IN_NAMESPACE FOLDER`.

In: two namespaces. Out: `ready` on standard output once all streams get through, `progress.json`
each second, and at the end (SIGTERM, or the parent's death) `traffic.npz`. One thread, light, and
apart from the process that breaks things: nothing that process does can delay a packet or lose one
in a full buffer. What the receiving sockets themselves lose is counted (SO_RXQ_OVFL's counter).
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from enforcer.lab.namespace import Namespace
from soak.streams import STREAMS, Sent, Stream, Traffic

_PACKET = struct.Struct("!IQ")
_TICK_NS = 1_000_000
_DRAIN_EVERY_NS, _SAY_EVERY_NS = 10_000_000, 1_000_000_000
# What has not arrived by then is lost; buffers are read until then.
SETTLED_NS = 3_000_000_000
_RECEIVE_BYTES = 32 << 20
_SO_RCVBUFFORCE, _SO_SNDBUFFORCE, _SO_MEMINFO = 33, 32, 55
_MEMINFO_DROPS = 8
_LONGEST_S = 4 * 3600


class Peers:
    """The sockets of both peers."""

    def __init__(self, out: Namespace, inner: Namespace) -> None:
        places = {"out": out, "in": inner}
        self.senders = [_sender(places[s.sender], s) for s in STREAMS]
        ends = {(s.receiver, s.to, s.port) for s in STREAMS}
        self.receivers = [_receiver(places[role], to, port) for role, to, port in sorted(ends)]
        self._selector = selectors.DefaultSelector()
        for receiver in self.receivers:
            self._selector.register(receiver, selectors.EVENT_READ)

    def waiting(self) -> Iterator[bytes]:
        """Every datagram that has arrived; never blocks."""
        for key, _ in self._selector.select(0):
            receiver = key.fileobj
            assert isinstance(receiver, socket.socket)
            try:
                while True:
                    yield receiver.recv(64)
            except BlockingIOError:
                continue

    def overruns(self) -> int:
        """Datagrams that the receiving sockets had no room for."""
        drops = 0
        for receiver in self.receivers:
            raw = receiver.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 4 * (_MEMINFO_DROPS + 1))
            drops += struct.unpack("=9I", raw)[_MEMINFO_DROPS]
        return drops


def _socket(place: Namespace, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = place.socket(family, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.setblocking(False)
    return made


def _sender(place: Namespace, stream: Stream) -> socket.socket:
    made = _socket(place, stream.source, 0)
    made.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 4 << 20)
    return made


def _receiver(place: Namespace, address: str, port: int) -> socket.socket:
    made = _socket(place, address, port)
    made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
    return made


class Log:
    """When each packet of each stream was sent, and whether it has come."""

    def __init__(self) -> None:
        self.at = [array("q") for _ in STREAMS]
        self.arrived = [bytearray() for _ in STREAMS]
        self._settled = [0 for _ in STREAMS]
        self.lost = [0 for _ in STREAMS]

    def sent(self, stream: int, at_ns: int) -> int:
        """The number that the packet carries."""
        self.at[stream].append(at_ns)
        self.arrived[stream].append(0)
        return len(self.at[stream]) - 1

    def came(self, datagram: bytes) -> None:
        stream, number = _PACKET.unpack(datagram)
        self.arrived[stream][number] = 1

    def settle(self, before_ns: int) -> None:
        """Counts what was sent before an instant and has not come."""
        for n, at in enumerate(self.at):
            first = last = self._settled[n]
            while last < len(at) and at[last] < before_ns:
                last += 1
            self.lost[n] += self.arrived[n].count(0, first, last)
            self._settled[n] = last

    def traffic(self) -> Traffic:
        return Traffic(
            tuple(
                Sent(stream, np.array(at, np.int64), np.frombuffer(bytes(arrived), np.bool_))
                for stream, at, arrived in zip(STREAMS, self.at, self.arrived, strict=True)
            )
        )


class Pacer:
    """Which streams are due in a tick: each at its own rate, spread over the ticks. A sender that
    was held up leaves the missed ticks out: a burst would be a load of another kind.
    """

    def __init__(self) -> None:
        ticks_per_s = 1_000_000_000 // _TICK_NS
        self._period = [ticks_per_s // stream.per_s for stream in STREAMS]
        self._tick = 0

    def due(self) -> list[int]:
        self._tick += 1
        return [n for n, period in enumerate(self._period) if (self._tick + n) % period == 0]


def run(out: str, inner: str, folder: Path) -> None:
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.append(1))
    parent = os.getppid()
    peers, log, pacer = Peers(Namespace("out", out), Namespace("in", inner)), Log(), Pacer()
    started = next_tick = said = drained = time.monotonic_ns()
    ready = False
    while not stopping and os.getppid() == parent:
        now = time.monotonic_ns()
        if now - started > _LONGEST_S * 1_000_000_000:
            break
        for n in pacer.due():
            stream = STREAMS[n]
            at_ns = time.monotonic_ns()
            packet = _PACKET.pack(n, log.sent(n, at_ns))
            try:
                peers.senders[n].sendto(packet, (stream.to, stream.port))
            except OSError as error:  # never sent, so it cannot be lost
                log.came(packet)
                print(f"not sent: {stream.name}: {error}", file=sys.stderr, flush=True)
        if now - drained > _DRAIN_EVERY_NS:
            _drain(peers, log)
            drained = now
        if now - said > _SAY_EVERY_NS:
            _say(folder, peers, log, now)
            said = now
        if not ready and all(any(arrived) for arrived in log.arrived):
            ready = True
            print("ready", flush=True)
        elif not ready and now - started > 10 * _SAY_EVERY_NS:
            sys.exit("a stream does not get through")
        next_tick = max(next_tick + _TICK_NS, now)
        time.sleep(max(0, next_tick - time.monotonic_ns()) / 1e9)
    ended = time.monotonic_ns()
    while time.monotonic_ns() - ended < SETTLED_NS and not all(all(a) for a in log.arrived):
        _drain(peers, log)
        time.sleep(0.01)
    _say(folder, peers, log, time.monotonic_ns())
    log.traffic().save(folder / "traffic.npz")


def _drain(peers: Peers, log: Log) -> None:
    for datagram in peers.waiting():
        log.came(datagram)


def _say(folder: Path, peers: Peers, log: Log, now_ns: int) -> None:
    _drain(peers, log)
    log.settle(now_ns - SETTLED_NS)
    kinds = dict.fromkeys(stream.kind for stream in STREAMS)
    said = {
        kind: {
            "sent": sum(len(log.at[n]) for n, s in enumerate(STREAMS) if s.kind == kind),
            "lost": sum(log.lost[n] for n, s in enumerate(STREAMS) if s.kind == kind),
        }
        for kind in kinds
    }
    scratch = folder / "progress.new"
    scratch.write_text(json.dumps({**said, "overruns": peers.overruns()}))
    scratch.replace(folder / "progress.json")


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
