"""`python -m enforcer.lab.servers SPEC…`: what answers in the lab. A process, so that a kept lab
still answers.

In: specs `tcp:[ADDRESS]:PORT` (echo), `udp:[ADDRESS]:PORT` (echo), `http:[ADDRESS]:PORT` (a short
page); an empty address means all, IPv4 and IPv6. Out: the line `ready` once all of them listen. It
must only be started inside a namespace of the lab.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from dataclasses import dataclass
from typing import cast

PAGE = b"<!doctype html><title>lab</title><p>an ordinary page\n"
RESPONSE = (
    b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE
)
READY = "ready"
QUIET_S = 300.0


@dataclass(frozen=True, slots=True)
class Spec:
    kind: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.kind}:[{self.address}]:{self.port}"


def parse(text: str) -> Spec:
    kind, _, rest = text.partition(":[")
    address, _, port = rest.partition("]:")
    if kind not in ("tcp", "udp", "http") or not port.isdecimal():
        raise ValueError(f"{text!r} is no server; write tcp:[ADDRESS]:PORT, udp:… or http:…")
    return Spec(kind, address, int(port))


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await asyncio.wait_for(reader.read(65536), QUIET_S):
            writer.write(data)
            await writer.drain()
    except (OSError, TimeoutError):
        pass
    finally:
        writer.close()


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), QUIET_S)
        writer.write(RESPONSE)
        await writer.drain()
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


class _Mirror(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # 3.11's own datagram transport is no subclass of DatagramTransport.
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


def _listener(spec: Spec) -> socket.socket:
    kind = socket.SOCK_DGRAM if spec.kind == "udp" else socket.SOCK_STREAM
    family = socket.AF_INET if "." in spec.address else socket.AF_INET6
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6 and not spec.address:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setblocking(False)
    listener.bind((spec.address or "::", spec.port))
    return listener


async def serve(specs: list[Spec]) -> None:
    loop = asyncio.get_running_loop()
    keep: list[object] = []
    for spec in specs:
        listener = _listener(spec)
        if spec.kind == "udp":
            keep.append(await loop.create_datagram_endpoint(_Mirror, sock=listener))
        else:
            handler = _page if spec.kind == "http" else _echo
            keep.append(await asyncio.start_server(handler, sock=listener))
    print(READY, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve([parse(argument) for argument in sys.argv[1:]]))
