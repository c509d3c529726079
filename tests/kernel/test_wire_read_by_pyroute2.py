"""What we pack is what another reader reads: pyroute2's message classes on our messages."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from pyroute2.netlink.nfnetlink import nftsocket
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from enforcer.kernel.encode import encode
from enforcer.ruleset import transaction as t
from enforcer.ruleset import vocabulary as v
from tests.kernel import every_word as e
from tests.kernel.spoken import golden_messages

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
    known = {"meta", "cmp", "payload", "bitwise", "lookup", "immediate", "objref", "limit", "log"}
    assert names
    assert set(names) <= known


# --- requests -------------------------------------------------------------------------------------

# Generations and stateful objects have no class there.
OF_REQUESTS = {
    (10, nftsocket.NFT_MSG_GETTABLE): nftsocket.nft_table_msg,
    (10, nftsocket.NFT_MSG_DELTABLE): nftsocket.nft_table_msg,
    (10, nftsocket.NFT_MSG_NEWTABLE): nftsocket.nft_table_msg,
    (10, nftsocket.NFT_MSG_GETCHAIN): nftsocket.nft_chain_msg,
    (10, nftsocket.NFT_MSG_NEWCHAIN): nftsocket.nft_chain_msg,
    (10, nftsocket.NFT_MSG_GETRULE): nftsocket.nft_rule_msg,
    (10, nftsocket.NFT_MSG_NEWRULE): nftsocket.nft_rule_msg,
    (10, nftsocket.NFT_MSG_GETSET): nftsocket.nft_set_msg,
    (10, nftsocket.NFT_MSG_GETSETELEM): nftsocket.nft_set_elem_list_msg,
    (10, nftsocket.NFT_MSG_GETFLOWTABLE): nftsocket.nft_flowtable_msg,
    (0, 18): ifinfmsg,
    (0, 22): ifaddrmsg,
    (0, 38): tcmsg,
    (0, 42): tcmsg,
}
WITHOUT = {
    *((10, nftsocket.NFT_MSG_GETGEN), (10, nftsocket.NFT_MSG_GETOBJ)),
    *((0, 16), (0, 17)),  # the edges of a batch
    (4, 1),  # nfnetlink_log has no class
}
DUMP, ONE = 0x301, 0x1
OURS = {"NFTA_SET_ELEM_LIST_TABLE": "enforcer"}
READ: list[tuple[str, int, int, dict[str, object]]] = [
    ("nft_table_msg", ONE, 1, {"NFTA_TABLE_NAME": "enforcer"}),
    ("nft_rule_msg", DUMP, 1, {"NFTA_RULE_TABLE": "enforcer"}),
    ("nft_chain_msg", DUMP, 1, {"NFTA_CHAIN_TABLE": "enforcer"}),
    ("nft_set_msg", DUMP, 1, {"NFTA_SET_TABLE": "enforcer"}),
    *(
        ("nft_set_elem_list_msg", DUMP, 1, {**OURS, "NFTA_SET_ELEM_LIST_SET": name})
        for name in ("lifelines4-24", "mark.ddos.classes4", "armed.ddos")
    ),
    ("ifinfmsg", DUMP, 0, {}),
    ("tcmsg", DUMP, 0, {}),
    ("tcmsg", DUMP, 7, {}),
    (
        *("nft_set_elem_list_msg", ONE, 1),
        {
            **OURS,
            "NFTA_SET_ELEM_LIST_SET": "reg4-24-16",
            "NFTA_SET_ELEM_LIST_ELEMENTS": [
                {"NFTA_SET_ELEM_KEY": {"NFTA_DATA_VALUE": b"\x01\x02\x03\x04"}}
            ],
        },
    ),
    ("nft_set_msg", ONE, 1, {"NFTA_SET_TABLE": "enforcer", "NFTA_SET_NAME": "reg4-24-16"}),
    ("ifaddrmsg", DUMP, 0, {}),
    *((name, DUMP, 0, {}) for name in ("nft_table_msg", "nft_rule_msg", "nft_chain_msg")),
    ("nft_flowtable_msg", DUMP, 0, {}),
    ("nft_table_msg", 0x405, 1, {"NFTA_TABLE_NAME": "probe"}),
    ("nft_chain_msg", 0x405, 1, {"NFTA_CHAIN_TABLE": "probe", "NFTA_CHAIN_NAME": "probe"}),
    (
        *("nft_rule_msg", 0x405, 1),
        {
            "NFTA_RULE_TABLE": "probe",
            "NFTA_RULE_CHAIN": "probe",
            "NFTA_RULE_EXPRESSIONS": [
                {
                    "NFTA_EXPR_NAME": "log",
                    # It reads the group as 32 bits, where the kernel has 16.
                    "NFTA_EXPR_DATA": {"NFTA_LOG_GROUP": 1 << 16, "NFTA_LOG_SNAPLEN": 128},
                }
            ],
        },
    ),
    ("nft_table_msg", 0x5, 1, {"NFTA_TABLE_NAME": "probe"}),
]


def plain(value: Any) -> Any:
    """Attributes of pyroute2's as dictionaries."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict) and "attrs" in value:
        return {each[0]: plain(each[1]) for each in value["attrs"]}
    return value


def test_every_request_means_to_another_reader_what_it_should() -> None:
    read = []
    for message in golden_messages("requests.txt"):
        kind = struct.unpack_from("=H", message, 4)[0]
        reader = OF_REQUESTS.get((kind >> 8, kind & 0xFF))
        if reader is None:
            assert (kind >> 8, kind & 0xFF) in WITHOUT
            continue
        parsed = reader(message)
        parsed.decode()
        about = parsed["nfgen_family"] if kind >> 8 else parsed["index"]
        read.append((reader.__name__, parsed["header"]["flags"], about, plain(parsed)))
    assert read == READ
