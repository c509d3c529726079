"""The streams of the soak, and what became of each of their packets. Values only.

In: nothing. Out: `STREAMS`, what the traffic process sends and the judge looks at; and `Traffic`,
read back from that process's file. Times are nanoseconds of CLOCK_MONOTONIC, the clock of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# `registered`: never to be lost. `other`: transit of nobody's; no measure may touch it either.
# `stranger`: what guard holds back. `control`: a path beside the gateway, without rules.
Kind = Literal["registered", "other", "stranger", "control"]

REGISTERED4, REGISTERED6 = "198.51.100.1", "2001:db8:100::1"
STRANGER4, TRANSIT4, TRANSIT6 = "192.0.2.200", "192.0.2.201", "2001:db8:bad::1"
ESTATE4, ESTATE6 = "203.0.113.1", "2001:db8:10::1"
SUBSCRIBER4, SUBSCRIBER6 = "100.64.1.2", "2001:db8:64::2"
CONTROL_OUT, CONTROL_IN = "172.30.1.1", "172.30.2.1"
PORT, TRANSIT_PORT = 51820, 45000


@dataclass(frozen=True, slots=True)
class Stream:
    """UDP from `source` to `to`:`port`, sent by the peer `sender` (`out`: the uplink's far side,
    `in`: behind the gateway). `per_s` packets a second.
    """

    name: str
    kind: Kind
    sender: Literal["out", "in"]
    source: str
    to: str
    port: int
    per_s: int = 200

    @property
    def receiver(self) -> Literal["out", "in"]:
        return "in" if self.sender == "out" else "out"


STREAMS: tuple[Stream, ...] = (
    Stream("guarded, IPv4", "registered", "out", REGISTERED4, ESTATE4, PORT),
    Stream("guarded, IPv6", "registered", "out", REGISTERED6, ESTATE6, PORT),
    Stream("reserved, IPv4", "registered", "in", ESTATE4, REGISTERED4, PORT),
    Stream("reserved, IPv6", "registered", "in", ESTATE6, REGISTERED6, PORT),
    Stream("transit in, IPv4", "registered", "out", REGISTERED4, SUBSCRIBER4, TRANSIT_PORT),
    Stream("transit out, IPv6", "registered", "in", SUBSCRIBER6, REGISTERED6, TRANSIT_PORT),
    Stream("others' transit in, IPv4", "other", "out", TRANSIT4, SUBSCRIBER4, TRANSIT_PORT, 100),
    Stream("others' transit out, IPv4", "other", "in", SUBSCRIBER4, TRANSIT4, TRANSIT_PORT, 100),
    Stream("others' transit out, IPv6", "other", "in", SUBSCRIBER6, TRANSIT6, TRANSIT_PORT, 100),
    # Often, because it tells to the millisecond when a window lets go.
    Stream("stranger to the estate", "stranger", "out", STRANGER4, ESTATE4, PORT, 500),
    Stream("control in", "control", "out", CONTROL_OUT, CONTROL_IN, TRANSIT_PORT),
    Stream("control out", "control", "in", CONTROL_IN, CONTROL_OUT, TRANSIT_PORT),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """One stream's packets in order of sending: when each was sent, and whether it arrived."""

    stream: Stream
    at_ns: NDArray[np.int64]
    arrived: NDArray[np.bool_]

    @property
    def lost_ns(self) -> NDArray[np.int64]:
        """When the packets were sent that never arrived."""
        return self.at_ns[~self.arrived]

    def between(self, begin_ns: int, end_ns: int) -> int:
        """How many were sent at or after `begin_ns` and before `end_ns`."""
        first, last = np.searchsorted(self.at_ns, (begin_ns, end_ns))
        return int(last - first)


@dataclass(frozen=True, slots=True)
class Traffic:
    streams: tuple[Sent, ...]

    def of(self, kind: Kind) -> tuple[Sent, ...]:
        return tuple(s for s in self.streams if s.stream.kind == kind)

    def save(self, path: Path) -> None:
        arrays: dict[str, Any] = {f"at{n}": s.at_ns for n, s in enumerate(self.streams)}
        arrays |= {f"arrived{n}": s.arrived for n, s in enumerate(self.streams)}
        with path.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Traffic:
        with np.load(path) as arrays:
            return cls(
                tuple(
                    Sent(stream, arrays[f"at{n}"], arrays[f"arrived{n}"])
                    for n, stream in enumerate(STREAMS)
                )
            )
