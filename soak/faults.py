"""What is done to the daemon while a window is armed: it is killed, updated, restarted, flushed.

In: a plan of how often, and a seed. Out: a shuffled sequence of faults, each done one after another
and put into the log with its beginning and end, so that a loss lies at one fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from random import Random

from soak.flushes import KINDS, Flusher
from soak.gateway import Gateway, Span, wall_s
from soak.judge import Fault
from soak.registries import Registries

# One update in so many is another registry as a whole, the others change one row.
_WHOLE_EVERY = 5
_IDLE_S = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """How often each fault is done. `edges` are openings and ends of windows, two to a window;
    `million` updates and `million_flushes` at `million_rows`; `unseen` flushes while the daemon is
    dead; after `minutes` no more of these is begun, and the edges come.
    """

    seed: int
    rows: int = 20_000
    million_rows: int = 1_000_000
    kills: int = 1000
    updates: int = 1000
    million: int = 20
    million_flushes: int = 12
    reloads: int = 100
    edges: int = 100
    restarts: int = 50
    flushes: int = 100
    unseen: int = 20
    overruns: int = 20
    quiet_s: float = 10.0
    minutes: float = 60.0


@dataclass(slots=True)
class FaultLog:
    """The faults so far."""

    faults: list[Fault] = field(default_factory=list)

    def did(self, name: str, act: Callable[[], object]) -> None:
        """Does it, and notes when."""
        begin_ns = time.monotonic_ns()
        act()
        self.faults.append(Fault(name, begin_ns, time.monotonic_ns()))


class Breaker:
    """The armed window is `base`; it is declared by `arm` and stays."""

    def __init__(
        self,
        gateway: Gateway,
        flusher: Flusher,
        registries: Registries,
        log: FaultLog,
        draw: Random,
    ) -> None:
        self._gateway, self._flusher, self._registries = gateway, flusher, registries
        self._log, self._draw = log, draw
        self._base = Span("base", int(wall_s()) - 60, int(wall_s()) + 6 * 3600)
        self._reload_s, self._turns = 0.3, 0

    def arm(self) -> None:
        self._gateway.write_windows([self._base])
        self._gateway.reload()

    def sequence(self, plan: Plan) -> Iterator[Callable[[], None]]:
        """Every fault of the plan in an order of the seed's."""
        acts: list[Callable[[], None]] = []
        acts += [self.kill] * plan.kills + [self.update] * plan.updates
        acts += [self.reload] * plan.reloads + [self.restart] * plan.restarts
        acts += [partial(self.flush, KINDS[n % len(KINDS)]) for n in range(plan.flushes)]
        acts += [self.flush_while_dead] * plan.unseen
        self._draw.shuffle(acts)
        yield from acts

    # --- faults ----------------------------------------------------------------------------------

    def kill(self) -> None:
        """At a random instant of one of three lives: idle, starting, in the middle of an update."""
        gateway = self._gateway
        life = self._draw.choice(("idle", "starting", "updating"))
        if life == "starting":
            gateway.wait_up()
            gateway.kill()
            gateway.spawn()
            pause_s = self._draw.uniform(0, 1.1 * gateway.start_s)
        else:
            gateway.wait_up()
            pause_s = self._draw.uniform(0, _IDLE_S if life == "idle" else 1.1 * self._reload_s)

        def act() -> None:
            if life == "updating":
                gateway.write_registry(self._next_registry())
                gateway.begin_reload()
            time.sleep(pause_s)
            gateway.kill()
            gateway.spawn()
            gateway.wait_up()

        self._log.did(f"kill -9, {life}", act)

    def update(self, size: str = "20 k") -> None:
        self._gateway.wait_up()
        whole = self._turns % _WHOLE_EVERY == 0
        self._gateway.write_registry(self._next_registry())

        def act() -> None:
            begun = time.monotonic()
            self._gateway.reload()
            if size == "20 k":
                self._reload_s = 0.8 * self._reload_s + 0.2 * (time.monotonic() - begun)

        self._log.did(f"update, {'whole' if whole else 'one row'}, {size}", act)

    def _next_registry(self) -> str:
        whole = self._turns % _WHOLE_EVERY == 0
        self._turns += 1
        return self._registries.swap() if whole else self._registries.one_row()

    def reload(self) -> None:
        """Of the windows' file: another window comes, far away, or goes again."""
        self._gateway.wait_up()
        far = [Span("far", self._base.end_s + 3600, self._base.end_s + 7200)]
        self._gateway.write_windows([self._base, *(far if self._draw.random() < 0.5 else [])])
        self._log.did("reload", self._gateway.reload)

    def restart(self) -> None:
        self._gateway.wait_up()

        def act() -> None:
            self._gateway.stop()
            self._gateway.spawn()
            self._gateway.wait_up()

        self._log.did("restart (SIGTERM)", act)

    def flush(self, kind: str, size: str = "20 k") -> None:
        self._gateway.wait_up()
        self._log.faults.append(self._flusher.flush(kind, size))

    def flush_while_dead(self) -> None:
        self._gateway.wait_up()

        def while_dead(flush: Callable[[], None]) -> None:
            self._gateway.kill()
            flush()
            self._gateway.spawn()
            self._gateway.wait_up()

        self._log.faults.append(self._flusher.flush_unseen(while_dead))

    def recover(self) -> None:
        """After something went wrong: a fresh daemon, so that the next fault begins as usual."""
        self._gateway.kill()
        self._gateway.spawn()

    def grow(self, registries: Registries) -> None:
        """Another registry from now on."""
        self._gateway.wait_up()
        self._registries = registries
        self._gateway.write_registry(registries.text())
        self._log.did("registry exchanged for one of another size", self._gateway.reload)
