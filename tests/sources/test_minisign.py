"""Signatures that the real minisign made are taken, and nothing that was changed since."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.policy.keys import PublicKey
from enforcer.sources.minisign import SignatureError, feed_of, serial_of, verify

DATA = b"id,prefix,category,valid_from,valid_until,services\nR-1,192.0.2.0/24,mission,,,\n"


@dataclass(frozen=True)
class Signed:
    key: PublicKey
    signature: str


# Made by minisign 0.11 with a key that was thrown away.
EXAMPLE = Signed(
    PublicKey.parse("RWTzul0W4tgRVsofiV9nyRZqFJaJw/kCRNL7HrCwTZddh7R7hgI775PL"),
    """\
untrusted comment: signature from minisign secret key
RUTzul0W4tgRVldHJaBCCHXhYaST23lDen9KDHm4RXwLuEfppuUT7CXQtATr4MW9fnX6gkVMPi6y1m3HVa6WBSqpweJ05S0m5Qo=
trusted comment: serial:7 an example
4GEVRRGMoryGC3a8EJ4kkIRa1oaUnwGxN+/bf5EaD4gj6WHWP9mN1yt1lbTJEUegYDZ6xlcm+nHmXS5VAdFQBg==
""",
)


@pytest.fixture(scope="module", params=["prehashed", "legacy"])
def signed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Signed:
    if shutil.which("minisign") is None:
        pytest.skip("needs minisign; .ci/debian-packages installs it")
    folder = tmp_path_factory.mktemp("signed")
    file = folder / "registry.csv"
    file.write_bytes(DATA)
    _minisign(folder, "-G", "-W", "-p", "k.pub", "-s", "k.key")
    legacy = ("-l",) if request.param == "legacy" else ()
    _minisign(folder, "-S", *legacy, "-s", "k.key", "-m", file.name, "-t", "serial:7 by hand")
    key = PublicKey.parse((folder / "k.pub").read_text())
    return Signed(key, (folder / "registry.csv.minisig").read_text())


def _minisign(folder: Path, *words: str) -> None:
    subprocess.run(("minisign", *words), cwd=folder, check=True, capture_output=True)


def test_what_minisign_signed_is_taken_with_its_comment(signed: Signed) -> None:
    assert verify((signed.key,), DATA, signed.signature) == "serial:7 by hand"
    assert PublicKey.parse(str(signed.key)) == signed.key


def test_changed_bytes_are_refused(signed: Signed) -> None:
    for changed in (DATA + b"x", DATA[:-1], b"", DATA.replace(b"R-1", b"R-2")):
        with pytest.raises(SignatureError, match="is not what was signed"):
            verify((signed.key,), changed, signed.signature)


def test_a_changed_comment_is_refused(signed: Signed) -> None:
    with pytest.raises(SignatureError, match="trusted comment was changed"):
        verify((signed.key,), DATA, signed.signature.replace("serial:7", "serial:8"))


def test_a_strangers_key_is_named(signed: Signed) -> None:
    stranger = PublicKey(bytes(8), signed.key.key)
    number = signed.key.number[::-1].hex().upper()
    with pytest.raises(SignatureError, match=f"key {number}, which is not trusted here"):
        verify((stranger,), DATA, signed.signature)
    with pytest.raises(SignatureError, match="not trusted"):
        verify((), DATA, signed.signature)


def test_the_right_number_does_not_make_a_key(signed: Signed) -> None:
    # Of another pair: a point of the curve, but not ours (RFC 8032, 7.1, test 1).
    other = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    with pytest.raises(SignatureError, match="is not what was signed"):
        verify((PublicKey(signed.key.number, other),), DATA, signed.signature)


@pytest.mark.parametrize("text", ["", "RW", "untrusted comment: x\nAAAA", "x" * 20000, "Rĝ"])
def test_what_is_no_signature_is_said_so(text: str, signed: Signed) -> None:
    with pytest.raises(SignatureError, match="minisign -Sm"):
        verify((signed.key,), DATA, text)
    with pytest.raises(ValueError, match=r"begins with RW"):
        PublicKey.parse(text)


@given(st.integers(0, 3), st.integers(0, 400), st.characters())
def test_no_change_of_a_signature_is_taken(line: int, at: int, put: str) -> None:
    text = EXAMPLE.signature.splitlines()
    old = text[line]
    at %= len(old)
    text[line] = old[:at] + put + old[at + 1 :]
    # The first line is nobody's, and base64 has bits to spare in its last digit.
    harmless = line == 0 or text == EXAMPLE.signature.splitlines()
    try:
        verify((EXAMPLE.key,), DATA, "\n".join(text))
    except SignatureError:
        assert text != EXAMPLE.signature.splitlines()
    else:
        assert harmless or put.strip() == "" or old[at + 1 :].strip("=") == ""


def test_half_a_character_is_no_comment(signed: Signed) -> None:
    first, second, _, last = signed.signature.splitlines()
    text = "\n".join([first, second, "trusted comment: \ud800", last])
    with pytest.raises(SignatureError, match="minisign -Sm"):
        verify((signed.key,), DATA, text)


@pytest.mark.parametrize("comment", ["", "serial:", "serial:1 serial:2", "xserial:3", "serial:١"])
def test_without_one_serial_there_is_none(comment: str) -> None:
    with pytest.raises(SignatureError, match="without a serial"):
        serial_of(comment)


def test_a_feed_is_a_word_of_the_comment() -> None:
    assert feed_of("timestamp:1\tserial:7 feed:missions") == "missions"
    assert feed_of("feed:a serial:7 feed:a") == "a"
    assert feed_of("serial:7 xfeed:a feeds:b") is None
    for comment in ("feed:", "feed: a", "feed:a feed:b"):
        with pytest.raises(SignatureError, match="is signed for no one feed; sign it with"):
            feed_of(comment)


def test_a_serial_is_a_word_of_the_comment() -> None:
    assert serial_of("timestamp:1\tserial:2026112501\tregistry.csv") == 2026112501
