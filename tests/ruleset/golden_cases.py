"""The rulesets whose text is kept in tests/golden/, by the name of their file."""

from __future__ import annotations

from enforcer.policy.model import Guard, Mark, Reserve
from enforcer.ruleset import render
from enforcer.ruleset.sampling import Sampling
from enforcer.ruleset.vocabulary import Ruleset
from tests.ruleset.builders import (
    ALL_THREE,
    NOW_NS,
    TABLES_FRONT,
    TABLES_IPV4,
    active,
    compiled,
    window,
)

_GUARD = Guard("concentrators")
_STAGED = window("rehearsal", guard=_GUARD, stage=True)

CASES: dict[str, Ruleset] = {
    "no_window.nft": compiled(),
    "mark_only.nft": compiled(active(window("ashura", mark=Mark(fwmark=0x51)))),
    "mark_dscp_only.nft": compiled(active(window("ashura", mark=Mark(dscp=40)))),
    "reserve_only.nft": compiled(active(window("maintenance", reserve=Reserve("wan", 0.4)))),
    "guard_only.nft": compiled(active(window("ddos", guard=_GUARD))),
    "guard_staged.nft": compiled(active(_STAGED)),
    "all_three.nft": compiled(active(ALL_THREE)),
    "ipv4_only.nft": compiled(active(ALL_THREE), registry=TABLES_IPV4),
    "front.nft": compiled(active(ALL_THREE), registry=TABLES_FRONT),
    "front_no_window.nft": compiled(registry=TABLES_FRONT),
    "sampled.nft": compiled(active(ALL_THREE), sampling=Sampling(10)),
    "two_windows.nft": compiled(
        active(ALL_THREE),
        active(window("mail-flood", guard=Guard("mail"), mark=Mark(0x52), lease="until-end"), 2),
    ),
    "until_end.nft": compiled(
        active(window("cut", reserve=Reserve("second", 0.25), lease="until-end"))
    ),
}


def text_of(name: str) -> str:
    """In full, as of the window's first moment: nft loads just this."""
    return render.ruleset(CASES[name], full=True, now_ns=NOW_NS)
