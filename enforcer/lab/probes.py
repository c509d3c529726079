"""One attempt each: real packets from one place to another, and whether the answer came.

In: a namespace, a source and a target as `(address, port)`. Out: nothing when the answer was right;
any OSError means that this attempt did not get through. Every attempt is bounded in time.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

from enforcer.lab.namespace import Namespace

Address = tuple[str, int]
ANY_PORT = 0
PAYLOAD = bytes(range(256)) * 4
# A close by reset, so that the same pair of ports can be used again at once.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
ECHO_REQUEST, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def connect(place: Namespace, source: Address, target: Address, timeout_s: float) -> socket.socket:
    """A TCP connection of the place. `timeout_s` stays on for its later sends and reads."""
    stream = place.socket(_family(target[0]), socket.SOCK_STREAM)
    try:
        stream.settimeout(timeout_s)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        stream.bind(source)
        stream.connect(target)
    except BaseException:
        stream.close()
        raise
    return stream


def echo_over(stream: socket.socket, payload: bytes = PAYLOAD) -> None:
    """Sends `payload` and wants it back over an open connection."""
    stream.sendall(payload)
    received = b""
    while len(received) < len(payload):
        piece = stream.recv(65536)
        if not piece:
            raise ConnectionError("closed in the middle of an echo")
        received += piece
    if received != payload:
        raise OSError("the echo was not what was sent")


def tcp_echo(place: Namespace, source: Address, target: Address, timeout_s: float) -> None:
    with connect(place, source, target, timeout_s) as stream:
        echo_over(stream)


def http_get(place: Namespace, source: Address, target: Address, timeout_s: float) -> bytes:
    """The body of `GET /`. Raises OSError when the answer is not 200."""
    host = f"[{target[0]}]" if ":" in target[0] else target[0]
    return http_body(place, source, target, f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n", timeout_s)


def http_body(
    place: Namespace, source: Address, target: Address, request: str, timeout_s: float
) -> bytes:
    with connect(place, source, target, timeout_s) as stream:
        stream.sendall(request.encode())
        answer = b""
        while piece := stream.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise OSError("the answer was not 200")
    return body


def ping(place: Namespace, source: str, target: str, timeout_s: float) -> None:
    """One ICMP or ICMPv6 echo (RFC 792, RFC 4443)."""
    version = 6 if ":" in target else 4
    protocol = socket.IPPROTO_ICMPV6 if version == 6 else socket.IPPROTO_ICMP
    token = os.urandom(16)
    with _bound(place.socket(_family(target), socket.SOCK_RAW, protocol), source) as raw:
        raw.sendto(_echo_request(ECHO_REQUEST[version], token), (target, 0))
        deadline = time.monotonic() + timeout_s
        while True:
            raw.settimeout(max(0.001, deadline - time.monotonic()))
            answer = raw.recv(2048)
            if version == 4:
                answer = answer[(answer[0] & 15) * 4 :]
            if answer[0] == ECHO_REPLY[version] and answer.endswith(token):
                return
            if time.monotonic() > deadline:
                raise TimeoutError("no echo reply")


@contextmanager
def _bound(raw: socket.socket, source: str) -> Iterator[socket.socket]:
    with raw:
        raw.bind((source, 0))
        yield raw


def _echo_request(kind: int, token: bytes) -> bytes:
    # The kernel writes the checksum of ICMPv6 and not that of ICMP; the wrong one is overwritten.
    packet = struct.pack("!BBHHH", kind, 0, 0, os.getpid() & 0xFFFF, 1) + token
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:2] + struct.pack("!H", ~total & 0xFFFF) + packet[4:]
