"""A registrar for a test: a real HTTPS server that can misbehave in every way, with signatures.

The server speaks over raw sockets, so that a test says every byte, and when it comes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from enforcer.clock import SystemClock
from enforcer.policy.keys import PublicKey

HEADER = b"id,prefix,category,valid_from,valid_until,services\n"
ALWAYS = timedelta(days=2)


def csv(count: int, category: str = "mission", net: int = 60) -> bytes:
    """So many rows, from NET.0.0.0 on every second address, so that none are joined."""
    places = ((i, f"{net}.{i >> 15}.{i >> 7 & 255}.{2 * i & 255}/32") for i in range(count))
    rows = (f"R-{i},{prefix},{category},,,\n" for i, prefix in places)
    return HEADER + "".join(rows).encode()


# --- signatures -----------------------------------------------------------------------------------


class Signer:
    """A key of minisign; signs as minisign does today (prehashed)."""

    def __init__(self, number: bytes = b"8 bytes!") -> None:
        self._number, self._key = number, Ed25519PrivateKey.generate()
        raw = self._key.public_key().public_bytes_raw()
        self.public = PublicKey(number, raw)

    def sign(self, data: bytes, comment: str) -> bytes:
        signature = self._key.sign(hashlib.blake2b(data, digest_size=64).digest())
        whole = self._key.sign(signature + comment.encode())
        one = base64.b64encode(b"ED" + self._number + signature).decode()
        two = base64.b64encode(whole).decode()
        text = f"untrusted comment: x\n{one}\ntrusted comment: {comment}\n{two}\n"
        return text.encode()


# --- certificates ---------------------------------------------------------------------------------


class Authority:
    """A CA and what it signs, as PEM files in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA of a test")])
        self.ca = folder / "ca.pem"
        now = SystemClock().now()
        self._write("ca", self._name, self._key, now - 400 * ALWAYS, now + 400 * ALWAYS, ca=True)

    def make(
        self, name: str, starts: timedelta = -ALWAYS, ends: timedelta = ALWAYS
    ) -> tuple[Path, Path]:
        """Certificate and key for 127.0.0.1 and localhost, valid from now on so long."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = SystemClock().now()
        return self._write(name, subject, key, now + starts, now + ends, ca=False)

    def _write(
        self,
        name: str,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        starts: datetime,
        ends: datetime,
        *,
        ca: bool,
    ) -> tuple[Path, Path]:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        certificate, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        private.chmod(0o600)
        return certificate, private


# --- the server -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]


Answer = Callable[[Request], Iterable[bytes]]


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """An answer with its length; `ETag="x"`, `Content_Encoding="gzip"`."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def raw(*pieces: bytes) -> Answer:
    return lambda _: pieces


@dataclass
class Registrar:
    """`routes` say what a path answers; a path with an ETag answers 304 to whoever has it."""

    port: int
    tls: bool = True
    routes: dict[str, Answer] = field(default_factory=dict)
    seen: list[Request] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}{path}"

    def serve(self, path: str, body: bytes, signature: bytes | None = None, **headers: str) -> str:
        """The address of a body, beside its signature."""

        def told(request: Request) -> Iterable[bytes]:
            if "ETag" in headers and request.headers.get("if-none-match") == headers["ETag"]:
                return [answer(304)]
            return [answer(200, body, **headers)]

        self.routes[path] = told
        if signature is not None:
            self.routes[f"{path}.minisig"] = raw(answer(200, signature))
        return self.url(path)

    def asked(self, path: str) -> list[Request]:
        return [request for request in self.seen if request.path == path]


@contextmanager
def registrar(
    certificate: Path | None, key: Path | None, client_ca: Path | None = None
) -> Iterator[Registrar]:
    """A server on loopback, until the context ends; with a certificate it speaks TLS."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
    with ExitStack() as opened:
        listening = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        made = Registrar(listening.getsockname()[1], context is not None)
        over = threading.Event()

        def accept() -> None:
            while not over.is_set():
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(peer,), daemon=True).start()

        def serve(peer: socket.socket) -> None:
            with contextlib.suppress(OSError), ExitStack() as held:
                peer.settimeout(20)
                held.enter_context(peer)
                if context is not None:
                    peer = held.enter_context(context.wrap_socket(peer, server_side=True))
                data = b""
                while b"\r\n\r\n" not in data:
                    piece = peer.recv(65536)
                    if not piece:
                        return
                    data += piece
                    if not data.startswith(b"G"):
                        peer.sendall(answer(400))
                        return
                request = parsed(data)
                made.seen.append(request)
                route = made.routes.get(request.path, raw(answer(404)))
                for piece in route(request):
                    if over.is_set():
                        return
                    peer.sendall(piece)
                if context is not None and isinstance(peer, ssl.SSLSocket):
                    peer.unwrap()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            over.set()
            # A thread in accept() keeps a socket open that is only closed.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def parsed(data: bytes) -> Request:
    first, *lines = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Request(first.split()[1], {name.lower(): value.strip() for name, _, value in pairs})


NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
