"""The port under every kind of visitor: slow, silent, many, greedy, nonsensical."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from enforcer.observe.http import server
from enforcer.observe.http.message import Names, RefusedError, Request, Response
from enforcer.observe.http.server import Entry, Port, listen

PATIENCE_S = 20
BIG = b"x" * (8 * 1024 * 1024)


@dataclass
class World:
    address: tuple[str, int]
    port: Port
    told: list[tuple[str, str]]
    hold: threading.Event
    seen: list[Request] = field(default_factory=list)

    def connect(self) -> socket.socket:
        one = socket.create_connection(self.address, PATIENCE_S)
        one.settimeout(PATIENCE_S)
        return one

    def ask(self, sent: bytes) -> bytes:
        with self.connect() as one:
            one.sendall(sent)
            return read(one)

    def get(self, path: str, method: str = "GET") -> bytes:
        return self.ask(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def read(one: socket.socket) -> bytes:
    data = b""
    while chunk := one.recv(65536):
        data += chunk
    return data


@pytest.fixture
def world() -> Iterator[World]:
    (listener,) = listen("127.0.0.1", 0)
    told: list[tuple[str, str]] = []
    hold = threading.Event()
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        match request.path:
            case "/hold":
                hold.wait(PATIENCE_S)
            case "/big":
                return Response(BIG)
            case "/bug":
                raise KeyError("198.51.100.7")
            case "/refused":
                raise RefusedError(server.HTTPStatus.NOT_FOUND, "nothing; look elsewhere")
        return Response(b"ok\n")

    names = Names(frozenset({"localhost"}))
    address = listener.getsockname()
    port = Port(
        [listener],
        Entry(names),
        answer,
        lambda event, what: told.append((event, what)),
        quick=frozenset({"/healthz"}),
    )
    yield World(address, port, told, hold, seen)
    hold.set()
    port.close()


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:80]
    return int(answer[9:12])


def test_a_get_and_a_head_are_answered(world: World) -> None:
    assert world.get("/metrics").endswith(b"\r\n\r\nok\n")
    assert world.get("/metrics", "HEAD").endswith(b"Connection: close\r\n\r\n")
    assert [r.trusted for r in world.seen] == [True, True], "asked from this machine"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"hello\n", 400),
        (b"POST /metrics HTTP/1.1\r\n", 405),
        (b"GET /" + b"a" * 5000, 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 5000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 100, 431),
        (b"GET / HTTP/1.1\r\n" + (b"X: " + b"a" * 1500 + b"\r\n") * 8, 431),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        (b"GET /refused HTTP/1.0\r\n\r\n", 404),
        (b"\r\nGET /metrics HTTP/1.0\n\n", 200),
    ],
)
def test_nonsense_is_refused_at_once_and_clearly(world: World, sent: bytes, code: int) -> None:
    """Without waiting for the rest of it: the answer comes while the client may still send."""
    assert status(world.ask(sent)) == code
    assert status(world.get("/metrics")) == 200
    assert world.told == []


def test_a_mistake_of_ours_is_a_500_and_told_without_its_text(world: World) -> None:
    answer = world.get("/bug")
    assert status(answer) == 500
    (told,) = world.told
    assert told[0] == "port_failed"
    assert told[1].startswith("KeyError in answer:")
    assert "198.51.100.7" not in told[1] + answer.decode()


def test_a_client_that_drips_loses_by_the_clock(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte in time, the request as a whole too late."""
    monkeypatch.setattr(server, "REQUEST_S", 0.5)
    with world.connect() as slow:
        answered: list[bytes] = []
        reader = threading.Thread(target=lambda: answered.append(read(slow)))
        reader.start()
        for byte in b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1000:
            if answered or not reader.is_alive():
                break
            slow.send(bytes([byte]))
            time.sleep(0.05)
        reader.join(PATIENCE_S)
    assert status(answered[0]) == 408
    assert world.seen == []


def test_silent_clients_of_any_number_keep_nobody_out(world: World) -> None:
    """The one that has waited longest gives way."""
    with ExitStack() as stack:
        silent = [stack.enter_context(world.connect()) for _ in range(server.MOST_CONNECTIONS * 2)]
        assert status(world.get("/metrics")) == 200
        assert silent[0].recv(1) == b"", "it was sent away"
        assert len(world.port._guests) <= server.MOST_CONNECTIONS


def test_a_slow_answer_holds_up_no_quick_one(world: World) -> None:
    with world.connect() as slow:
        slow.sendall(b"GET /hold HTTP/1.0\r\n\r\n")
        eventually(lambda: world.seen)
        assert status(world.get("/healthz")) == 200
        world.hold.set()
        assert status(read(slow)) == 200


def test_slow_readers_of_big_answers_keep_nobody_out_and_little_memory(world: World) -> None:
    with ExitStack() as stack:
        readers = [stack.enter_context(world.connect()) for _ in range(12)]
        for one in readers:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.sendall(b"GET /big HTTP/1.0\r\n\r\n")
        eventually(lambda: len(world.seen) == len(readers))
        eventually(lambda: waiting(world) <= server.MOST_WAITING_BYTES)
        assert status(world.get("/metrics")) == 200
        assert waiting(world) >= len(BIG), "those that are left still get theirs"


def waiting(world: World) -> int:
    return sum(guest.sending for guest in list(world.port._guests))


def test_a_big_answer_arrives_whole(world: World) -> None:
    assert world.get("/big").endswith(BIG)


def test_a_reader_that_never_reads_is_let_go(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_S", 0.3)
    with world.connect() as deaf:
        deaf.sendall(b"GET /big HTTP/1.0\r\n\r\n")
        eventually(lambda: world.seen)
        eventually(lambda: not world.port._guests)


def test_without_descriptors_it_waits_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_RETRY_S", 0.1)
    accept = world.port._loop.sock_accept
    failures = [OSError(errno.EMFILE, "Too many open files"), OSError(errno.ECONNABORTED, "gone")]

    async def short(listener: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise failures.pop(0)
        return await accept(listener)

    monkeypatch.setattr(world.port._loop, "sock_accept", short)
    # The accept under way is still the old one.
    assert status(world.get("/metrics")) == 200
    assert status(world.get("/metrics")) == 200
    assert world.told == [("port_short", "Too many open files")]


def test_it_takes_a_quarter_of_the_descriptors_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.resource, "getrlimit", lambda _: (40, 40))
    port = Port([], Entry(Names(frozenset())), lambda _: Response(b""), lambda *_: None)
    assert port._most == 10
    port.close()


def test_names_can_be_renewed_while_it_runs(world: World) -> None:
    asked = b"GET /metrics HTTP/1.1\r\nHost: gw1.isp.example\r\n\r\n"
    assert status(world.ask(asked)) == 421
    world.port.renew(Entry(Names(frozenset({"gw1.isp.example"}))))
    assert status(world.ask(asked)) == 200


def test_closed_it_answers_nobody_and_leaves_no_thread(world: World) -> None:
    with world.connect() as silent:
        world.port.close()
        assert silent.recv(1) == b""
    assert not world.port._thread.is_alive()
    with pytest.raises(OSError, match="refused"):
        world.connect()


def test_an_address_that_is_taken_is_an_error() -> None:
    (first,) = listen("127.0.0.1", 0)
    with first, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", first.getsockname()[1])


def test_localhost_is_every_address_of_it() -> None:
    listeners = listen("localhost", 0)
    try:
        assert {one.getsockname()[0] for one in listeners} <= {"127.0.0.1", "::1"}
    finally:
        for one in listeners:
            one.close()


def eventually(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.01)
