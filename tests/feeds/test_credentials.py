"""Secrets come from files that only we may read, and are shown nowhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as s

from enforcer.feeds.credentials import Credentials, read_credentials
from enforcer.feeds.transfer import Line, TransferError
from enforcer.policy.feed import Feed, FeedAuth, FeedTls
from enforcer.sources.guarded import CredentialError
from tests.feeds.feed_world import Authority, Registrar, registrar

TOKEN = FeedAuth(token_file="token")
BASIC = FeedAuth(user="edge-1", password_file="token")


def read(folder: Path, auth: FeedAuth | None = None, tls: FeedTls = FeedTls()) -> Credentials:  # noqa: B008 - a value
    return read_credentials(Feed("a", "a.csv", ("https://a.example/",), auth=auth, tls=tls), folder)


def secret(folder: Path, text: str, mode: int = 0o640) -> None:
    (folder / "token").write_text(text)
    (folder / "token").chmod(mode)


def test_a_token_and_a_password_are_sent(tmp_path: Path) -> None:
    secret(tmp_path, "s3cret\n")
    assert read(tmp_path, TOKEN).headers == {"Authorization": "Bearer s3cret"}
    basic = base64.b64encode(b"edge-1:s3cret").decode()
    assert read(tmp_path, BASIC).headers == {"Authorization": f"Basic {basic}"}
    assert read(tmp_path, TOKEN).secret
    assert "s3cret" not in repr(read(tmp_path, TOKEN))
    assert not read(tmp_path).secret


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        ("s3cret", 0o644, "may be read by every user of this machine; chmod o-rwx"),
        ("s3cret", 0o660, "may be changed by the group"),
        ("", 0o600, "is not one line of ASCII"),
        ("s3cret\nX-Other: s3cret", 0o600, "is not one line of ASCII"),
        ("s3crét", 0o600, "is not one line of ASCII"),
        ("two s3cret", 0o600, "is no bearer token"),
    ],
)
def test_what_is_no_safe_secret_is_refused_and_not_shown(
    tmp_path: Path, text: str, mode: int, why: str
) -> None:
    secret(tmp_path, text, mode)
    if mode == 0o660:
        # A group of several, whatever the one of this user is.
        os.chown(tmp_path / "token", -1, 1) if os.geteuid() == 0 else pytest.skip("needs root")
    with pytest.raises(CredentialError) as caught:
        read(tmp_path, TOKEN)
    assert why in str(caught.value)
    assert str(tmp_path / "token") in str(caught.value)
    assert "s3cr" not in str(caught.value)


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CredentialError, match=r"token: does not exist; create it"):
        read(tmp_path, TOKEN)


def test_a_client_certificate_is_shown_to_the_server(
    authority: Authority, server_files: tuple[Path, Path]
) -> None:
    authority.make("gateway")
    folder = authority.folder
    ours = read(folder, tls=FeedTls("ca.pem", "gateway.pem", "gateway.key"))
    assert ours.secret
    with registrar(*server_files, client_ca=authority.ca) as server:
        url = server.serve("/r", b"body")
        assert Line(10, ours.context).get(url, 100).body == b"body"
        with pytest.raises(TransferError):
            Line(10, read(folder, tls=FeedTls("ca.pem")).context).get(url, 100)


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        (FeedTls("server.key"), "server.key: cannot be used for TLS"),
        (FeedTls("nowhere.pem"), "nowhere.pem: does not exist"),
        (FeedTls("ca.pem", "server.pem", "ca.key"), "server.pem: cannot be used for TLS"),
        (FeedTls("ca.pem", "server.pem", "open.key"), "open.key: may be read by every user"),
    ],
)
def test_files_that_do_not_fit_are_named(
    authority: Authority, server_files: tuple[Path, Path], tls: FeedTls, why: str
) -> None:
    open_key = authority.folder / "open.key"
    open_key.write_bytes(server_files[1].read_bytes())
    open_key.chmod(0o644)
    with pytest.raises(CredentialError) as caught:
        read(authority.folder, tls=tls)
    assert why in str(caught.value)


def test_a_key_with_a_passphrase_is_refused_and_asks_nobody(
    authority: Authority, server_files: tuple[Path, Path]
) -> None:
    key = s.load_pem_private_key(server_files[1].read_bytes(), None)
    locked = authority.folder / "locked.key"
    encrypted = s.BestAvailableEncryption(b"x")
    locked.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, encrypted))
    locked.chmod(0o600)
    with pytest.raises(CredentialError, match="without a passphrase"):
        read(authority.folder, tls=FeedTls("ca.pem", "server.pem", "locked.key"))


def test_the_server_gets_the_secret(server: Registrar, authority: Authority) -> None:
    folder = authority.folder
    secret(folder, "s3cret")
    ours = read(folder, TOKEN, FeedTls("ca.pem"))
    Line(10, ours.context, ours.headers, ours.secret).get(server.serve("/r", b"x"), 100)
    assert server.seen[-1].headers["authorization"] == "Bearer s3cret"
