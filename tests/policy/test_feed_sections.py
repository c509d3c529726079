"""Feeds in `enforcer.yaml`: what they become. What is wrong with one is in `tests/bad_config`."""

from __future__ import annotations

from enforcer.policy.feed import Feed, FeedAuth, FeedTls
from enforcer.policy.keys import PublicKey
from enforcer.policy.model import RegistrySpec
from enforcer.schedule.load import load
from enforcer.sources.files import ZONES

KEY = "RWTzul0W4tgRVsofiV9nyRZqFJaJw/kCRNL7HrCwTZddh7R7hgI775PL"
HEAD = "version: 1\ngateway: {name: edge-1, uplinks: [wan0]}\ncategories: [mission]\nregistry:\n"


def spec(sources: str) -> RegistrySpec:
    text = f"{HEAD}  sources:\n{sources}"
    return load({"e.yaml": text.encode()}, "e.yaml", ZONES).registry


def test_a_feed_is_a_file_that_is_kept_for_the_daemon() -> None:
    read = spec(
        "    - file: registry.csv\n"
        "    - feed: {name: registrar, urls: ['https://a.example/r.csv']}\n"
        "    - {file: own.csv, feed: {name: own, urls: ['https://a.example/o.csv']}}\n"
    )
    place = "/var/lib/enforcer/feeds/registrar.csv"
    assert read.files == ("registry.csv", place, "own.csv")
    first = Feed("registrar", place, ("https://a.example/r.csv",))
    assert read.feeds == (first, Feed("own", "own.csv", ("https://a.example/o.csv",)))
    assert (read.feed(place), read.feed("registry.csv")) == (first, None)
    assert (first.every_s, first.timeout_s, first.max_bytes) == (3600, 60, 64 * 1024**2)


def test_everything_that_may_be_said_of_one() -> None:
    (read,) = spec(
        "    - feed:\n"
        "        name: registrar\n"
        "        urls: ['http://a.example/r.csv', 'https://[2001:db8::1]:8443/r']\n"
        f"        public_keys: [{KEY}]\n"
        "        every: 15m\n        timeout: 10s\n        max_size: 8MB\n        max_rows: 5\n"
        "        category: mission\n        format: plain\n"
    ).feeds
    urls = ("http://a.example/r.csv", "https://[2001:db8::1]:8443/r")
    place = "/var/lib/enforcer/feeds/registrar.csv"
    keys = (PublicKey.parse(KEY),)
    assert read == Feed("registrar", place, urls, keys, 900, 10, 8 << 20, 5, "mission", "plain")


def test_who_we_are() -> None:
    (read,) = spec(
        "    - feed:\n        name: registrar\n        urls: ['https://a.example/r.csv']\n"
        "        auth: {user: edge-1, password_file: p}\n"
        "        tls: {ca: ca.pem, certificate: c.pem, key: k.pem}\n"
    ).feeds
    assert read.auth == FeedAuth(user="edge-1", password_file="p")
    assert read.tls == FeedTls("ca.pem", "c.pem", "k.pem")
