"""The status port of the real daemon, asked by curl; TLS with certificates that openssl made."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from enforcer.kernel.namespace import in_namespace
from enforcer.observe.http.tls import TlsError, TlsFiles, server_context
from tests.cli.cli_worlds import MAIN
from tests.kernel.certificates import Authority
from tests.kernel.daemon_process import PATIENCE_S, Gateway, eventually, stop

pytestmark = pytest.mark.kernel

URL = "127.0.0.1:9435"


def curl(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["ip", "netns", "exec", gateway.namespace, "curl", "-sS", "-m", "20", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=gateway.folder
    )


def code(gateway: Gateway, *arguments: str) -> str:
    return curl(gateway, "-o", os.devnull, "-w", "%{http_code}", *arguments).stdout


def test_curl_gets_what_the_commands_say(gateway: Gateway) -> None:
    gateway.start()

    def told_alike() -> Any:
        """What is kept on the disk is kept beside the loop, and the port tells of the last step."""
        told = json.loads(curl(gateway, f"http://{URL}/api/v1/status").stdout)
        return told if told == gateway.status() else None

    told = eventually(told_alike, "the port tells what the command does")
    begin = told["windows"][0]["starts_at"]
    windows = json.loads(curl(gateway, f"http://{URL}/api/v1/windows?from={begin}&days=3").stdout)
    same = gateway.run("windows", "--from", begin, "--days", "3", "--format", "json")
    assert windows == json.loads(same.stdout)
    assert [w["id"] for w in windows] == ["ddos"]
    assert curl(gateway, f"http://{URL}/healthz").stdout == "ok\n"
    assert "enforcer_packets_total{" in curl(gateway, f"http://{URL}/metrics").stdout
    assert curl(gateway, "-I", "http://localhost:9435/metrics").stdout.startswith("HTTP/1.1 200")


def test_curl_is_refused_what_the_port_does_not_do(gateway: Gateway) -> None:
    gateway.start()
    for expected, arguments in (
        ("405", ["-X", "POST", "-d", "x=1", f"http://{URL}/metrics"]),
        ("405", ["-X", "DELETE", f"http://{URL}/api/v1/windows"]),
        ("421", ["-H", "Host: evil.example", f"http://{URL}/metrics"]),
        ("404", [f"http://{URL}/admin"]),
        ("400", [f"http://{URL}/api/v1/windows?days=999999"]),
        ("431", ["-H", f"X: {'a' * 4000}", f"http://{URL}/metrics"]),
    ):
        assert code(gateway, *arguments) == expected, arguments


def test_five_hundred_slow_visitors_do_not_keep_a_window_from_opening(gateway: Gateway) -> None:
    gateway.write(windows=gateway.window(3, 3600))
    gateway.start()
    with ExitStack() as stack:
        for number in range(500):
            with in_namespace(gateway.namespace):
                slow = stack.enter_context(socket.create_connection(("127.0.0.1", 9435), 20))
            slow.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: "[: number % 40])
        eventually(gateway.armed, "the window opens")
        assert gateway.status()["armed"] == ["ddos"]
        assert code(gateway, f"http://{URL}/healthz") == "200"
    assert "error" not in gateway.said()


# --- TLS ------------------------------------------------------------------------------------------

TLS = f"https://{URL}/healthz"
ON = MAIN.replace(
    '"127.0.0.1:9435"', '"127.0.0.1:9435", tls: {certificate: pki/gw.pem, key: pki/gw.key}'
)
MUTUAL = ON.replace("key: pki/gw.key", "key: pki/gw.key, client_ca: pki/ca.pem")


@pytest.fixture
def authority(gateway: Gateway) -> Authority:
    made = Authority(gateway.folder / "pki").make()
    made.sign("gw", "IP:127.0.0.1")
    return made


def served(gateway: Gateway) -> str:
    """The serial number of the certificate that is served."""
    shown = gateway.inside(
        "sh", "-c", f"openssl s_client -connect {URL} </dev/null 2>&1 | openssl x509 -noout -serial"
    )
    return shown.strip()


def said_nothing_secret(gateway: Gateway, *texts: str) -> None:
    for key in gateway.folder.rglob("*.key"):
        secret = key.read_text().splitlines()[1]
        assert len(secret) > 20
        for text in (gateway.said(), *texts):
            assert secret not in text


def test_tls_is_spoken_and_nothing_else(gateway: Gateway, authority: Authority) -> None:
    gateway.write(main=ON)
    gateway.start()
    ca = str(authority.folder / "ca.pem")
    assert curl(gateway, "--cacert", ca, TLS).stdout == "ok\n"
    assert curl(gateway, TLS).returncode == 60, "a CA that the client does not know"
    assert curl(gateway, f"http://{URL}/healthz").stdout == "", "in the clear"
    assert curl(gateway, "--cacert", ca, "--tls-max", "1.1", TLS).returncode == 35
    assert code(gateway, "--cacert", ca, "-H", "Host: gw1.isp.example", TLS) == "200"
    assert code(gateway, "--cacert", ca, "-X", "PUT", TLS) == "405"
    assert "in_the_clear" not in gateway.said()
    said_nothing_secret(gateway)


def test_with_a_client_ca_strangers_are_not_answered(
    gateway: Gateway, authority: Authority
) -> None:
    authority.sign("prometheus", "DNS:prometheus")
    stranger = Authority(gateway.folder / "other").make()
    stranger.sign("prometheus", "DNS:prometheus")
    gateway.write(main=MUTUAL)
    gateway.start()

    def asked(by: Authority | None) -> str:
        mine: list[str] = []
        if by is not None:
            pair = [str(by.folder / f"prometheus.{end}") for end in ("pem", "key")]
            mine = ["--cert", pair[0], "--key", pair[1]]
        return curl(gateway, "--cacert", str(authority.folder / "ca.pem"), *mine, TLS).stdout

    assert asked(authority) == "ok\n"
    assert asked(None) == ""
    assert asked(stranger) == ""
    assert asked(authority) == "ok\n"
    said_nothing_secret(gateway)


def test_a_reload_serves_the_new_certificate_and_a_spoilt_one_leaves_the_old(
    gateway: Gateway, authority: Authority
) -> None:
    gateway.write(main=ON)
    process = gateway.start()
    first = served(gateway)
    assert first == authority.serial("gw")
    authority.sign("gw", "IP:127.0.0.1")
    assert served(gateway) == first, "until it is told"
    process.send_signal(signal.SIGHUP)
    eventually(lambda: served(gateway) == authority.serial("gw") != first)
    second = served(gateway)
    shutil.copy(authority.folder / "ca.key", authority.folder / "gw.key")
    process.send_signal(signal.SIGHUP)
    eventually(lambda: "error tls_refused" in gateway.said())
    assert "gw.key: is not the key of gw.pem; give the two that belong together" in gateway.said()
    assert served(gateway) == second
    assert gateway.status()["config"]["ok"], "windows do not depend on it"
    assert stop(process) == 0
    said_nothing_secret(gateway)


def test_explain_answers_the_gateway_and_whom_a_certificate_vouches_for(
    gateway: Gateway, authority: Authority
) -> None:
    address = "198.18.0.1"
    gateway.inside("ip", "addr", "add", f"{address}/24", "dev", "lan0")
    authority.sign("gw", f"IP:{address}")
    authority.sign("noc", "DNS:noc")
    ca = ("--cacert", str(authority.folder / "ca.pem"))
    pair = [str(authority.folder / f"noc.{end}") for end in ("pem", "key")]
    asked = f"https://{address}:9435/api/v1/explain?address=198.51.100.9"
    gateway.write(main=ON.replace("127.0.0.1:9435", f"{address}:9435"))
    process = gateway.start()
    assert code(gateway, *ca, asked) == "403", "over the network, by nobody in particular"
    assert stop(process) == 0
    gateway.write(main=MUTUAL.replace("127.0.0.1:9435", f"{address}:9435"))
    gateway.start()
    told = json.loads(curl(gateway, *ca, "--cert", pair[0], "--key", pair[1], asked).stdout)
    assert told["registrations"][0]["id"] == "R-1"
    assert "198.51.100" not in gateway.said()


def spoil(folder: Path, how: str) -> None:
    certificate, key = folder / "gw.pem", folder / "gw.key"
    match how:
        case "other key":
            shutil.copy(folder / "ca.key", key)
        case "no key":
            key.unlink()
        case "empty key":
            key.write_text("")
        case "html":
            certificate.write_text("<html>not found</html>\n")
        case "swapped":
            certificate.write_bytes(key.read_bytes())
        case "cut short":
            certificate.write_bytes(certificate.read_bytes()[:200])
        case "encrypted":
            arguments = ("ec", "-in", "gw.key", "-aes256", "-passout", "pass:geheim", "-out")
            subprocess.run(
                ["openssl", *arguments, "new"], cwd=folder, check=True, capture_output=True
            )
            (folder / "new").rename(key)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("other key", "key: {pki}/gw.key: is not the key of gw.pem; give the two that belong "),
        ("no key", "key: {pki}/gw.key: cannot be read (No such file or directory); correct the "),
        ("empty key", "key: {pki}/gw.key: holds no private key; give a PEM file"),
        ("html", "certificate: {pki}/gw.pem: holds no certificate; give a PEM file"),
        ("swapped", "certificate: {pki}/gw.pem: holds no certificate; give a PEM file"),
        ("cut short", "certificate: {pki}/gw.pem: cannot be used with its key ("),
        ("encrypted", "key: {pki}/gw.key: is encrypted; give a key without passphrase"),
    ],
)
def test_files_that_are_wrong_are_told(tmp_path: Path, how: str, message: str) -> None:
    pki = Authority(tmp_path / "pki").make()
    pki.sign("gw", "IP:127.0.0.1")
    files = TlsFiles(pki.folder / "gw.pem", pki.folder / "gw.key")
    assert server_context(files)
    spoil(pki.folder, how)
    with pytest.raises(TlsError) as caught:
        server_context(files)
    assert str(caught.value).startswith(f"metrics.tls.{message.format(pki=pki.folder)}")


def test_check_and_a_start_refuse_them(gateway: Gateway, authority: Authority) -> None:
    gateway.write(main=MUTUAL)
    assert gateway.run("check").returncode == 0
    secret = (authority.folder / "gw.key").read_text().splitlines()[1]
    (authority.folder / "ca.pem").write_text("")
    place = f"enforcer.yaml: metrics.tls.client_ca: {authority.folder}/ca.pem: "
    expected = f"{place}holds no certificate; give the PEM file of the CA\n"
    told = gateway.run("check")
    assert (told.returncode, told.stdout) == (78, expected)
    started = gateway.run("run")
    assert (started.returncode, started.stderr) == (78, expected)
    assert secret not in told.stdout + started.stderr
    assert gateway.ruleset() == "", "nothing is touched"
