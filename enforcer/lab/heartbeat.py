"""A steady beat of datagrams through the whole run, and what its silences say.

In: a place, a source, a target that echoes. Out: for each beat when it was sent and whether its
echo came. The silences are the measured edges of windows; a beat that must never be lost shows
that opening and closing costs nobody a packet. The analysis is pure.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from enforcer.lab.machine import wall
from enforcer.lab.namespace import Namespace
from enforcer.lab.probes import Address

INTERVAL_S = 0.02
LAST_ECHO_S = 0.5
ECHO_S = 0.1
_BEAT = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Beat:
    """`sent_at` in seconds since the epoch."""

    sent_at: float
    echoed: bool


@dataclass(frozen=True, slots=True)
class Silence:
    """`from_` is when the first lost beat was sent, `until` when the next echoed one was: None for
    a silence that lasts to the end of the record."""

    from_: float
    until: float | None


def silences(beats: list[Beat], join_s: float = 0.0) -> list[Silence]:
    """The silences in order; those less than `join_s` apart are one."""
    apart = _apart(beats)
    found = apart[:1]
    for silence in apart[1:]:
        last = found[-1]
        if last.until is not None and silence.from_ - last.until < join_s:
            found[-1] = Silence(last.from_, silence.until)
        else:
            found.append(silence)
    return found


def _apart(beats: list[Beat]) -> list[Silence]:
    found: list[Silence] = []
    began: float | None = None
    for beat in beats:
        if not beat.echoed and began is None:
            began = beat.sent_at
        elif beat.echoed and began is not None:
            found.append(Silence(began, beat.sent_at))
            began = None
    if began is not None:
        found.append(Silence(began, None))
    return found


class Heart:
    """Sends a beat each `INTERVAL_S` from its own thread, between enter and exit."""

    def __init__(self, place: Namespace, source: Address, target: Address) -> None:
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._socket = place.socket(family, socket.SOCK_DGRAM)
        self._socket.bind(source)
        self._socket.connect(target)
        self._socket.setblocking(False)
        self._sent: list[float] = []
        self._echoed: set[int] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"heart-{place.role}", daemon=True)

    def __enter__(self) -> Heart:
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

    def beats(self) -> list[Beat]:
        """The record so far; the last beats may still be on their way."""
        echoed = set(self._echoed)
        return [Beat(at, number in echoed) for number, at in enumerate(list(self._sent))]

    def heard_since(self, instant: float) -> bool:
        """Whether a beat sent at or after `instant` was echoed."""
        return any(beat.echoed for beat in self.beats() if beat.sent_at >= instant)

    def silent_at(self, instant: float) -> bool:
        """Whether the beats sent lately, but long enough ago for an echo, were all lost."""
        lately = [
            beat.echoed
            for beat in self.beats()
            if instant - 3 * ECHO_S <= beat.sent_at <= instant - ECHO_S
        ]
        return bool(lately) and not any(lately)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self._sent.append(wall())
            with contextlib.suppress(OSError):  # an ICMP error for an earlier beat
                self._socket.send(_BEAT.pack(len(self._sent) - 1))
            self._listen()
        deadline = time.monotonic() + LAST_ECHO_S
        while len(self._echoed) < len(self._sent) and time.monotonic() < deadline:
            time.sleep(INTERVAL_S)
            self._listen()

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    answer = self._socket.recv(64)
                except ConnectionRefusedError:
                    continue
                if len(answer) == _BEAT.size:
                    self._echoed.add(_BEAT.unpack(answer)[0])
