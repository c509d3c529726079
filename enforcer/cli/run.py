"""`enforcer run`: the daemon. What can fail, fails before anything is installed."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from enforcer.errors import KernelError

if TYPE_CHECKING:
    from enforcer.control import ControlSocket
    from enforcer.policy.model import Metrics as MetricsAddress
    from enforcer.policy.model import Policy
    from enforcer.service import Service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="form of the log lines"
    )


def run(args: argparse.Namespace) -> int:
    from enforcer import log
    from enforcer.cli.places import run_dir, state_dir
    from enforcer.clock import SystemClock
    from enforcer.daemon import Daemon
    from enforcer.kernel.events import Monitor
    from enforcer.kernel.nft import NftKernel
    from enforcer.observe.totals import Totals
    from enforcer.service import HushedKernel, Service
    from enforcer.sources.load import load_configuration
    from enforcer.standing import read_or_none_new

    log.configure(args.log_format, journal="JOURNAL_STREAM" in os.environ)
    scraped, monitor = NftKernel(), Monitor()
    kernel = HushedKernel(NftKernel(), monitor)
    clock = SystemClock()
    orders, spoilt = read_or_none_new(state_dir())
    if spoilt is not None:
        log.error("orders_unreadable", error=spoilt)
    daemon = Daemon(
        lambda orders: load_configuration(args.config, orders=orders),
        kernel,
        clock,
        Totals(scraped.counters),
        orders,
    )
    policy = daemon.config.policy
    _require_devices(policy, kernel.read().devices)
    control = _control_socket(run_dir())
    service = None
    try:
        service = Service(daemon, monitor, control, state_dir())
        _serve_metrics(policy.metrics, service)
        outcome = service.step("start")
        if outcome.error is not None:
            raise outcome.error
        service.run()
    finally:
        control.close()
        monitor.close()
        if service is not None:
            service.close()
        kernel.close()
    return 0


def _require_devices(policy: Policy, devices: frozenset[str]) -> None:
    needed = [(f"gateway.uplinks: {name}", name) for name in policy.gateway.uplinks]
    needed += [(f"links.{link.name}.device: {link.device}", link.device) for link in policy.links]
    for place, name in needed:
        if name not in devices:
            there = ", ".join(sorted(devices - {"lo"})) or "none"
            raise KernelError(
                "start",
                errno.ENODEV,
                f"{place} does not exist; create the interface or name one of those there are: "
                f"{there}",
            )


def _control_socket(directory: Path) -> ControlSocket:
    from enforcer.control import ControlSocket

    try:
        return ControlSocket(directory)
    except FileExistsError as error:
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


def _serve_metrics(address: MetricsAddress, service: Service) -> None:
    from prometheus_client import start_http_server

    try:
        start_http_server(address.port, address.host, service.metrics.registry)
    except OSError as error:
        raise KernelError(
            "start",
            error.errno or errno.EIO,
            f"metrics.listen: {address.host}:{address.port} cannot be used ({error.strerror}); "
            "stop what holds it, or choose another address",
        ) from error
