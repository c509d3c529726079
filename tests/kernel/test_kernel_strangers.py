"""What other programs leave in our table is seen as not ours, and never trips us."""

from __future__ import annotations

import threading

import pytest

from enforcer.kernel import numbers as n
from enforcer.kernel.namespace import in_namespace
from enforcer.kernel.netlink import NETLINK_NETFILTER, Netlink
from enforcer.kernel.nft import NftKernel
from enforcer.kernel.wire import attributes, nftables, string, text
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.lower import lower_rule
from tests.kernel import every_word as e
from tests.kernel.worlds import RealWorld, commit

pytestmark = pytest.mark.kernel

STRANGE_RULES = """
ip ttl 5
ip saddr != 192.0.2.1
ip saddr != @lifelines4-24
ip saddr @lifelines4-24 counter
meta mark set meta mark or 0x1
meta mark set numgen inc mod 2
tcp option maxseg size set 1400
limit rate 5/second
log prefix "x"
ip saddr . tcp dport { 192.0.2.1 . 22 }
tcp dport { 22, 80-90 }
update @grown { ip saddr timeout 5s }
ip protocol vmap { tcp : drop, udp : accept }
quota over 5 mbytes
""".strip().splitlines()

STRANGE_TABLE = """
table inet enforcer {
  set ranges { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
  set pairs { type ipv4_addr . inet_service; elements = { 192.0.2.1 . 22 } }
  set grown { type ipv4_addr; size 10; flags dynamic,timeout; timeout 5s; }
  set forever { type nf_proto; flags timeout; elements = { ipv4 } }
  map marks { type ipv4_addr : mark; elements = { 192.0.2.1 : 5 } }
  map jumps { type classid : verdict; elements = { 0:7 : jump act, 0:8 : drop } }
  quota q { over 5 mbytes; }
  chain drops { type filter hook prerouting priority 0; policy drop; }
  chain nat { type nat hook prerouting priority 0; policy accept; }
  chain input { type filter hook input priority 0; policy accept; }
  chain both { type filter hook ingress devices = { wan0, lan0 } priority 0; policy accept; }
}
"""


def test_rules_of_others_equal_none_of_ours(real_world: RealWorld) -> None:
    commit(real_world, *e.every_word(real_world.now_ns()))
    real_world.nft(STRANGE_TABLE)
    # Port and address matches in front need nothing new from us; the rest is never equal.
    for rule in STRANGE_RULES:
        real_world.nft(f"flush chain inet enforcer act\nadd rule inet enforcer act {rule}")
        (seen,) = real_world.kernel.read().chains["act"].rules
        ours = {
            expr for chain in e.WORD_CHAINS for each in chain.rules for expr in lower_rule(each)
        }
        assert not set(seen) <= ours, rule
    real_world.nft("flush chain inet enforcer act\nadd rule inet enforcer act ct state new")
    (seen,) = real_world.kernel.read().chains["act"].rules
    assert ("unknown", "ct") in [expr[:2] for expr in seen]


def test_sets_and_chains_of_others_are_told_apart(real_world: RealWorld) -> None:
    commit(real_world, *e.every_word(real_world.now_ns()))
    real_world.nft(STRANGE_TABLE)
    state = real_world.kernel.read()
    kinds = {name: state.sets[name].kind for name in ("ranges", "pairs", "grown", "marks")}
    assert kinds == dict.fromkeys(kinds, "foreign")
    assert state.sets["jumps"].elements == {(7, "jump", "act"), (8, 0, None)}
    assert state.sets["forever"].elements == {(4, 1 << 62, 1 << 62)}
    assert state.counters == {e.COUNTER}
    for name in ("drops", "nat", "input", "both"):
        hook = state.chains[name].hook
        assert hook is not None
        assert hook.priority == -(1 << 31)


def test_strange_rules_and_sets_can_be_taken_away(real_world: RealWorld) -> None:
    built = commit(real_world, *e.every_word(real_world.now_ns()))
    real_world.nft(STRANGE_TABLE.replace("quota q { over 5 mbytes; }", ""))
    strange = real_world.kernel.read()
    state = commit(
        real_world,
        *(t.DeleteChain(name) for name in strange.chains.keys() - built.chains.keys()),
        *(t.DeleteSet(name) for name in strange.sets.keys() - built.sets.keys()),
    )
    assert (state.chains, state.sets.keys()) == (built.chains, built.sets.keys())


def test_a_table_flushed_of_its_rules_is_still_ours(real_world: RealWorld) -> None:
    commit(real_world, *e.every_word(real_world.now_ns()))
    real_world.nft("flush table inet enforcer")
    state = real_world.kernel.read()
    assert (state.foreign, state.ledger) == (None, {})
    assert all(chain.rules == () for chain in state.chains.values())


def test_a_tampered_shaper_equals_none_of_ours(real_world: RealWorld) -> None:
    shaper = v.Shaper("wan0", 8_000_000, 800_000)
    change = "class change dev wan0 parent e4f0:1 classid e4f0:20 htb rate 1mbit ceil 8mbit"
    for edit in (change, "class delete dev wan0 classid e4f0:10"):
        assert commit(real_world, t.AddShaper(shaper)).shapers == {shaper}
        real_world.run("tc", *edit.split())
        assert real_world.kernel.read().shapers == {v.Shaper("wan0", 8_000_000, 0)}


def test_a_read_is_never_torn(real_world: RealWorld) -> None:
    """A second program flips between two states; each read shows one of them whole."""
    commit(real_world, t.CreateTable())
    other = NftKernel(real_world.namespace)
    stop = threading.Event()
    # The same chains, for what goes does so in a transaction behind (docs/decisions/0045).
    states = [
        tuple(v.Chain(f"c{i}", (v.Rule((verdict,)),) * 3) for i in range(20))
        for verdict in (v.Drop(), v.Accept())
    ]
    made = tuple(t.AddChain(chain.name, None) for chain in states[0])

    def flip() -> None:
        first: tuple[t.Operation, ...] = made
        while not stop.is_set():
            for new in states:
                rules = (t.SetRules(chain, flush=not first) for chain in new)
                change = t.Transaction(other.generation(), (*first, *rules))
                other.commit(change, real_world.now_ns())
                first = ()
                stop.wait(0.01)

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        seen = [real_world.kernel.read() for _ in range(30)]
    finally:
        stop.set()
        flipping.join()
        other.close()
    wholes = [
        {c.name: t.ChainState(None, tuple(map(lower_rule, c.rules))) for c in chains}
        for chains in ((), *states)
    ]
    assert all(state.chains in wholes for state in seen)


def test_the_kernel_chooses_its_fastest_sets(real_world: RealWorld) -> None:
    """Kernels from 6.16 tell the set's implementation, as an address at least."""
    commit(real_world, *e.every_word(real_world.now_ns()))
    with in_namespace(real_world.namespace):
        netlink = Netlink(NETLINK_NETFILTER)
    try:
        replies = netlink.dump(nftables(n.Msg.GET_SET, 0, text(n.Set.TABLE, "enforcer")))
    finally:
        netlink.close()
    sets = [attributes(reply.body[4:]) for reply in replies]
    implementation = {string(attrs[n.Set.NAME]): bytes(attrs.get(19, b"")) for attrs in sets}
    if b"" in implementation.values():
        pytest.skip("this kernel does not tell the implementation of a set")
    fast = implementation[e.MAP4.name]
    assert {implementation[s.name] for s in (e.LIFELINES4, e.CLASSES)} == {fast}
    # IPv6 hash, ports bitmap, arming set with timeouts: one each, all different.
    others = {implementation[name] for name in (e.MAP6.name, e.PORTS.name, "armed.ddos")}
    assert len(others | {fast}) == 4
    assert implementation[e.FRONT.name] == implementation[e.PORTS.name]
