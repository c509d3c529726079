"""`enforcer disarm`: ends every armed window at once. The daemon does it when there is one;
otherwise everything of ours is taken out of the kernel here and now.
"""

from __future__ import annotations

import argparse
import errno
import sys
from collections.abc import Collection

from enforcer.cli.main import EXIT_FAILED
from enforcer.cli.terminal import print_json
from enforcer.errors import KernelError, PolicyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def run(args: argparse.Namespace) -> int:
    from enforcer.cli.places import run_dir, state_dir
    from enforcer.control import DeniedError, HungDaemonError, NoDaemonError, ask, listens
    from enforcer.standing import held

    for patience in (True, True, False):
        try:
            answer = ask(run_dir(), "disarm")
            break
        except DeniedError as error:
            # A daemon that is alive would put back whatever we took out behind its back.
            print(f"enforcer: {error}", file=sys.stderr)
            return EXIT_FAILED
        except NoDaemonError as error:
            with held(state_dir()):
                # One that has begun to listen since then would not read what is noted here. One
                # that is only busy reads it before it arms anything.
                hangs = isinstance(error, HungDaemonError)
                if hangs or not patience or not listens(run_dir()):
                    return _without_daemon(args, str(error))
    if args.format == "json":
        print_json({**answer, "daemon": True})
    elif answer["error"]:
        print(f"enforcer: {answer['error']}", file=sys.stderr)
    else:
        if answer["closed"]:
            print(f"disarmed: {', '.join(answer['closed'])}; none of them opens again by itself")
        else:
            print("nothing was armed")
        if answer["warning"]:
            print(answer["warning"], file=sys.stderr)
    return EXIT_FAILED if answer["error"] else 0


def _without_daemon(args: argparse.Namespace, reason: str) -> int:
    from enforcer.clock import SystemClock
    from enforcer.held import armed_windows
    from enforcer.kernel.nft import NftKernel
    from enforcer.ruleset.diff import teardown

    # First on record, then out of the kernel: a daemon that starts in between leaves them closed.
    armed = _armed()
    closed, warning, unnoted = _remember(args, armed)
    kernel = NftKernel()
    clock = SystemClock()
    # Another program's transaction may come between the read and ours: read again.
    for attempt in range(5):
        state = kernel.read()
        armed |= armed_windows(state).keys()
        change = teardown(state)
        if change is None:
            break
        try:
            kernel.commit(change, clock.now_ns())
        except KernelError:
            if attempt == 4:
                raise
    kernel.close()
    error = unnoted and _again(unnoted, armed)
    if args.format == "json":
        print_json(
            {
                "error": error,
                "daemon": False,
                "closed": sorted(armed | set(closed)),
                "warning": warning,
            }
        )
    else:
        print(f"{reason}; so the kernel was asked directly")
        ended = sorted(armed | set(closed))
        print(f"disarmed: {', '.join(ended)}" if ended else "nothing was armed")
        if due := sorted(set(closed) - armed):
            print(f"only due, not armed: {', '.join(due)}; closed all the same, and stays so")
        print("everything of enforcer is out of the kernel")
        sys.stdout.flush()
        if error:
            print(f"enforcer: {error}", file=sys.stderr)
        if warning:
            print(warning, file=sys.stderr)
    return EXIT_FAILED if error else 0


def _armed() -> set[str]:
    """What the kernel arms before anything is done. Raises KernelError where this user must not
    touch the kernel: then nothing is noted either, for nothing will be done.
    """
    from enforcer.held import armed_windows
    from enforcer.kernel.nft import NftKernel

    try:
        kernel = NftKernel()
        try:
            return set(armed_windows(kernel.read()))
        finally:
            kernel.close()
    except KernelError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            raise
        return set()


def _again(unnoted: str, armed: Collection[str]) -> str:
    """What follows where nothing was noted as closed."""
    if not armed:
        return f"{unnoted}; a daemon started now would arm them: edit their windows first"
    names = ", ".join(sorted(armed))
    return f"{unnoted}; a daemon started now would arm them again: {names}; edit them first"


def _remember(
    args: argparse.Namespace, armed: Collection[str]
) -> tuple[list[str], str | None, str | None]:
    """Notes the occurrences that are on, so that a daemon started later leaves them closed; their
    windows, what went wrong, and why they are not noted. Of the windows that are armed and on no
    longer (they were closed while no daemon ran) it is put on record when they end.
    """
    from enforcer.cli.deciding import stamped
    from enforcer.cli.places import orders, state_dir
    from enforcer.clock import SystemClock
    from enforcer.control import me
    from enforcer.decisions import close_all, disarmed, keep
    from enforcer.observe.audit import record
    from enforcer.schedule.agenda import on_at
    from enforcer.sources.files import policy_and_files

    now = SystemClock().now()
    before = orders()
    try:
        policy, registries = policy_and_files(args.config, now, before)
    except PolicyError:
        fact = f"{args.config} is refused, so the windows that are on are not noted"
        try:
            record(state_dir(), disarmed(now, me()))
        except OSError as error:
            fact += f", nor is this on the record ({error.strerror or error})"
        return [], None, fact
    on = on_at(policy, before, now)
    closed = [e.activation.id for e in on]
    known = {w.id: w.reference for w in policy.windows}
    also = (disarmed(now, me(), w, known.get(w, "")) for w in sorted({*armed} - {*closed}))
    decision = close_all(before, now, on, me(), also)
    warning = keep(state_dir(), before, stamped(decision, policy, registries))
    return closed, warning, None
