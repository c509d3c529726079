"""`enforcer run`: the daemon. What can fail, fails before anything is installed."""

from __future__ import annotations

import argparse
import errno
import gc
import os
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.errors import KernelError, PolicyError

if TYPE_CHECKING:
    from enforcer.alone import Alone
    from enforcer.clock import SystemClock
    from enforcer.listening import ControlSocket
    from enforcer.loading import Loading
    from enforcer.policy.model import Metrics as MetricsAddress
    from enforcer.policy.model import Policy
    from enforcer.ruleset.transaction import Kernel, KernelState
    from enforcer.schedule.orders import Orders
    from enforcer.service import Service
    from enforcer.signals import Signals
    from enforcer.sources.load import Configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        help="form of the log lines (default: that of --format)",
    )


def run(args: argparse.Namespace) -> int:
    from enforcer import log
    from enforcer.cli.places import state_dir
    from enforcer.loading import Loading
    from enforcer.signals import Signals

    log.configure(args.log_format or args.format, journal="JOURNAL_STREAM" in os.environ)
    signals = Signals()
    try:
        with ExitStack() as opened:
            loading = Loading(state_dir())
            with loading:
                service = _start(args.config.absolute(), signals, opened, loading)
            service.run()
    finally:
        signals.close()
    return 0


def _start(config: Path, signals: Signals, opened: ExitStack, loading: Loading) -> Service:
    """Everything that a step needs, then the first step. `opened` closes it again, last first."""
    from enforcer import log
    from enforcer.chronicle import Chronicle
    from enforcer.cli.places import state_dir
    from enforcer.clock import SystemClock
    from enforcer.daemon import Daemon
    from enforcer.keeping import Keeper
    from enforcer.kernel.events import Monitor
    from enforcer.kernel.nft import NftKernel
    from enforcer.observe.audit import record
    from enforcer.observe.totals import Totals
    from enforcer.recorder import Recorder, refusal
    from enforcer.sampler import Sampler
    from enforcer.service import ITSELF, Places, Service
    from enforcer.sources.files import policy_alone
    from enforcer.sources.load import load_configuration
    from enforcer.standing import held, read_or_none_new
    from enforcer.starting import DEADLY, choose, kept_before
    from enforcer.watch import HushedKernel

    # What was imported stays: a collection need not go through it, 20 ms each time.
    gc.freeze()
    clock = SystemClock()
    # Whoever finds nobody here acts in the daemon's place, and what they leave is read below;
    # whoever comes from here on waits until it serves.
    control = _reachable(opened, config, clock)
    with held(state_dir()):
        orders, spoilt = read_or_none_new(state_dir())
    if spoilt is not None:
        log.error("orders_unreadable", error=spoilt)
    scraped = opened.enter_context(closing(NftKernel()))
    totals = Totals(scraped.counters)
    chronicle = Chronicle(Recorder(state_dir(), clock.now), totals.now)
    if (unread := chronicle.read()) is not None:
        log.error("audit_unreadable", error=unread, done="guard of the past is not counted")
    # The configuration before the kernel: what is wrong with it is said even where rights are
    # missing too.
    kept, now = kept_before(state_dir(), config), clock.now()
    past = chronicle.past(now)
    try:
        start = choose(
            lambda: load_configuration(config, now, orders, past),
            lambda documents: documents.policy(now, orders, past),
            kept,
            _held,
            now,
            lambda: policy_alone(config, now, orders, guarded=True, past=past),
            deadly=loading.gives_up,
        )
    except PolicyError as error:
        # The daemon ends with what is wrong, and with no other word.
        with suppress(OSError):
            record(state_dir(), refusal(error, now, ITSELF, "start"))
        raise
    if start.refused is DEADLY:
        loading.go_on()
    if start.refused is not None:
        first_told = start.refused.problems[0].for_all
        log.error("last_good_in_force", errors=start.refused.count, first=first_told)
    first = [start.configuration]
    monitor = opened.enter_context(closing(Monitor()))
    kernel = opened.enter_context(closing(HushedKernel(NftKernel(), monitor)))

    def load(under: Orders) -> Configuration:
        at = clock.now()
        return load_configuration(config, at, under, chronicle.past(at), daemon.config)

    sampler = opened.enter_context(closing(Sampler()))
    daemon = Daemon(
        lambda under: first.pop() if first else load(under),
        kernel,
        clock,
        totals,
        orders,
        refused=start.refused,
        accepted_at=start.accepted_at,
        plan=start.plan,
        samples=sampler,
    )
    policy = daemon.config.policy
    before = kernel.read()
    require_devices(policy, before)
    keeper = Keeper(state_dir(), config, kept)
    # Nobody else writes to the record now; what ended while no daemon ran is told first.
    chronicle.recorder.scribe.start()
    opened.callback(chronicle.recorder.close)
    chronicle.begin(daemon.config, clock.now(), armed_in(before))
    if start.refused is not None:
        chronicle.recorder.refused_load(start.refused, ITSELF, "start")
    places = Places(config, state_dir())
    service = opened.enter_context(
        closing(Service(daemon, monitor, control, signals, places, keeper, chronicle, sampler))
    )
    _open_port(policy.metrics, config, service)
    outcome = service.step("start")
    if outcome.error is not None:
        take_back(kernel, before, SystemClock().now_ns())
        raise outcome.error
    return service


def _reachable(opened: ExitStack, config: Path, clock: SystemClock) -> ControlSocket:
    """The control socket, alone in this network namespace. Raises KernelError, or PolicyError when
    it cannot be had and the configuration is wrong as well: that is to be mended in any case.
    """
    from enforcer.alone import NotAloneError
    from enforcer.cli.places import orders_unsaid, run_dir
    from enforcer.listening import HeldError
    from enforcer.sources.load import load_configuration

    try:
        control = opened.enter_context(closing(_control_socket(run_dir())))
        control.beside(opened.enter_context(closing(_alone())))
    except KernelError as error:
        if not isinstance(error.__cause__, HeldError | NotAloneError):
            load_configuration(config, clock.now(), orders_unsaid())
        raise
    return control


def _held() -> KernelState:
    """What the kernel holds of an earlier daemon's."""
    from enforcer.kernel.nft import NftKernel

    with closing(NftKernel()) as kernel:
        return kernel.read()


def armed_in(state: KernelState) -> frozenset[str]:
    """The windows that the kernel itself arms."""
    from enforcer.held import armed_windows

    return frozenset(armed_windows(state))


def take_back(kernel: Kernel, before: KernelState, now_ns: int) -> None:
    """After a first step that failed half way: where nothing of ours was before, nothing stays.
    What an earlier daemon left is in force until its end or lease, as after any daemon's death.
    """
    from enforcer.ruleset.diff import teardown

    if before.exists or before.shapers:
        return
    with suppress(KernelError):
        change = teardown(kernel.read())
        if change is not None:
            kernel.commit(change, now_ns)


def require_devices(policy: Policy, before: KernelState) -> None:
    """Raises KernelError where no uplink is there and nothing of ours is in force: then a name is
    wrong. Else a device that is missing is told, and the daemon does without until it is there, as
    when it goes away later: a restart must not end what a running daemon keeps up.
    """
    from enforcer.absent import log_missing, missing_devices, places

    devices = before.devices
    missing = missing_devices(policy, devices)
    held = before.exists and before.foreign is None
    if missing and not held and devices.isdisjoint(policy.gateway.uplinks):
        there = ", ".join(sorted(devices - {"lo"})) or "none"
        raise KernelError(
            "start",
            errno.ENODEV,
            f"{places(policy, missing)[0]} does not exist; create the interface or name one of "
            f"those there are: {there}",
        )
    log_missing(policy, missing, "started without it")


def _control_socket(directory: Path) -> ControlSocket:
    from enforcer.listening import ControlSocket, HeldError

    try:
        return ControlSocket(directory)
    except HeldError as error:
        raise KernelError(
            "start", errno.EEXIST, f"{error}; stop that one first, or use another ENFORCER_RUN_DIR"
        ) from error
    except OSError as error:
        raise KernelError(
            "start",
            error.errno or errno.EIO,
            f"{directory}: no control socket there ({error.strerror}); create the directory and "
            "give it to the daemon's user, or set ENFORCER_RUN_DIR",
        ) from error


def _alone() -> Alone:
    from enforcer.alone import Alone, NotAloneError

    try:
        return Alone()
    except NotAloneError as error:
        raise KernelError(
            "start",
            errno.EEXIST,
            f"another daemon is at work in this network namespace ({error}), and two would undo "
            "what the other does; stop that one, or run this one in a namespace of its own",
        ) from error


def _open_port(address: MetricsAddress, config: Path, service: Service) -> None:
    from enforcer.observe.http.tls import TlsError

    try:
        service.open_port()
    except TlsError as error:
        raise PolicyError([error.problem(config.name)]) from error
    except OSError as error:
        raise KernelError(
            "start",
            error.errno or errno.EIO,
            f"metrics.listen: {address.listen} cannot be used ({error.strerror}); "
            "stop what holds it, or choose another address",
        ) from error
