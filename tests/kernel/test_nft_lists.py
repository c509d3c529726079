"""People read our table with Debian's nft: in full, without errors, and nft accepts it back."""

from __future__ import annotations

import json
import re

import pytest

from tests.kernel import every_word as e
from tests.kernel.worlds import RealWorld, commit

pytestmark = pytest.mark.kernel

# One line for each rule of `every_word`, as a person would write it.
WORDS = """
    meta nfproto ipv4 counter name "guard/ddos/held_back/ip4/unregistered"
    iifname "wan0"
    oifname "wan0"
    ip daddr 203.0.113.0/28
    ip saddr 203.0.113.9
    ip6 daddr 2001:db8:1::/48
    ip6 saddr 2001:db8:1::5
    ip saddr 10.0.0.0/11
    ip saddr & 255.255.255.0 == @lifelines4-24
    ip saddr @lifelines4-24
    ip6 daddr & ffff:ffff:ffff:: == @lifelines6-48
    meta l4proto udp
    meta l4proto esp
    th dport 5000-5100
    th sport 443
    th dport @services.vpn.udp
    tcp flags syn / syn,ack
    meta nfproto @armed.ddos
    @nh,96,16 @front4
    @nh,128,16 @front4
    meta priority set ip saddr & 255.255.255.0 map @reg4-24-16
    meta nfproto @armed.ddos meta priority set ip daddr & 255.255.255.0 map @reg4-24-16
    meta nfproto @armed.ddos meta priority set ip saddr map @reg4-24-16
    meta priority set ip6 saddr & ffff:ffff:ffff:: map @reg6-48-16
    meta nfproto @armed.ddos meta priority set ip6 daddr & ffff:ffff:ffff:: map @reg6-48-16
    meta priority vmap @mark.ddos.classes4
    meta priority set none
    meta mark set 0x00000051
    ip dscp set cs5
    ip6 dscp set ef
    meta priority set e4f0:10
    meta priority set e4f0:20
    jump act
    goto act
    accept
    return
    drop
    type ipv4_addr : classid
    elements = { 10.1.2.0 : 1234:5678, 10.1.3.0 : 0:7 }
    type ipv6_addr : classid
    type classid : verdict
    elements = { 0:7 : goto act, 1234:5678 : goto act }
    elements = { 192.0.2.0, 198.51.100.0 }
    elements = { 500, 4500, 51820 }
    typeof @nh,96,16
    elements = { 0xa01, 0xc633 }
    type filter hook ingress device "wan0"
    comment "made by enforcer, edits are undone"
""".strip().splitlines()


def listing(world: RealWorld) -> str:
    commit(world, *e.every_word(world.now_ns()))
    return world.run("nft", "list", "ruleset")


def test_every_word_is_listed_as_people_write_it(real_world: RealWorld) -> None:
    listed = _sorted_elements(listing(real_world))
    missing = [word.strip() for word in WORDS if word.strip() not in listed]
    assert missing == [], listed
    assert "invalid" not in listed
    assert "unknown" not in listed


def _sorted_elements(listed: str) -> str:
    """Elements in order: a hash lists them in any."""

    def ordered(match: re.Match[str]) -> str:
        parts = re.split(r",\s+", match[1].strip())
        number = re.compile(r"\d+")
        parts.sort(key=lambda part: [int(each) for each in number.findall(part)])
        return "elements = { " + ", ".join(parts) + " }"

    return re.sub(r"elements = \{(.*?)\}", ordered, listed, flags=re.DOTALL)


def test_the_ledger_is_a_comment_that_people_can_read(real_world: RealWorld) -> None:
    lines = [line.strip() for line in listing(real_world).splitlines()]
    for registered in (e.MAP4, e.MAP6, e.FRONT):
        assert f'return comment "{registered.name} {registered.stage.digest}"' in lines


def test_nft_accepts_its_own_listing(real_world: RealWorld) -> None:
    listed = listing(real_world)
    real_world.run("nft", "-c", "-f", "-", text=listed)
    # What nft makes of it is still ours; its rules are equal in meaning, not in every byte.
    before = real_world.kernel.read()
    real_world.nft("flush ruleset\n" + listed)
    after = real_world.kernel.read()
    assert after.foreign is None
    assert after.ledger == before.ledger
    assert after.counters == before.counters
    assert {name: chain.hook for name, chain in after.chains.items()} == {
        name: chain.hook for name, chain in before.chains.items()
    }
    assert {name: held.kind for name, held in after.sets.items()} == {
        name: held.kind for name, held in before.sets.items()
    }


def test_the_json_listing_holds_every_object(real_world: RealWorld) -> None:
    commit(real_world, *e.every_word(real_world.now_ns()))
    objects = json.loads(real_world.run("nft", "-j", "list", "ruleset"))["nftables"]
    kinds = [kind for each in objects for kind in each]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "metainfo": 1,
        "table": 1,
        "chain": len(e.WORD_CHAINS) + 1,
        "rule": sum(len(chain.rules) for chain in e.WORD_CHAINS) + 3,
        "set": 5,
        "map": 4,
        "counter": 1,
    }
