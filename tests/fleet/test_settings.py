"""`gateway.yaml`: what is wrong in it is said with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from enforcer.cli import fleets
from enforcer.errors import PolicyError
from enforcer.fleet.settings import Etcd, read_settings

KEY = "RWTzul0W4tgRVsofiV9nyRZqFJaJw/kCRNL7HrCwTZddh7R7hgI775PL"
GOOD = f"""\
version: 1
gateway: {{name: edge-1, uplinks: [wan0]}}
fleet:
  name: national
  track: canary
  labels: {{site: north}}
  etcd: {{endpoints: ["https://etcd-1:2379", "https://[2001:db8::1]"], tls: {{ca: /etc/ca.pem}}}}
  public_keys: [{KEY}]
"""


def test_what_it_says() -> None:
    settings = read_settings("gateway.yaml", GOOD.encode(), follows=True)
    assert (settings.gateway, settings.fleet, settings.track) == ("edge-1", "national", "canary")
    assert settings.labels == {"site": "north"}
    endpoints = ("https://etcd-1:2379", "https://[2001:db8::1]:2379")
    assert settings.etcd == Etcd(endpoints, ("/etc/ca.pem", None, None))
    assert [str(key) for key in settings.public_keys] == [KEY]


def test_a_file_that_is_not_there_says_what_it_would_be(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as refused:
        fleets.settings(tmp_path / "gateway.yaml")
    help_ = (
        "(it says where the fleet is, docs/fleet.md has one to copy; a gateway of no fleet has none"
    )
    said = f"does not exist; create it, or correct its name {help_} and begins with: enforcer init)"
    assert str(refused.value) == f"{tmp_path}/gateway.yaml: {said}"
    (tmp_path / "gateway.yaml").symlink_to("nowhere")
    with pytest.raises(PolicyError, match=r"correct the link, or create what it names$"):
        fleets.settings(tmp_path / "gateway.yaml")


def test_who_only_publishes_needs_no_gateway() -> None:
    text = "".join(line for line in GOOD.splitlines(keepends=True) if "uplinks" not in line)
    assert read_settings("fleet.yaml", text.encode()).gateway == ""
    with pytest.raises(PolicyError, match="gateway is missing; add it"):
        read_settings("fleet.yaml", text.encode(), follows=True)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (GOOD, "", "gateway.yaml: is empty; write the gateway's part into it"),
        ("track: canary", "track: fast", "fleet.track"),
        ("name: national", "name: ../x", "is no name of a fleet"),
        (KEY, "RWx", "is not a public key of minisign; give the second line"),
        ("https://etcd-1:2379", "etcd-1:2379", "is no address of etcd; write it like"),
        ("https://etcd-1:2379", "https://u:p@etcd-1", "the password goes into password_file"),
        ("https://etcd-1:2379", "https://etcd-1:99999", "has a port that is none"),
        ("/etc/ca.pem", "ca.pem", "fleet.etcd.tls.ca: is relative; write the whole path"),
        (", tls: {ca: /etc/ca.pem}", "", "https needs the section tls, with ca"),
        ("tls:", "user: a, tls:", "user and password_file go together"),
        ("ca: /etc/ca.pem", "ca: /a, key: /b", "certificate and key go together"),
        (f"[{KEY}]", "[]", "fleet.public_keys"),
    ],
)
def test_what_is_wrong_is_said(old: str, new: str, text: str) -> None:
    assert old in GOOD
    with pytest.raises(PolicyError) as caught:
        read_settings("gateway.yaml", GOOD.replace(old, new).encode(), follows=True)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("endpoint", "open_to_all"),
    [
        ("http://192.0.2.1:2379", True),
        ("http://etcd-1.isp.example:2379", True),
        ("http://localhost.isp.example", True),
        ("http://[2001:db8::1]:2379", True),
        ("http://127.0.0.1:2379", False),
        ("http://[::1]:2379", False),
        ("http://localhost:2379", False),
        ("https://192.0.2.1:2379", False),
    ],
)
def test_a_password_goes_to_nobody_in_the_clear(endpoint: str, open_to_all: bool) -> None:
    text = GOOD.replace("https://etcd-1:2379", endpoint)
    read_settings("gateway.yaml", text.encode())
    text = text.replace("tls:", "user: gw, password_file: /etc/enforcer/pw, tls:")
    if not open_to_all:
        assert read_settings("gateway.yaml", text.encode()).etcd.user == "gw"
        return
    with pytest.raises(PolicyError, match="would hear the password in the clear") as caught:
        read_settings("gateway.yaml", text.encode())
    assert len(caught.value.problems) == 1, "the other member is asked by https"
    assert caught.value.problems[0].path == "fleet.etcd.endpoints[0]"
