"""Certificates made by openssl, as an operator would make them, for the time of a test."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.kernel.slowness import patient

_EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")


def openssl(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        ["openssl", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=patient(30),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Authority:
    """A CA in `folder`: `ca.pem`, and whatever it signs."""

    folder: Path

    def make(self) -> Authority:
        self.folder.mkdir(exist_ok=True)
        out = ("-keyout", "ca.key", "-out", "ca.pem")
        name = ("-subj", "/CN=a CA of a test")
        openssl("req", "-x509", *_EC, "-noenc", *out, *name, "-days", "2", cwd=self.folder)
        return self

    def sign(self, name: str, subject_names: str, subject: str | None = None) -> None:
        """`NAME.pem` and `NAME.key`, for names like `IP:127.0.0.1`; `subject` is /CN=NAME."""
        here = self.folder
        out = ("-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("req", "-new", *_EC, "-noenc", *out, "-subj", subject or f"/CN={name}", cwd=here)
        (here / "san").write_text(f"subjectAltName={subject_names}\n")
        asked = ("-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2")
        by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-extfile", "san")
        openssl("x509", *asked, *by, cwd=here)

    def serial(self, name: str) -> str:
        return openssl("x509", "-noout", "-serial", "-in", f"{name}.pem", cwd=self.folder).strip()
