"""`gateway.yaml`: what a gateway of a fleet says of itself, and where its fleet is.

In: bytes. Out: `Settings`, or PolicyError with every problem, in the form of `enforcer.yaml`'s. The
sections `gateway`, `links` and `metrics` are those of `enforcer.yaml`, with absolute paths: the
file that the daemon reads lies elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from enforcer.errors import PolicyError, Problem
from enforcer.fleet.revision import NAME
from enforcer.policy import values
from enforcer.policy.documents import GatewaySection, LinkSection, MetricsSection
from enforcer.policy.fields import Identifier, Key, Name, Section, Sentence
from enforcer.policy.keys import PublicKey
from enforcer.policy.places import Document
from enforcer.policy.shape import check
from enforcer.policy.yamltext import read_yaml

TRACKS = ("stable", "canary")


def _endpoint(value: Any) -> str:
    text = values.text_of(value, "an address, like https://etcd-1.isp.example:2379")
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError("is no address of etcd; write it like https://etcd-1.isp.example:2379")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("has more than an address in it; the password goes into password_file")
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has a port that is none; 2379 is etcd's") from None
    return f"{parts.scheme}://{parts.netloc}" if port else f"{parts.scheme}://{parts.netloc}:2379"


def _fleet_name(value: Any) -> str:
    text = values.text_of(value, "a name, like national")
    if not NAME.fullmatch(text):
        raise ValueError("is no name of a fleet; use small letters, digits, dots and hyphens")
    return text


Endpoint = Annotated[str, PlainValidator(_endpoint), WithJsonSchema({"type": "string"})]
FleetName = Annotated[str, PlainValidator(_fleet_name), WithJsonSchema({"type": "string"})]


class EtcdTlsSection(Section):
    ca: Sentence = Field(description="the PEM file of the authority that signed etcd's certificate")
    certificate: Sentence | None = Field(None, description="this client's certificate, PEM")
    key: Sentence | None = Field(None, description="the PEM file of its private key")


class EtcdSection(Section):
    endpoints: list[Endpoint] = Field(
        min_length=1, max_length=16, description="etcd's members, tried in order"
    )
    tls: EtcdTlsSection | None = Field(None, description="for endpoints that begin with https")
    user: Sentence | None = Field(None, description="etcd's user, where it asks for one")
    password_file: Sentence | None = Field(None, description="the file of that user's password")


class FleetSection(Section):
    name: FleetName = Field(description="the name of the fleet")
    track: Literal["stable", "canary"] = Field(
        "stable", description="canary gateways get a revision first"
    )
    labels: dict[Name, Identifier] = Field({}, description="what else `enforcer fleet` shows")
    etcd: EtcdSection = Field(description="where the fleet's revisions are kept")
    public_keys: list[Key] = Field(
        min_length=1, max_length=8, description="the minisign keys that may sign a revision"
    )


class GatewayFile(Section):
    """`gateway.yaml`. Whoever only publishes writes `version` and `fleet`."""

    version: Literal[1] = Field(description="the version of this file's form, 1")
    gateway: GatewaySection | None = Field(None, description="the name and uplinks of this gateway")
    links: dict[Name, LinkSection] = Field({}, description="links on which to reserve")
    metrics: MetricsSection | None = Field(None, description="where metrics and status are served")
    fleet: FleetSection = Field(description="the fleet that this gateway belongs to")


@dataclass(frozen=True, slots=True)
class Etcd:
    """`tls` is (authority, certificate, key); the last two None without a client certificate."""

    endpoints: tuple[str, ...]
    tls: tuple[str, str | None, str | None] | None = None
    user: str | None = None
    password_file: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`gateway` is empty where the file is not a gateway's."""

    gateway: str
    fleet: str
    track: str
    labels: dict[str, str]
    etcd: Etcd
    public_keys: tuple[PublicKey, ...]
    # The file's text, of whose sections the daemon's file is made.
    text: str


def read_settings(name: str, data: bytes, *, follows: bool = False) -> Settings:
    """What `gateway.yaml` says; with `follows` it has to be a gateway's. Raises PolicyError."""
    document, problems = read_yaml(name, data)
    if document is not None and document.value is None:
        problems.append(document.problem((), "is empty; write the gateway's part into it"))
    if document is None or problems:
        raise PolicyError(sorted(problems))
    checked = check(GatewayFile, document, (), document.value, problems)
    if (
        follows
        and checked is not None
        and checked.section.gateway is None
        and checked.good("gateway")
    ):
        problems.append(document.problem((), "gateway is missing; add it: the name and uplinks"))
    if checked is not None and checked.good("fleet", "metrics"):
        problems += _paths(document, checked.section)
    if checked is None or problems:
        raise PolicyError(sorted(problems))
    section = checked.section
    return Settings(
        section.gateway.name if section.gateway else "",
        section.fleet.name,
        section.fleet.track,
        dict(section.fleet.labels),
        etcd_of(section.fleet.etcd),
        tuple(section.fleet.public_keys),
        data.decode(),
    )


def etcd_of(section: EtcdSection) -> Etcd:
    tls = section.tls
    return Etcd(
        tuple(section.endpoints),
        (tls.ca, tls.certificate, tls.key) if tls else None,
        section.user,
        section.password_file,
    )


def _in_the_clear(endpoint: str) -> bool:
    """Whether what is said there can be heard outside of this machine."""
    parts = urlsplit(endpoint)
    if parts.scheme != "http" or parts.hostname == "localhost":
        return False
    try:
        return not ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return True


def _paths(document: Document, section: GatewayFile) -> list[Problem]:
    """What would be looked for elsewhere, and what only goes together."""
    found: list[Problem] = []
    etcd, metrics = section.fleet.etcd, section.metrics
    files: list[tuple[tuple[str, ...], str | None]] = [
        (("fleet", "etcd", "password_file"), etcd.password_file)
    ]
    sections: list[tuple[tuple[str, ...], Section | None]] = [
        (("fleet", "etcd", "tls"), etcd.tls),
        (("metrics", "tls"), metrics.tls if metrics else None),
    ]
    for path, tls in sections:
        if tls is not None:
            files += [((*path, key), value) for key, value in tls.model_dump().items()]
    for path, value in files:
        if value is not None and not PurePosixPath(value).is_absolute():
            found.append(document.problem(path, "is relative; write the whole path, from / on"))
    at = ("fleet", "etcd")
    if (etcd.user is None) != (etcd.password_file is None):
        found.append(document.problem(at, "user and password_file go together; write both"))
    if etcd.tls and (etcd.tls.certificate is None) != (etcd.tls.key is None):
        found.append(document.problem((*at, "tls"), "certificate and key go together; write both"))
    if etcd.user is not None:
        found += [
            document.problem(
                (*at, "endpoints", index),
                "would hear the password in the clear, and so would anybody on the way; use https "
                "and the section tls",
            )
            for index, endpoint in enumerate(etcd.endpoints)
            if _in_the_clear(endpoint)
        ]
    if etcd.tls is None and any(e.startswith("https:") for e in etcd.endpoints):
        found.append(document.problem(at, "https needs the section tls, with ca; add it"))
    return found
