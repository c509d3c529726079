"""What gateways and publishers read of a fleet: manifests, chunks, what etcd or whatever stands in
its place answers, reports of other gateways, and the two files that are made one.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable

import yaml

from enforcer.cli import fleet as listing
from enforcer.cli.terminal import Painter
from enforcer.errors import PolicyError
from enforcer.fleet import answers
from enforcer.fleet.chunks import ChunkError, Root, cut, join, name_of
from enforcer.fleet.compose import LOCAL, ComposeError, compose
from enforcer.fleet.reports import read_report
from enforcer.fleet.revision import MOST_NUMBER, ManifestError, parse
from enforcer.fleet.settings import read_settings
from enforcer.fleet.store import RefusedError, Signed, number_of
from enforcer.fleet.troubles import EtcdError, refusal
from enforcer.policy.keys import PublicKey
from fuzz.targets import CUT, told

KEY = PublicKey.parse("RWTzul0W4tgRVsofiV9nyRZqFJaJw/kCRNL7HrCwTZddh7R7hgI775PL")


def _shown(text: str) -> None:
    """A line, for a terminal."""
    assert text == "" or text.isprintable(), text


def _said(error: Exception) -> None:
    """As `fact; remedy`."""
    _shown(str(error))
    assert "; " in str(error)


def manifest(data: bytes) -> None:
    """A manifest, and the same bytes as what stands in its place in etcd, or under a head."""
    try:
        assert 0 < number_of(data) <= MOST_NUMBER
    except RefusedError as error:
        _said(error)
    try:
        Signed.of(data).revision("national", 7, (KEY,))
    except RefusedError as error:
        _said(error)
    text = data.decode(errors="replace")
    try:
        revision = parse(text)
    except ManifestError as error:
        _shown(str(error))
        return
    assert 0 < revision.number <= MOST_NUMBER
    assert revision.main in revision.files
    for name in revision.files:
        assert ".." not in name.split("/")
        assert not name.startswith("/")
    assert parse(revision.text()) == revision


_NAMED = re.compile(rb"@(\d)")


def chunks(data: bytes) -> None:
    """Size and depth on the first line, then chunks; in one, `@N` is the name of an earlier one.
    Cut is the whole, too.
    """
    root, cuts = cut(data)
    assert join(root, lambda names: {name: cuts[name] for name in names}) == data
    head, _, rest = data.partition(b"\n")
    named: list[bytes] = []
    held: dict[str, bytes] = {}
    for part in rest.split(CUT):
        chunk = _NAMED.sub(lambda m: named[int(m[1])] if int(m[1]) < len(named) else m[0], part)
        named.append(name_of(chunk).encode())
        held[name_of(chunk)] = chunk
    try:
        size, depth = map(int, head.split())
        whole = join(Root(size, depth, named[-1].decode()), lambda names: held)
    except (ChunkError, ValueError):
        return
    assert len(whole) == size


_ANSWERS: tuple[Callable[[answers.Answer], object], ...] = (
    answers.found,
    lambda answer: list(answers.found_by_each(answer)),
    answers.kept_alive_s,
    lambda answer: answers.number(answer, "ID"),
    answers.token,
)


def etcd(data: bytes) -> None:
    """An answer, as each kind; a line of a watch; and what came with a status that is no 200."""
    for read in _ANSWERS:
        try:
            read(answers.parsed(data))
        except EtcdError as error:
            _said(error)
    try:
        answers.changed(data)
    except EtcdError as error:
        _said(error)
    for status in (400, 401, 429, 503):
        _shown(refusal("http://etcd:2379", status, data).text)


def report(data: bytes) -> None:
    """What is shown of it moves no cursor, and does not look like a row of its own."""
    read = read_report(data)
    heads = {"stable": 7, "canary": 8}
    rows = [listing._row("edge-1", read, "stable", heads)]
    json.dumps(rows)
    lines = [*listing._summary("national", heads, rows), *listing._listed(rows, 40)]
    paint = Painter(argparse.Namespace(color="never"))
    for line in (*lines, *listing._verdict(rows, converged=False, paint=paint)):
        _shown(line)
    if read is not None:
        assert read_report(read.stored()) == read


def composed(data: bytes) -> None:
    """The fleet's `enforcer.yaml` and a gateway's: each key made is whose it has to be. Without
    anchors, which no configuration may have.
    """
    shared, _, local = data.replace(b"&", b"").partition(CUT)
    texts = shared.decode(errors="replace"), local.decode(errors="replace")
    try:
        whole = compose(*texts, "made by a fuzzer")
    except ComposeError as error:
        _shown(str(error))
        return
    theirs, ours, made = (_keys(text) for text in (*texts, whole))
    wanted = {key: theirs[key] for key in theirs if key not in LOCAL}
    wanted |= {key: ours[key] for key in LOCAL if key in ours}
    assert made == wanted


def _keys(text: str) -> dict[str, str]:
    """Top-level key → its value, as YAML has it."""
    node = yaml.compose(text, Loader=yaml.CSafeLoader)
    if node is None:
        return {}
    assert isinstance(node, yaml.MappingNode)
    return {key.value: yaml.serialize(value) for key, value in node.value}


def gateway_file(data: bytes) -> None:
    try:
        read_settings("gateway.yaml", data, follows=True)
    except PolicyError as error:
        told(error)
