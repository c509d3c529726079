"""Which windows are in force, asked of who knows: the daemon, or without one the kernel itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from enforcer.cli.terminal import utc_short
from enforcer.cli.waiting import Waiting
from enforcer.errors import KernelError

if TYPE_CHECKING:
    from enforcer.held import Held
    from enforcer.policy.model import Activation


def held_now() -> Held:
    """What the kernel holds; why it could not be asked, where it cannot."""
    from enforcer.held import Held, read_held
    from enforcer.kernel.nft import NftKernel

    try:
        kernel = NftKernel()
    except KernelError as error:
        return Held(None, str(error))
    try:
        return read_held(kernel)
    finally:
        kernel.close()


@dataclass(frozen=True)
class Asked:
    """What the daemon said of itself; `status` None and why, where none answers. `none_runs`:
    there certainly is none. `held` is what the kernel says, read once, where anybody needs it.
    """

    status: Mapping[str, Any] | None
    reason: str = ""
    none_runs: bool = False

    @property
    def due(self) -> frozenset[str] | None:
        """The windows that are on by the daemon's schedule and not in force; None: not told."""
        due = None if self.status is None else self.status.get("due")
        return frozenset(map(str, due)) if isinstance(due, list) else None

    @property
    def held(self) -> Held:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[Held, datetime]:
        """And when that was: what is left is of that instant, and a registry may be read since."""
        from enforcer.clock import SystemClock

        return held_now(), SystemClock().now()

    def lets_go(self, on: Iterable[Activation]) -> dict[str, datetime]:
        """When the kernel ends by itself which of the windows that are `on`, where that is before
        their end; none while a daemon answers, which renews them.
        """
        if self.status is not None:
            return {}
        found = {}
        for activation in on:
            held, at = self._read
            left = held.armed.get(activation.id)
            if left is not None and is_sooner(at + left, activation.ends_at):
                found[activation.id] = at + left
        return found


def asked() -> Asked:
    """The daemon is asked once for a command: one that hangs is waited for."""
    from enforcer.cli.places import run_dir
    from enforcer.control import DeniedError, NoDaemonError, ask

    try:
        with Waiting("the daemon is asked"):
            return Asked(ask(run_dir(), "status"))
    except NoDaemonError as error:
        return Asked(None, str(error), error.none_runs)
    except DeniedError as error:
        return Asked(None, str(error))


def is_sooner(until: datetime, ends_at: datetime) -> bool:
    """Whether what the kernel arms `until` then ends before `ends_at`."""
    # What it was given is cut to milliseconds, and read a moment later.
    return until <= ends_at - timedelta(seconds=2)


def by_the_kernel(until: str, ends_at: str) -> str:
    """What is said in the place of an end that the kernel does not wait for."""
    return f"until {until} by the kernel's timer, by the schedule until {ends_at}"


def armed_of(on: Collection[str], who: Asked) -> tuple[Collection[str] | None, str]:
    """Which of the windows that are on by the schedule are in force. None where the schedule is all
    there is to tell, and why.
    """
    if not on:
        return (), ""
    if who.due is not None:
        return set(on) - who.due, ""
    held = who.held
    if held.state is None:
        return None, f"no daemon answers, and the kernel cannot be asked ({held.reason})"
    if not held.ours:
        return None, "no daemon answers, and the kernel holds nothing of enforcer"
    return set(held.armed), ""


def still_arms(until: datetime) -> str:
    """What is said of a window that is closed, behind its name and how it was closed."""
    return (
        f"but the kernel still arms it, until {utc_short(until)} at the latest; to end it now: "
        "enforcer disarm"
    )


def armed_still(closed: Collection[str], who: Asked) -> Mapping[str, timedelta]:
    """Which windows that were closed without a daemon the kernel arms all the same, and for how
    much longer. None of them while a daemon answers.
    """
    if not closed or who.due is not None:
        return {}
    return {window: left for window, left in who.held.armed.items() if window in closed}
