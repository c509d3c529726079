"""What `confirm`, `close` and `declare` share: the daemon decides when there is one; otherwise the
decision is written here, and the daemon acts by it when it runs.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from enforcer.cli.main import EXIT_CONFIG, EXIT_FAILED
from enforcer.cli.terminal import Painter, measures_text, print_json, utc_short
from enforcer.cli.waiting import Waiting
from enforcer.errors import PolicyError

if TYPE_CHECKING:
    from enforcer.decisions import Decision
    from enforcer.held import Held
    from enforcer.policy.model import Policy
    from enforcer.schedule.orders import Orders

Answer = dict[str, Any]
Decide = Callable[["Policy", "Orders", datetime, str], "Decision"]


class UnreachableError(Exception):
    """There may be a daemon, but it does not answer, or not to this user.

    `denied`: it must not be, or is not, heard at all; then `disarm` is refused as well.
    """

    @property
    def denied(self) -> bool:
        from enforcer.control import DeniedError

        return isinstance(self.__cause__, DeniedError)


# A daemon may start, or end, while it is asked.
_ATTEMPTS = 3
NO_DAEMON = "no daemon runs; it acts by this when it does"


def ask_daemon(verb: str, **arguments: Any) -> Answer | None:
    """The daemon's answer; None when there is none. Raises UnreachableError when there may be one:
    what is written behind its back, it would undo.
    """
    from enforcer.cli.places import run_dir
    from enforcer.control import DeniedError, NoDaemonError, ask

    try:
        with Waiting("the daemon is at it"):
            return ask(run_dir(), verb, **arguments)
    except NoDaemonError as error:
        if isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError):
            return None
        raise UnreachableError(f"{error}; {error.remedy}") from error
    except DeniedError as error:
        raise UnreachableError(str(error)) from error


def decided(args: argparse.Namespace, verb: str, decide: Decide, **arguments: Any) -> Answer:
    """By the daemon when there is one, else here. Raises UnreachableError, PolicyError."""
    from enforcer.cli.places import run_dir, state_dir
    from enforcer.control import listens
    from enforcer.standing import held

    for _ in range(_ATTEMPTS):
        answer = ask_daemon(verb, **arguments)
        if answer is not None:
            return answer
        with held(state_dir()):
            # One that has begun to listen since then would not read what is written here.
            if not listens(run_dir()):
                return _decide_here(args, decide)
    raise UnreachableError(f"{run_dir()}: daemons come and go; see: journalctl -u enforcer")


def _decide_here(args: argparse.Namespace, decide: Decide) -> Answer:
    """Takes a decision without a daemon: the same words, the same ceilings, disk and record."""
    from enforcer.cli.arming import held_now
    from enforcer.cli.places import orders, past, state_dir
    from enforcer.clock import SystemClock
    from enforcer.control import me
    from enforcer.decisions import RefusedError, keep
    from enforcer.observe.snapshot import Occurrence
    from enforcer.observe.views import window_views
    from enforcer.sources.files import policy_and_files

    now, before = SystemClock().now(), orders()
    policy, registries = policy_and_files(args.config, now, before, past(now))
    try:
        decision = decide(policy, before, now, me())
        warning = keep(state_dir(), before, stamped(decision, policy, registries))
    except RefusedError as refused:
        return {"error": str(refused), "daemon": False}
    entry, kernel = decision.entry, held_now()
    view = window_views([Occurrence.of(entry, now, kernel.armed)])[0] if entry else None
    warning = f"{warning}; {NO_DAEMON}" if warning else NO_DAEMON
    answer: Answer = {"error": None, "warning": warning, "occurrence": view, "daemon": False}
    answer["windows"] = sorted({event.window for event in decision.events if event.window})
    if decision.opens:
        return {**answer, "warning": "; ".join([warning, *_ends_sooner(decision, now, kernel)])}
    return {**answer, **_still_armed(policy, decision, now, kernel)}


def _ends_sooner(decision: Decision, now: datetime, kernel: Held) -> list[str]:
    """What is armed and stays by this decision, the kernel ends by itself where no daemon runs."""
    from enforcer.cli.arming import is_sooner

    if (entry := decision.entry) is None or entry.state(now) != "armed":
        return []
    window, ends_at = entry.activation.id, entry.activation.ends_at
    left = kernel.armed.get(window)
    if left is None or not is_sooner(now + left, ends_at):
        return []
    return [f"without one the kernel disarms {window} by itself at {utc_short(now + left)}"]


def _still_armed(policy: Policy, decision: Decision, now: datetime, kernel: Held) -> Answer:
    """What a closing without a daemon must own up to: the kernel goes on by itself."""
    from enforcer.cli.arming import still_arms
    from enforcer.schedule.agenda import on_at

    if (entry := decision.entry) is None:
        return {}
    window = entry.activation.id
    if kernel.state is None:
        return {"warning": f"{NO_DAEMON}; whether the kernel arms it is not known: {kernel.reason}"}
    # Another occurrence of it that is on is armed by right.
    if window not in kernel.armed or any(
        e.activation.id == window for e in on_at(policy, decision.orders, now)
    ):
        return {}
    still = still_arms(now + kernel.armed[window])
    return {"error": f"{window} is closed and stays so, {still}"}


def stamped(decision: Decision, policy: Policy, registries: Mapping[str, bytes]) -> Decision:
    """With the digests of the policy and of the registry, as the daemon puts them on record; of a
    registry with mistakes, or of which a file is missing, there is none.
    """
    from enforcer.sources.load import parse_all

    stamp = {"gateway": policy.gateway.name, "policy": policy.digest}
    whole = registries.keys() >= set(policy.registry.files)
    with suppress(PolicyError):
        if whole:
            stamp["registry"] = parse_all(registries, policy)[0].digest
    events = (replace(e, more={**stamp, **e.more}) for e in decision.events)
    return replace(decision, events=tuple(events))


def show(args: argparse.Namespace, answer: Answer, done: str) -> int:
    """Prints an answer; `done` says what was done. The exit code: failed also where it was done and
    is not in force, for then it is not what was asked for.
    """
    occurrence = answer.get("occurrence")
    if answer.get("daemon", True) and occurrence:
        answer = {**answer, "error": _not_in_force(answer, done)}
    if args.format == "json":
        print_json(answer)
        return EXIT_FAILED if answer["error"] else 0
    if occurrence:
        _show_occurrence(args, answer, done)
    if answer["error"]:
        sys.stdout.flush()
        print(f"enforcer: {answer['error']}", file=sys.stderr)
    if answer.get("warning"):
        print(answer["warning"], file=sys.stderr)
    return EXIT_FAILED if answer["error"] else 0


def refused_here(args: argparse.Namespace, refused: PolicyError, said: str) -> int:
    """Without a daemon and without a configuration nothing can be decided: `said` is what was not
    done, and what follows.
    """
    if args.format == "json":
        nothing: Answer = {"warning": None, "windows": [], "occurrence": None, "daemon": False}
        print_json({"error": f"{refused}\n{said}", **nothing})
    else:
        print(f"{refused}\nenforcer: {said}", file=sys.stderr)
    return EXIT_CONFIG


def _show_occurrence(args: argparse.Namespace, answer: Answer, done: str) -> None:
    paint = Painter(args, sys.stdout)
    occurrence = answer["occurrence"]
    span = f"{occurrence['starts_at']} to {occurrence['ends_at']}"
    state = "due, not armed" if occurrence["state"] == "due" else occurrence["state"]
    print(f"{done} {paint(occurrence['id'], 'bold')}: {state}, {span}")
    if occurrence["stage"] and occurrence["state"] != "closed":
        print(
            f"{measures_text(occurrence['measures'], stage=True)}: counts what guard would hold "
            "back, and holds back nothing"
        )
    if occurrence.get("confirm_by") and occurrence["state"] != "closed":
        print(
            f"it ends at {occurrence['confirm_by']} unless you say: "
            f"enforcer confirm {occurrence['id']}"
        )
    if "armed" in answer:
        print("armed now: " + (paint(", ".join(answer["armed"]), "green") or "nothing"))


def _not_in_force(answer: Answer, done: str) -> str | None:
    """What the daemon did and what the kernel does not do: `fact; remedy`. None: nothing of it."""
    occurrence = answer["occurrence"]
    if occurrence["state"] != "due":
        stays = f"{occurrence['id']} is {done} and stays so; the daemon tries again by itself"
        return f"{answer['error']}; {stays}" if answer["error"] else None
    waits = occurrence["id"] in answer.get("waiting", ())
    if waits and not answer.get("clock", {}).get("synchronised", True):
        why = "the clock is not synchronised, so nothing new is armed"
        remedy = "it opens once the clock is right, see: timedatectl"
    else:
        why = answer["error"] or answer.get("problem") or "the kernel does not arm it"
        remedy = "the daemon tries again by itself, see: enforcer status"
    return f"{occurrence['id']} is {done} and stays so, but is not in force: {why}; {remedy}"


def span(text: str) -> timedelta:
    """`90s`, `5m`, `2h`, `1d`."""
    from enforcer.policy.times import duration

    try:
        return duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def signed_span(text: str) -> timedelta:
    """`1d`, `+1d`, `-1d`; `0` for none."""
    if text in ("0", "0d"):
        return timedelta()
    return -span(text[1:]) if text.startswith("-") else span(text.removeprefix("+"))


def let_values_be_negative(parser: argparse.ArgumentParser) -> None:
    """argparse takes `-1d` for an option, unless it looks like a negative number to it."""
    parser._negative_number_matcher = re.compile(r"^-\d+[dhms].*$")


def seconds(length: timedelta | None) -> int | None:
    return None if length is None else int(length.total_seconds())


def iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
