"""Mirrors in order, and again with pauses: the first body that is right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import pytest

from enforcer.feeds.fetching import Fetch, Found, NothingError, signature_url
from enforcer.feeds.shelf import digest_of
from enforcer.feeds.state import Accepted
from enforcer.feeds.transfer import Line, tls_context
from enforcer.policy.feed import Feed
from tests.feeds.feed_world import NOW, Authority, Registrar, Request, Signer, answer, csv, raw

BODY = csv(3)


class World:
    """One turn for a feed with these addresses; `pauses` are those it made."""

    def __init__(self, authority: Authority, signer: Signer) -> None:
        self.feed = Feed("registrar", "r.csv", (), (signer.public,))
        self.line = Line(10.0, tls_context(str(authority.ca)))
        self.pauses: list[float] = []
        self.before: Accepted | None = None
        self.stops = False

    def pause(self, seconds: float) -> bool:
        if seconds:
            self.pauses.append(seconds)
        return self.stops

    def run(self, *urls: str, signed: bool = True) -> Found:
        keys = self.feed.public_keys if signed else ()
        feed = replace(self.feed, urls=urls, public_keys=keys)
        held = self.before is not None
        return Fetch(feed, self.line, ("mission",), self.before, held, self.pause).run()

    def nothing(self, *urls: str, signed: bool = True) -> NothingError:
        with pytest.raises(NothingError) as caught:
            self.run(*urls, signed=signed)
        return caught.value


@pytest.fixture
def world(authority: Authority, signer: Signer) -> World:
    return World(authority, signer)


def in_turn(*answers: bytes) -> Callable[[Request], Iterable[bytes]]:
    """A route that answers otherwise each time; the last one stays."""
    left = list(answers)
    return lambda _: [left.pop(0) if len(left) > 1 else left[0]]


def test_the_first_address_serves_where_it_can(
    world: World, server: Registrar, signer: Signer
) -> None:
    url = server.serve("/a?token=s3cret", BODY, ETag='"v1"')
    server.routes["/a.minisig?token=s3cret"] = raw(answer(200, signer.sign(BODY, "serial:7")))
    found = world.run(url, server.url("/b"))
    assert found.checked is not None
    assert (found.checked.kept, found.checked.serial, found.failures) == (BODY, 7, ())
    assert found.url == server.url("/a"), "a query may be a secret"
    assert server.asked("/b") == []


def test_mirrors_are_asked_in_order_and_what_they_said_is_told(
    world: World, server: Registrar, signer: Signer
) -> None:
    server.serve("/behind", csv(2), signer.sign(csv(2), "serial:6"))
    server.serve("/tampered", BODY + b"x", signer.sign(BODY, "serial:8"))
    server.serve("/good", BODY, signer.sign(BODY, "serial:8"))
    world.before = Accepted("a" * 64, digest_of(b"x"), "u", "c" * 64, 1, NOW, 7)
    paths = ("/gone", "/behind", "/tampered", "/good")
    found = world.run(*map(server.url, paths))
    assert found.checked is not None
    assert found.checked.serial == 8
    assert [f.refused for f in found.failures] == [False, True, True]
    assert str(found.failures[1]).startswith(f"{server.url('/behind')} has serial 6, and 7 was")
    assert world.pauses == []


def test_what_may_pass_is_tried_again_after_a_pause_of_any_length(
    world: World, server: Registrar, signer: Signer
) -> None:
    server.routes["/a"] = in_turn(answer(503), b"HTTP/1.1 200 OK\r\n", answer(200, BODY))
    server.routes["/a.minisig"] = raw(answer(200, signer.sign(BODY, "serial:7")))
    assert world.run(server.url("/a"), server.url("/gone")).checked is not None
    assert len(world.pauses) == 2
    assert 0 <= world.pauses[0] <= 1
    assert 0 <= world.pauses[1] <= 4
    assert len(server.asked("/gone")) == 1, "what cannot pass is not tried again"


def test_a_body_that_is_exchanged_between_it_and_its_signature_is_read_again(
    world: World, server: Registrar, signer: Signer
) -> None:
    old, new = signer.sign(csv(2), "serial:6"), signer.sign(BODY, "serial:7")
    server.serve("/a", BODY)
    server.routes["/a.minisig"] = in_turn(answer(200, old), answer(200, new))
    assert world.run(server.url("/a")).checked is not None


def test_what_an_address_said_is_not_forgotten_for_a_round_that_was_too_short(
    world: World, server: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enforcer.feeds.fetching.random.uniform", lambda least, _: least)
    asked: list[Request] = []

    def route(request: Request) -> Iterator[bytes]:
        asked.append(request)
        if len(asked) > 1:
            time.sleep(1)
        yield answer(500)

    server.routes["/a"] = route
    world.feed = replace(world.feed, timeout_s=0.5)
    assert "answers 500" in str(world.nothing(server.url("/a")))
    assert len(asked) > 1


def test_it_ends_and_says_what_each_address_said(world: World, server: Registrar) -> None:
    server.routes["/a"] = raw(answer(500))
    server.serve("/b", BODY)
    error = world.nothing(server.url("/a"), server.url("/b"))
    assert str(error) == (
        f"{server.url('/a')} answers 500; it is tried again later · {server.url('/b')} has no "
        "signature beside it that can be read: .minisig answers 404; correct urls, or ask who "
        "publishes it"
    )
    assert not error.refused
    assert len(server.asked("/a")) == 3


def test_a_server_that_asks_for_patience_gets_it(world: World, server: Registrar) -> None:
    server.routes["/a"] = raw(answer(429, Retry_After="90"))
    error = world.nothing(server.url("/a"))
    assert error.wait_s == 90
    assert len(server.asked("/a")) == 1


def test_who_is_told_to_stop_stops(world: World, server: Registrar) -> None:
    server.routes["/a"] = raw(answer(503))
    world.stops = True
    world.nothing(server.url("/a"), server.url("/b"))
    assert len(server.asked("/a")) == 1
    assert server.asked("/b") == []


def test_only_the_address_that_gave_a_body_is_asked_whether_it_changed(
    world: World, server: Registrar, signer: Signer
) -> None:
    server.serve("/a", BODY, signer.sign(BODY, "serial:7"), ETag='"v1"')
    server.serve("/b", BODY, signer.sign(BODY, "serial:7"), ETag='"v1"')
    accepted = Accepted(
        "a" * 64, digest_of(BODY), server.url("/b"), "c" * 64, 3, NOW, 7, '"v1"', None,
        address=digest_of(server.url("/b").encode()),
    )  # fmt: skip
    world.before = accepted
    found = world.run(server.url("/a"))
    assert found.checked is not None
    assert found.checked.kept is None, "the same bytes as those that the daemon has"
    assert "if-none-match" not in server.asked("/a")[0].headers
    assert world.run(server.url("/b")).checked is None
    assert server.asked("/b")[0].headers["if-none-match"] == '"v1"'
    assert server.asked("/b.minisig") == []


def test_another_query_is_another_address(world: World, server: Registrar, signer: Signer) -> None:
    """Two lists of one server, with one ETag (the date of its last deployment, say)."""
    server.serve("/r?list=a", BODY, ETag='"v1"')
    server.serve("/r?list=b", csv(5), ETag='"v1"')
    for name, body, serial in (("a", BODY, 7), ("b", csv(5), 8)):
        signed = signer.sign(body, f"serial:{serial}")
        server.routes[f"/r.minisig?list={name}"] = raw(answer(200, signed))
    first = world.run(server.url("/r?list=a"))
    assert first.checked is not None
    assert "list" not in first.url + first.address
    world.before = Accepted(
        digest_of(BODY), first.checked.body, first.url, "c" * 64, 3, NOW, 7, first.known.etag, None,
        address=first.address,
    )  # fmt: skip
    assert world.run(server.url("/r?list=a")).checked is None, "unchanged"
    other = world.run(server.url("/r?list=b")).checked
    assert other is not None
    assert other.kept == csv(5)


def drip(_: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n"
    for _ in range(400):
        time.sleep(0.05)
        yield b"x"


def test_slow_addresses_take_a_turn_their_time_once(world: World, server: Registrar) -> None:
    world.feed, world.line = replace(world.feed, timeout_s=1), replace(world.line, timeout_s=1.0)
    server.routes |= {"/a": drip, "/b": drip}
    error = world.nothing(server.url("/a"), server.url("/b"))
    assert "was not whole within" in str(error)
    asked = [request.path for request in server.seen]
    assert asked in (["/a", "/b"], ["/a"]), "and no further round: there is no time left for one"
    assert world.pauses == []


def test_a_body_and_its_signature_share_that_time(world: World, server: Registrar) -> None:
    world.feed, world.line = replace(world.feed, timeout_s=1), replace(world.line, timeout_s=1.0)
    server.serve("/a", BODY)
    server.routes["/a.minisig"] = drip
    error = world.nothing(server.url("/a"))
    assert "no signature beside it that can be read: .minisig was not whole within" in str(error)
    assert len(server.asked("/a")) == 1


def test_unsigned_bodies_must_have_an_end(world: World, server: Registrar) -> None:
    server.routes["/a"] = raw(b"HTTP/1.1 200 OK\r\n\r\n", BODY)
    error = world.nothing(server.url("/a"), signed=False)
    assert "does not say where its body ends" in str(error)
    assert error.refused
    server.serve("/a", BODY)
    assert world.run(server.url("/a"), signed=False).checked is not None


def test_where_a_signature_is() -> None:
    assert signature_url("https://a.example/x/r.csv") == "https://a.example/x/r.csv.minisig"
    assert signature_url("https://a.example/r?x=1") == "https://a.example/r.minisig?x=1"
