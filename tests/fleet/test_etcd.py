"""What a client of etcd tells a server of itself, and from which files."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from enforcer.fleet.etcd import Client
from enforcer.fleet.settings import Etcd
from enforcer.fleet.troubles import EtcdError
from tests.feeds.feed_world import Authority


class Members(ThreadingHTTPServer):
    """Answers as a member of etcd does, or with another token; `seen` is call → request, token."""

    token: Any = "simple.42"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, Any], str | None]] = []


class Handler(BaseHTTPRequestHandler):
    server: Members

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, data, self.headers["Authorization"]))
        answer = {"header": {"revision": "1"}}
        if "auth" in self.path:
            answer = {"token": self.server.token}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def members() -> Iterator[Members]:
    with Members() as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


def client(members: Members, password: Path) -> Client:
    endpoint = f"http://127.0.0.1:{members.server_port}"
    return Client(Etcd((endpoint,), None, "gw", str(password)))


def secret(folder: Path, text: str = "correct horse\n", mode: int = 0o640) -> Path:
    path = folder / "password"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_password_is_exchanged_for_a_token(members: Members, tmp_path: Path) -> None:
    client(members, secret(tmp_path)).get("/x")
    (_, asked, _), (_, _, token) = members.seen
    assert asked == {"name": "gw", "password": "correct horse"}
    assert token == "simple.42"


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("s3cret", 0o666, "may be read by every user of this machine; chmod o-rwx"),
        ("s3cret\nmore", 0o600, "is not one line of ASCII"),
        ("s" * 70_000, 0o600, "is larger than"),
    ],
)
def test_a_password_that_is_no_secret_is_not_sent(
    members: Members, tmp_path: Path, text: str, mode: int, why: str
) -> None:
    with pytest.raises(EtcdError) as caught:
        client(members, secret(tmp_path, text, mode)).get("/x")
    assert why in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert members.seen == []


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_password_of_another_user_is_not_sent(members: Members, tmp_path: Path) -> None:
    path = secret(tmp_path)
    os.chown(path, 65534, 65534)
    with pytest.raises(EtcdError, match="who could change it; chown root"):
        client(members, path).get("/x")
    assert members.seen == []


def test_a_fifo_in_the_place_of_the_password_holds_nobody(members: Members, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(EtcdError, match="is not a regular file"):
        client(members, tmp_path / "fifo").get("/x")


@pytest.mark.parametrize("token", ["a\nb", "", None, 7])
def test_a_token_that_no_header_takes_is_an_error_of_etcds(
    members: Members, tmp_path: Path, token: object
) -> None:
    members.token = token
    with pytest.raises(EtcdError, match="no token that could be sent"):
        client(members, secret(tmp_path)).get("/x")


def test_a_key_that_everybody_may_read_is_not_used(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.make("client")
    etcd = Etcd(("https://127.0.0.1:1",), (str(authority.ca), str(certificate), str(key)))
    Client(etcd).close()
    key.chmod(0o644)
    with pytest.raises(EtcdError, match="may be read by every user of this machine; chmod o-rwx"):
        Client(etcd)
