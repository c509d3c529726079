"""The status port as the policy declares it: names, warnings, what a reload may change."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from enforcer import log
from enforcer.observe.http.routes import Sight
from enforcer.observe.http.tls import TlsError
from enforcer.policy.model import Metrics, Tls
from enforcer.port import StatusPort
from enforcer.schedule.orders import Orders

SIGHT = Sight(
    lambda: None,
    Orders,
    CollectorRegistry(),
    lambda: datetime(2026, 12, 1, tzinfo=UTC),
    lambda: 0.0,
    "1.2",
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def serving(metrics: Metrics, folder: Path) -> Iterator[StatusPort]:
    log.configure("text", journal=False)
    with closing(StatusPort(metrics, folder, SIGHT)) as port:
        yield port


def ask(port: int, host: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request("GET", "/metrics", headers={"Host": host})
        return client.getresponse().status


def test_a_reload_takes_new_names_and_says_what_waits_for_a_restart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = free_port()
    with serving(Metrics(port=number), tmp_path) as port:
        assert ask(number, "gw1.isp.example") == 421
        port.renew(Metrics(port=number, names=("gw1.isp.example",)))
        assert ask(number, "gw1.isp.example") == 200
        assert ask(number, socket.gethostname()) == 200
        assert "restart_needed" not in capsys.readouterr().err
        port.renew(Metrics(port=1))
        assert "warning restart_needed setting=metrics.listen" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)]
)
def test_open_to_others_in_the_clear_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], host: str, warned: bool
) -> None:
    number = free_port()
    with serving(Metrics(host, number), tmp_path):
        said = capsys.readouterr().err
    assert (f"warning status_port_in_the_clear listen={host}:{number}" in said) == warned


def test_a_certificate_that_is_not_there_is_said_before_anything_listens(tmp_path: Path) -> None:
    number = free_port()
    with pytest.raises(TlsError, match=r"metrics\.tls\.certificate: .*/c\.pem: cannot be read"):
        StatusPort(Metrics(port=number, tls=Tls("c.pem", "k.pem")), tmp_path, SIGHT)
    with socket.create_server(("127.0.0.1", number)):
        pass
