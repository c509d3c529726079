"""Each language against its golden file; the parsers of BIRD and FRR read them in tests/kernel."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from enforcer.routers import eos, junos
from enforcer.routers.languages import ExportError, Order, comment, dscp_name
from enforcer.routers.selection import select
from tests.routers.router_worlds import DAY, ORDER, RENDERS, registry

GUARD = "guard is not exported, nor reserve: nothing here drops or delays a packet"


def rendered(router: str, order: Order = ORDER, rows: str | None = None) -> str:
    made = registry() if rows is None else registry(rows)
    return "".join(f"{line}\n" for line in RENDERS[router](select(made, DAY), order))


@pytest.mark.parametrize("router", RENDERS)
def test_each_language_is_as_its_golden_file(
    golden: Callable[[str, str], None], router: str
) -> None:
    golden(f"routers/{router}.txt", rendered(router))


@pytest.mark.parametrize("router", RENDERS)
def test_nothing_that_is_exported_drops_and_it_says_that_guard_is_not(router: str) -> None:
    text = rendered(router)
    assert GUARD in text
    words = set(re.findall(r"[a-z-]+", text.replace(GUARD, "").lower()))
    assert not words & {"drop", "discard", "reject", "police", "policer", "deny", "shape"}


@pytest.mark.parametrize("router", RENDERS)
def test_without_prefixes_nothing_matches(router: str) -> None:
    text = rendered(router, rows="R-1,198.51.100.0/24,house,,2020-01-01,\n")
    assert "198.51.100" not in text
    # A list that is not there permits everything in FRR; the others have no such list at all.
    denied = text.count("deny any")
    assert denied == (2 if router == "frr" else 0)
    assert "prefix-list {" not in text
    assert "permit" not in text
    assert "define" not in text


@pytest.mark.parametrize("router", ["junos", "eos"])
def test_without_a_dscp_there_are_lists_only(router: str) -> None:
    text = rendered(router, replace(ORDER, dscp=None))
    assert "no DSCP was given: lists only" in text
    assert not re.search(r"firewall|access-list|class-map|set dscp", text)
    assert "198.51.100.0/24" in text


@pytest.mark.parametrize("router", RENDERS)
def test_no_comment_ends_early(router: str) -> None:
    text = rendered(router)
    about = [line for line in text.splitlines() if "attack" in line]
    assert len(about) == 1
    assert "window ddos: ?/ attack?exit ? ?" in about[0]
    assert text.count("*/") == (1 if router == "junos" else 0)


def test_comments_are_ascii_of_one_line_and_bounded() -> None:
    assert comment("a\r\nb\u2028c\x00é #!") == "a??b?c?? ??"
    assert comment("/**/ x") == "/??/ x"
    assert len(comment("x" * 1000)) == 100
    assert (dscp_name(40), dscp_name(63)) == ("cs5 (40)", "63")


def test_names_stay_within_what_all_languages_allow() -> None:
    longest = "N" + "x" * 29 + "-"
    for router in RENDERS:
        for word in re.findall(
            r"[A-Za-z0-9_-]*x{29}[A-Za-z0-9_-]*", rendered(router, Order(longest, 1))
        ):
            assert len(word) <= 63
            assert router != "bird" or "-" not in word


def test_lists_that_are_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(junos, "_MOST_IN_A_LIST", 1)
    with pytest.raises(ExportError, match=r"^2 prefixes, a list of Junos has 1; mark on"):
        rendered("junos")
    monkeypatch.setattr(eos, "_LAST_SEQUENCE", 15)
    # Two prefixes in steps of ten do not fit; they do in steps of one.
    assert "   seq 2 permit 203.0.113.7/32\n" in rendered("eos")
    monkeypatch.setattr(eos, "_LAST_SEQUENCE", 1)
    with pytest.raises(ExportError, match=r"^2 prefixes, a prefix list of EOS has 1; mark on"):
        rendered("eos")
