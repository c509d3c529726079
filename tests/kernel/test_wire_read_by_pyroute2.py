"""What we pack is what another reader reads: pyroute2's message classes on our messages."""

from __future__ import annotations

import pytest
from pyroute2.netlink.nfnetlink import nftsocket

from enforcer.kernel.encode import encode
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from tests.kernel import every_word as e

NOW_NS = 1_800_000_000 * 10**9
READERS = {
    nftsocket.NFT_MSG_NEWCHAIN: nftsocket.nft_chain_msg,
    nftsocket.NFT_MSG_NEWRULE: nftsocket.nft_rule_msg,
    nftsocket.NFT_MSG_NEWSET: nftsocket.nft_set_msg,
    nftsocket.NFT_MSG_NEWTABLE: nftsocket.nft_table_msg,
}


def read(operation: t.Operation) -> list[dict[str, object]]:
    """The attributes of the operation's messages as pyroute2 names them."""
    found = []
    for message in encode(operation, NOW_NS):
        reader = READERS.get(message.nft_kind & 0xFF)
        if reader is None:
            continue
        parsed = reader(message.packed(1))
        parsed.decode()
        found.append(dict(parsed["attrs"]))
    return found


def test_a_table_and_its_ledger() -> None:
    table, ledger = read(t.CreateTable())
    assert table["NFTA_TABLE_NAME"] == "enforcer"
    assert (ledger["NFTA_CHAIN_TABLE"], ledger["NFTA_CHAIN_NAME"]) == ("enforcer", "ledger")


def test_a_hooked_chain_says_hook_priority_device_and_accepts() -> None:
    (chain,) = read(t.AddChain("guard.ddos.on.wan0", v.Hook("ingress", -7, "wan0")))
    assert chain["NFTA_CHAIN_NAME"] == "guard.ddos.on.wan0"
    assert chain["NFTA_CHAIN_TYPE"] == "filter"
    hook = dict(chain["NFTA_CHAIN_HOOK"]["attrs"])  # type: ignore[index]
    assert hook["NFTA_HOOK_HOOKNUM"] == 5
    assert hook["NFTA_HOOK_PRIORITY"] == -7


def test_a_set_says_its_key_and_its_size() -> None:
    (made,) = read(t.AddSet(e.MAP4))
    assert made["NFTA_SET_NAME"] == e.MAP4.name
    assert made["NFTA_SET_KEY_LEN"] == 4
    assert made["NFTA_SET_DATA_LEN"] == 4
    described = dict(made["NFTA_SET_DESC"]["attrs"])  # type: ignore[index]
    assert described["NFTA_SET_DESC_SIZE"] == e.MAP4.size


@pytest.mark.parametrize("word", [*e.MATCHES, *e.ACTIONS], ids=str)
def test_every_word_is_expressions_that_another_reader_knows(word: v.Statement) -> None:
    chain = v.Chain("c", (v.Rule((*e.required_by(word), word)),))
    (rule,) = read(t.SetRules(chain, flush=False))
    assert (rule["NFTA_RULE_TABLE"], rule["NFTA_RULE_CHAIN"]) == ("enforcer", "c")
    names = [dict(each["attrs"])["NFTA_EXPR_NAME"] for each in rule["NFTA_RULE_EXPRESSIONS"]]  # type: ignore[attr-defined]
    known = {"meta", "cmp", "payload", "bitwise", "lookup", "immediate", "objref"}
    assert names
    assert set(names) <= known
