"""The mirrors of a feed, in order, and again: the first body that passes every check.

In: a feed, how to ask, and what was accepted before. Out: `Found`, or NothingError with what each
address said. A mirror that is down, late, tampered with or behind costs its place, not the feed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit

from enforcer.feeds.checking import Checked, RefusedError, check
from enforcer.feeds.shelf import digest_of
from enforcer.feeds.state import Accepted
from enforcer.feeds.transfer import Answer, Known, Line, TransferError, shown_url
from enforcer.policy.feed import Feed

# Attempts at all mirrors, and the pauses before a next one: anywhere below ("full jitter").
ROUNDS = 3
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 20.0
# A signature file of minisign; larger ones are none.
SIGNATURE_BYTES = 16 * 1024

Pause = Callable[[float], bool]


@dataclass(frozen=True, slots=True)
class Failure:
    """What one address said, without its query. `refused`: it gave a body that is not taken."""

    url: str
    problem: str
    refused: bool

    def __str__(self) -> str:
        return f"{self.url} {self.problem}"


class NothingError(Exception):
    """No address gave a body that is taken. `wait_s`: a server asks not to come before that."""

    def __init__(self, failures: Sequence[Failure], wait_s: float, details: str = "") -> None:
        self.failures, self.wait_s, self.details = tuple(failures), wait_s, details
        super().__init__(" · ".join(map(str, failures)))

    @property
    def refused(self) -> bool:
        """Whether somebody served what is no good, rather than nothing."""
        return any(failure.refused for failure in self.failures)


@dataclass(frozen=True, slots=True)
class Found:
    """`checked` is None when the server said that nothing has changed. `failures` are of addresses
    that came before. `url` is without its query, `address` the digest of all of it.
    """

    url: str
    address: str
    known: Known
    checked: Checked | None
    failures: tuple[Failure, ...] = ()


@dataclass(slots=True)
class Fetch:
    """One turn for one feed. `held`: what was accepted is on the disk, by today's terms. `pause`
    sleeps, and tells whether to stop. The turn takes `timeout_s` for each address at most: each has
    all of it once, for body and signature, and what is left of it is for further rounds.
    """

    feed: Feed
    line: Line
    categories: Sequence[str]
    before: Accepted | None
    held: bool
    pause: Pause
    _failures: dict[str, Failure] = field(default_factory=dict)
    _details: str = ""

    def run(self) -> Found:
        """Raises NothingError."""
        wait_s = 0.0
        until_s = time.monotonic() + self.feed.timeout_s * len(self.feed.urls)
        left = list(self.feed.urls)
        for number in range(ROUNDS):
            again: list[str] = []
            for url in left:
                left_s = until_s - time.monotonic()
                if self._failures and (left_s <= 0 or self.pause(0.0)):
                    break
                try:
                    found = self._one(url, min(self.feed.timeout_s, left_s))
                except TransferError as error:
                    # What the last moment of a turn was too short for is no news of an address.
                    if not (error.late and url in self._failures):
                        self._failed(url, str(error), refused=False)
                    wait_s = max(wait_s, error.wait_s)
                    again += [url] if error.again else []
                except RefusedError as error:
                    self._failed(url, str(error), refused=True)
                    self._details = self._details or error.details
                    again += [url] if error.again else []
                else:
                    self._failures.pop(url, None)
                    return found
            left = again
            longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 4**number)
            # A server that asks for more patience than a turn has is asked next time.
            if not left or number == ROUNDS - 1 or wait_s > longest:
                break
            pause_s = random.uniform(wait_s, longest)
            if time.monotonic() + pause_s >= until_s or self.pause(pause_s):
                break
        raise NothingError(self._told(), wait_s, self._details)

    def _one(self, url: str, within_s: float) -> Found:
        until_s = time.monotonic() + within_s
        known, address = Known(), digest_of(url.encode())
        if self.held and self.before is not None and self.before.address == address:
            known = Known(self.before.etag, self.before.last_modified)
        answer = self.line.get(url, self.feed.max_bytes, known, within_s)
        if answer.body is None:
            return Found(shown_url(url), address, known, None, self._told())
        checked = check(
            self.feed,
            answer.body,
            self._signature(url, answer, until_s - time.monotonic()),
            self.categories,
            self.before,
            held=self.held,
        )
        return Found(shown_url(url), address, answer.known, checked, self._told())

    def _signature(self, url: str, answer: Answer, within_s: float) -> bytes | None:
        if not self.feed.public_keys:
            if not answer.framed:
                raise RefusedError(
                    "does not say where its body ends, so one cut short would not be noticed; have "
                    "the server send its length, or have it signed"
                )
            return None
        try:
            address = signature_url(url)
            return self.line.get(address, SIGNATURE_BYTES, within_s=within_s).body
        except TransferError as error:
            raise TransferError(
                f"has no signature beside it that can be read: .minisig {error}",
                again=error.again,
                wait_s=error.wait_s,
                late=error.late,
            ) from error

    def _failed(self, url: str, problem: str, *, refused: bool) -> None:
        self._failures[url] = Failure(shown_url(url), problem, refused)

    def _told(self) -> tuple[Failure, ...]:
        return tuple(self._failures[url] for url in self.feed.urls if url in self._failures)


def signature_url(url: str) -> str:
    """`.minisig` behind the path, before a query."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"{parts.path}.minisig"))
