"""The status port of the daemon: policy and files → listeners, certificate, names.

What is served is `observe/http/routes.py`'s business, and how is `observe/http/server.py`'s.
"""

from __future__ import annotations

import os
from pathlib import Path

from enforcer import log
from enforcer.descriptors import Listener
from enforcer.observe.http import routes
from enforcer.observe.http.message import Names
from enforcer.observe.http.server import Entry, Port, listen
from enforcer.observe.http.tls import TlsError, TlsFiles, server_context
from enforcer.policy.model import Metrics, Tls


class StatusPort:
    """Serves from its construction until `close`. Raises OSError when the address cannot be used,
    and TlsError when a file cannot.
    """

    def __init__(self, metrics: Metrics, folder: Path, sight: routes.Sight) -> None:
        self._folder, self._started_with = folder, metrics
        entry = _entry(metrics, folder)
        table = routes.routes(sight)
        self._port = Port(
            listen(metrics.host, metrics.port, Listener),
            entry,
            lambda request: routes.answer(table, request),
            lambda event, what: log.warning(event, what=what),
            quick=frozenset({"/healthz"}),
        )
        _warn(metrics)

    def renew(self, metrics: Metrics) -> None:
        """After a reload: certificate and names as they are now. One that cannot be used leaves
        the one in use; an address that changed waits for a restart.
        """
        try:
            self._port.renew(_entry(metrics, self._folder))
        except TlsError as error:
            log.error("tls_refused", error=str(error), kept="the certificate of before")
        if metrics.listen != self._started_with.listen:
            log.warning("restart_needed", setting="metrics.listen", reason="bound at start only")
        _warn(metrics)

    def close(self) -> None:
        self._port.close()


def tls_files(tls: Tls, folder: Path) -> TlsFiles:
    ca = folder / tls.client_ca if tls.client_ca is not None else None
    return TlsFiles(folder / tls.certificate, folder / tls.key, ca)


def _entry(metrics: Metrics, folder: Path) -> Entry:
    own = {"localhost", *metrics.names, *_own_names()}
    if metrics.tls is None:
        return Entry(Names(frozenset(own)))
    context = server_context(tls_files(metrics.tls, folder))
    # A browser that trusts the certificate knows whom it asks: no name need be refused.
    return Entry(Names(frozenset(own), every=True), context)


def _own_names() -> set[str]:
    full = os.uname().nodename.lower()
    return {full, full.partition(".")[0]} - {""}


def _warn(metrics: Metrics) -> None:
    if metrics.tls is None and not metrics.local:
        log.warning(
            "status_port_in_the_clear",
            listen=metrics.listen,
            remedy="add metrics.tls, or listen at 127.0.0.1 only",
        )
