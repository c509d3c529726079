"""What a person reads: the goldens, the summed-up form, and transactions as nft commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from enforcer.kernel.fake import FakeKernel
from enforcer.ruleset import render
from enforcer.ruleset import vocabulary as v
from enforcer.ruleset.diff import diff
from tests.conftest import GOLDEN
from tests.ruleset.builders import ALL_THREE, NOW_NS, active, compiled
from tests.ruleset.golden_cases import CASES, text_of

Golden = Callable[[str, str], None]


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_ruleset_reads_as_reviewed(name: str, golden: Golden) -> None:
    golden(name, text_of(name))


def test_the_short_form_reads_as_reviewed(golden: Golden) -> None:
    golden("short_form.txt", render.ruleset(CASES["all_three.nft"]))


def test_the_first_transaction_reads_as_reviewed(golden: Golden) -> None:
    kernel = FakeKernel(lambda: NOW_NS, {"wan0", "wan1"})
    first = diff(compiled(active(ALL_THREE)), kernel.read(), NOW_NS)
    assert first is not None
    golden("first_transaction.txt", render.transaction(first))


def test_no_golden_is_left_over() -> None:
    kept = {path.name for path in GOLDEN.glob("*.nft")}
    assert kept == set(CASES)


def test_the_short_form_shows_no_registered_address() -> None:
    text = render.ruleset(CASES["all_three.nft"])
    assert "198.51.100" not in text
    assert "2001:db8:100" not in text


def test_an_arming_set_past_its_end_is_printed_empty() -> None:
    ended = v.ArmingSet("ddos", NOW_NS, None)
    assert render.container(ended, now_ns=NOW_NS) == [
        "set armed.ddos {",
        "type nf_proto",
        "size 16",
        "flags timeout",
    ]


def test_an_arming_set_is_printed_with_the_shorter_of_end_and_lease() -> None:
    leased = v.ArmingSet("ddos", NOW_NS + 90 * 10**9, 60 * 10**9)
    assert render.container(leased, now_ns=NOW_NS)[-1] == (
        "elements = { ipv4 timeout 60000ms, ipv6 timeout 60000ms }"
    )


@pytest.mark.parametrize("dscp", range(64))
def test_every_dscp_has_one_text(dscp: int) -> None:
    texts = {render.statement(v.SetDscp(4, other)) for other in range(64) if other != dscp}
    assert render.statement(v.SetDscp(4, dscp)) not in texts
