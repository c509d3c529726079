"""The port itself: a thread of its own with a loop of its own, bounded in everything.

Connections come in, one request each; answers go out. However slow, many or nonsensical they are,
the daemon's loop never waits for one of them: it only leaves values behind that this thread reads.

Bounds: connections (the one that has been waiting longest gives way to a new one), the time for a
handshake, a request and an answer as a whole (not for each byte: a client that sends one every
second gains nothing), the size of a head, the bytes of answers that wait for slow readers, and the
share of a core that making answers may take.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

from enforcer.observe.http.message import (
    LIMIT_FIELDS,
    LIMIT_HEAD_BYTES,
    LIMIT_LINE_BYTES,
    Names,
    RefusedError,
    Request,
    Response,
    check_request_line,
    encode,
    parse_request,
)

MOST_CONNECTIONS = 64
MOST_WAITING_BYTES = 32 * 1024 * 1024
REQUEST_S = 5.0
ANSWER_S = 20.0
# After an answer: for the client to read it before the connection is gone.
LINGER_S = 1.0
_CHUNK = 64 * 1024
_SHORT = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_RETRY_S = 1.0
# A rest after each answer as long as it took to make, so that questions take half a core at most.
_LONGEST_REST_S = 0.5

Answer = Callable[[Request], Response]
# An event of the port for the log: its name and what went wrong.
Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """How connections come in: in the clear when `tls` is None."""

    names: Names
    tls: ssl.SSLContext | None = None


@dataclass(slots=True, eq=False)
class _Guest:
    """A connection that is open. `sending`: bytes of an answer that it has not yet taken."""

    task: asyncio.Task[None]
    sending: int = 0


def listen(host: str, port: int, make: type[socket.socket] = socket.socket) -> list[socket.socket]:
    """Listening sockets of the type `make` at the address, or at all that a name has. Raises
    OSError.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    listeners: list[socket.socket] = []
    problem: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        one = make(family, kind, protocol)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
            one.listen(128)
            one.setblocking(False)
        except OSError as error:
            one.close()
            problem = error
        else:
            listeners.append(one)
    if not listeners:
        raise problem or OSError(errno.EADDRNOTAVAIL, "no address")
    return listeners


class Port:
    """Serves `answer` at `listeners` from its construction until `close`. `answer` runs in a thread
    of its own, one request at a time, but for `quick` paths; those must cost next to nothing.
    """

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        entry: Entry,
        answer: Answer,
        tell: Tell,
        quick: frozenset[str] = frozenset(),
    ) -> None:
        self._listeners, self._entry = listeners, entry
        self._answer, self._tell, self._quick = answer, tell, quick
        self._guests: dict[_Guest, None] = {}
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # The daemon itself must never find the descriptors used up by its visitors.
        few = MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(4, soft // 4)
        self._most = min(MOST_CONNECTIONS, few)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="port", daemon=True)
        self._thread.start()

    def renew(self, entry: Entry) -> None:
        """What connections from now on come in by: a certificate read anew, other names."""
        self._entry = entry

    def close(self) -> None:
        """Ends every connection and the thread."""
        with contextlib.suppress(RuntimeError):  # closed before
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        self._worker.shutdown(wait=False, cancel_futures=True)
        for listener in self._listeners:
            listener.close()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        # What clients do wrong is no news for the daemon's log.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        accepting = [asyncio.create_task(self._accept(one)) for one in self._listeners]
        await self._stop.wait()
        tasks = [*accepting, *(guest.task for guest in self._guests)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- connections -----------------------------------------------------------------------------

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, address = await self._loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _SHORT:
                    self._tell("port_short", str(error.strerror))
                    await asyncio.sleep(_RETRY_S)
                continue
            if len(self._guests) >= self._most:
                self._send_away(next(iter(self._guests)))
            local = _is_loopback(address)
            guest = _Guest(asyncio.create_task(self._receive(peer, local)))
            self._guests[guest] = None
            guest.task.add_done_callback(partial(self._forget, guest))

    def _forget(self, guest: _Guest, _task: asyncio.Task[None]) -> None:
        self._guests.pop(guest, None)

    def _send_away(self, guest: _Guest) -> None:
        self._guests.pop(guest, None)
        guest.task.cancel()

    def _make_room(self, guest: _Guest, size: int) -> None:
        """Room for an answer: whoever has been taking theirs the longest loses it."""
        guest.sending = size
        waiting = sum(g.sending for g in self._guests)
        for other in list(self._guests):
            if waiting <= MOST_WAITING_BYTES:
                return
            if other is not guest and other.sending:
                waiting -= other.sending
                self._send_away(other)

    async def _receive(self, peer: socket.socket, local: bool) -> None:
        entry = self._entry
        reader = asyncio.StreamReader(limit=LIMIT_LINE_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        secure = {} if entry.tls is None else _SECURE
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol, peer, ssl=entry.tls, **secure
            )
        except (OSError, TimeoutError):
            # Not TLS, no certificate where one is asked for, or gone: theirs to find out.
            peer.close()
            return
        except asyncio.CancelledError:
            peer.close()
            raise
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        verified = entry.tls is not None and entry.tls.verify_mode == ssl.CERT_REQUIRED
        try:
            await self._converse(reader, writer, entry.names, trusted=local or verified)
        except (OSError, TimeoutError, EOFError):
            pass
        finally:
            transport.abort()

    async def _converse(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        names: Names,
        trusted: bool,
    ) -> None:
        with_body = True
        try:
            async with asyncio.timeout(REQUEST_S):
                request = await _read_request(reader, names, trusted)
            with_body = request.method != "HEAD"
            response = await self._make(request)
        except TimeoutError:
            late = RefusedError(HTTPStatus.REQUEST_TIMEOUT, "the request took too long; send it")
            response = late.response()
        except RefusedError as refused:
            response = refused.response()
        await self._send(writer, encode(response, with_body=with_body))
        await _part(reader, writer)

    async def _make(self, request: Request) -> Response:
        if request.path in self._quick:
            return self._safely(request)
        return await self._loop.run_in_executor(self._worker, self._with_rest, request)

    def _with_rest(self, request: Request) -> Response:
        began = time.perf_counter()
        response = self._safely(request)
        spent = time.perf_counter() - began
        # In the worker: a later answer waits, this one does not.
        with contextlib.suppress(RuntimeError):  # when the port is being closed
            self._worker.submit(time.sleep, min(spent, _LONGEST_REST_S))
        return response

    def _safely(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except RefusedError as refused:
            return refused.response()
        except Exception as error:
            # Its text may hold anything: the log gets the kind and the place.
            place = error.__traceback__
            while place is not None and place.tb_next is not None:
                place = place.tb_next
            where = f"{place.tb_frame.f_code.co_name}:{place.tb_lineno}" if place else "?"
            self._tell("port_failed", f"{type(error).__name__} in {where}")
            text = b"the daemon failed to answer; its log says more\n"
            return Response(text, status=HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        guest = next((g for g in self._guests if g.task is asyncio.current_task()), None)
        if guest is not None:
            self._make_room(guest, len(data))
        # So that `drain` waits until the last byte is with the kernel.
        writer.transport.set_write_buffer_limits(0)
        view = memoryview(data)
        async with asyncio.timeout(ANSWER_S):
            for start in range(0, len(view), _CHUNK):
                writer.write(view[start : start + _CHUNK])
                await writer.drain()


_SECURE = {"ssl_handshake_timeout": REQUEST_S, "ssl_shutdown_timeout": LINGER_S}


def _is_loopback(address: object) -> bool:
    host = str(address[0]) if isinstance(address, tuple) else ""
    return host.removeprefix("::ffff:").startswith("127.") or host == "::1"


async def _read_request(reader: asyncio.StreamReader, names: Names, trusted: bool) -> Request:
    """Refuses at the first line that is wrong: whoever talks nonsense need not finish it."""
    start = await reader.readexactly(1)
    if not start.isalpha() and start not in b"\r\n":
        raise RefusedError(
            HTTPStatus.BAD_REQUEST, "this is no HTTP request; ask like GET /metrics HTTP/1.1"
        )
    try:
        first = _line(start + await reader.readuntil(b"\n"))
        if not first:
            # An empty line before the request is to be forgiven (RFC 9112, 2.2).
            first = _line(await reader.readuntil(b"\n"))
    except asyncio.LimitOverrunError:
        raise RefusedError(
            HTTPStatus.REQUEST_URI_TOO_LONG, "the first line is too long; ask for less"
        ) from None
    check_request_line(first)
    lines: list[bytes] = []
    size = len(first)
    try:
        while line := _line(await reader.readuntil(b"\n")):
            lines.append(line)
            size += len(line)
            if size > LIMIT_HEAD_BYTES or len(lines) > LIMIT_FIELDS:
                raise _too_large()
    except asyncio.LimitOverrunError:
        raise _too_large() from None
    return parse_request(first, lines, names, trusted)


def _too_large() -> RefusedError:
    return RefusedError(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the header is too large; send less of it"
    )


def _line(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n").removesuffix(b"\r")


async def _part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Closes so that the answer arrives: a connection with bytes unread would be reset."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_S):
            if writer.can_write_eof():
                writer.write_eof()
                left = LIMIT_HEAD_BYTES * 8
                while left > 0 and (chunk := await reader.read(_CHUNK)):
                    left -= len(chunk)
            else:
                writer.close()
                await writer.wait_closed()
