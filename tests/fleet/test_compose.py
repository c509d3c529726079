"""A gateway's sections take the place of the fleet's, and all else stays as it was written."""

from __future__ import annotations

import pytest

from enforcer.fleet.compose import ComposeError, compose

SHARED = """\
# the fleet's
version: 1
gateway: {name: template, uplinks: [wan0]}   # replaced
categories: [mission]
# who is registered
registry:
  sources:
    - file: registry.csv
links:
  wan: {device: wan0, rate: 1gbit}
estates:
  mail: {prefixes: [203.0.113.0/28], services: [udp/51820]}
"""
LOCAL = """\
version: 1
gateway:
  name: edge-1
  uplinks: [ppp0]   # the line to the exchange
fleet: {name: national}
metrics: {listen: "127.0.0.1:9435"}
"""


def test_the_sections_of_the_gateway_are_its_own() -> None:
    assert (
        compose(SHARED, LOCAL, "Revision 7.")
        == """\
# Revision 7.

version: 1

categories: [mission]
# who is registered

registry:
  sources:
    - file: registry.csv

estates:
  mail: {prefixes: [203.0.113.0/28], services: [udp/51820]}

gateway:
  name: edge-1
  uplinks: [ppp0]   # the line to the exchange

metrics: {listen: "127.0.0.1:9435"}

"""
    )


@pytest.mark.parametrize(
    ("shared", "text"),
    [
        ("a: [", "the fleet's file is not YAML"),
        ("{version: 1}", "is not keys, each on a line of its own"),
        ("- a", "is not keys"),
        ("", "is not keys"),
        (" a: 1\n b: 2", "keys that are indented or there twice"),
        ("a: 1\na: 2", "keys that are indented or there twice"),
    ],
)
def test_what_cannot_be_taken_apart_is_said(shared: str, text: str) -> None:
    with pytest.raises(ComposeError, match=text):
        compose(shared, LOCAL, "x")
    with pytest.raises(ComposeError, match="the gateway's file"):
        compose(SHARED, shared, "x")
