"""Foreign flushes: another program (nft) empties something of our table, and the repair is timed.

In: the gateway's namespace, with a window armed in it. Out: the fault, from just before the program
starts to the moment the kernel holds again what it held: chains, sets, ledger, the peers' elements.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from socket import AF_INET, AF_INET6, inet_pton

from enforcer.errors import KernelError
from enforcer.kernel.nft import NftKernel
from enforcer.lab.namespace import Namespace
from enforcer.ruleset.transaction import KernelState
from enforcer.ruleset.vocabulary import FRONT, LEDGER_CHAIN, TABLE
from soak.gateway import SoakError
from soak.in_force import in_force
from soak.judge import Fault
from soak.streams import REGISTERED4, REGISTERED6

KINDS = ("ruleset", "table", "set", "chain")
PATIENCE_S = 30.0
_MAP = re.compile(r"reg([46])-(\d+)-\d+")
_POLL_S = 0.0005
# (times, seconds): fewer than what makes the daemon give in (`enforcer/contest.py`).
_AT_MOST = 4, 11.0


@dataclass(frozen=True, slots=True)
class Held:
    """What the gateway's kernel holds; `peers` are the elements of the streams' own peers in the
    registered maps, `front` is the front filter's listing (empty: there is none).
    """

    state: KernelState
    peers: object
    front: str


class Flusher:
    """`repairs_s`: (size, kind) → seconds from the flush's generation to the repair."""

    def __init__(self, place: Namespace, draw: Random) -> None:
        self._place, self._draw = place, draw
        self._kernel = NftKernel(place.name)
        self._times: list[float] = []
        self.repairs_s: dict[tuple[str, str], list[float]] = {}

    def close(self) -> None:
        self._kernel.close()

    def flush(self, kind: str, size: str) -> Fault:
        """Raises SoakError when it is not repaired."""
        self._pause()
        before = self._settled()
        what = self._what(kind)
        begin_ns, generation = time.monotonic_ns(), self._kernel.generation()
        with subprocess.Popen(self._place.argv("nft", "flush", *what)) as nft:
            while self._kernel.generation() == generation and nft.poll() is None:
                time.sleep(_POLL_S)
            flushed = time.monotonic()
            self._wait(before, what)
            repaired_ns = time.monotonic_ns()
        if nft.returncode:
            raise SoakError(f"nft flush {' '.join(what)}: exit {nft.returncode}")
        self.repairs_s.setdefault((size, kind), []).append(repaired_ns / 1e9 - flushed)
        return Fault(f"foreign flush: {kind}, {size}", begin_ns, repaired_ns, foreign=True)

    def flush_unseen(self, while_dead: Callable[[Callable[[], None]], None]) -> Fault:
        """A registered map, while nobody looks: `while_dead` kills the daemon, calls what it is
        given, and starts it again.
        """
        before = self._settled()
        maps = [n for n, s in self._kernel.read().sets.items() if s.kind == "registered"]
        what = "map", "inet", TABLE, self._draw.choice(sorted(maps))
        begin_ns = time.monotonic_ns()

        def flush() -> None:
            subprocess.run(self._place.argv("nft", "flush", *what), check=True, timeout=60)

        while_dead(flush)
        self._wait(before, what)
        return Fault("foreign flush: map, daemon dead", begin_ns, time.monotonic_ns(), foreign=True)

    def _pause(self) -> None:
        """Not so often that the daemon takes it for a contest, and stands down."""
        self._times = [at for at in self._times if time.monotonic() - at < _AT_MOST[1]]
        if len(self._times) >= _AT_MOST[0]:
            time.sleep(self._times[0] + _AT_MOST[1] - time.monotonic())
        self._times.append(time.monotonic())

    def _what(self, kind: str) -> tuple[str, ...]:
        state = self._kernel.read()
        if kind == "ruleset":
            return ("ruleset",)
        if kind == "table":
            return ("table", "inet", TABLE)
        if kind == "chain":
            return "chain", "inet", TABLE, self._draw.choice([*sorted(state.chains), LEDGER_CHAIN])
        name = self._draw.choice(sorted(n for n, s in state.sets.items()))
        is_map = state.sets[name].kind in ("registered", "classes")
        return "map" if is_map else "set", "inet", TABLE, name

    def _wait(self, before: Held, what: tuple[str, ...]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if self._repaired(before, what):
                    return
            except KernelError:
                pass  # it changes as we look
            if time.monotonic() > deadline:
                raise SoakError(f"nft flush {' '.join(what)}: not repaired in {PATIENCE_S:.0f} s")
            time.sleep(_POLL_S)

    def _repaired(self, before: Held, what: tuple[str, ...]) -> bool:
        state = self._kernel.read()
        if not in_force(state, before.state) or self._peers(state) != before.peers:
            return False
        # Listing it takes a process, so only where it matters. None at all is as good.
        return FRONT not in what or self._front(state) in ("", before.front)

    def _settled(self) -> Held:
        """As the daemon leaves it: the same at two looks."""
        last, deadline = self._held(), time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            time.sleep(0.02)
            now = self._held()
            if in_force(now.state, last.state) and (now.peers, now.front) == (
                last.peers,
                last.front,
            ):
                return now
            last = now
        raise SoakError("the gateway's kernel does not come to rest")

    def _held(self) -> Held:
        state = self._kernel.read()
        return Held(state, self._peers(state), self._front(state))

    def _peers(self, state: KernelState) -> object:
        return {
            (name, key): found
            for name in state.sets
            if (match := _MAP.fullmatch(name))
            for key in [_key(int(match[1]), int(match[2]))]
            for found in [self._kernel.elements(name, [key])]
        }

    def _front(self, state: KernelState) -> str:
        return self._listed_front() if FRONT in state.sets else ""

    def _listed_front(self) -> str:
        return subprocess.run(
            self._place.argv("nft", "list", "set", "inet", TABLE, FRONT),
            capture_output=True, text=True, timeout=20, check=False,
        ).stdout  # fmt: skip


def _key(family: int, length: int) -> bytes:
    """The registered peer's key in a map of this family and prefix length."""
    kind, address = (AF_INET, REGISTERED4) if family == 4 else (AF_INET6, REGISTERED6)
    whole = int.from_bytes(inet_pton(kind, address), "big")
    bits = 32 if family == 4 else 128
    return (whole >> (bits - length) << (bits - length)).to_bytes(bits // 8, "big")
