"""What the daemon's self-check has found, for the page: a look → markup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from enforcer.observe.page.blocks import card, definitions
from enforcer.observe.page.look import Look
from enforcer.observe.page.markup import Html, el, join
from enforcer.observe.page.words import counted

_MOST_LETTERS = 2_000
NEXT = (
    "The log has them as kernel_mismatch; the operator guide tells what to do, under "
    "EnforcerKernelMismatch."
)


def mismatches(counts: Mapping[str, Any]) -> str:
    return (
        f"The kernel judged {counts['mismatches']:,} of {counts['judged']:,} sampled packets "
        "otherwise than the registry."
    )


def samples(look: Look) -> Html:
    """The self-check: packets of armed windows, judged again by the registry."""
    counts, title = look.samples, "Samples, judged again"
    if counts is None:
        return card(title, el("p", "Nothing is known of them.", class_="soft"), id_="samples")
    if counts["problem"]:
        kind, word, more = "bad", "none", counts["problem"][:_MOST_LETTERS]
    elif not counts["rate"]:
        kind, word, more = "warn", "switched off", "observe.sample: 0"
    else:
        kind, word = "good", "while a window is armed"
        more = f"at most {counts['rate']:,} packets a second of each kind"
    differ = counts["mismatches"]
    verdict_ = ("bad", f"{differ:,}") if differ else ("good", "none")
    rows = [
        ("Taken", join(el("span", word, class_=f"pill {kind}"), f" {more}")),
        ("Seen", f"{counted(counts['seen'], 'packet')} since the daemon began"),
        ("Judged again", counted(counts["judged"], "packet")),
        ("Differ", el("span", verdict_[1], class_=f"pill {verdict_[0]}")),
        ("Lost", counted(counts["lost"], "time")),
    ]
    soft = "Which services they are, as they pass: "
    return card(
        title,
        definitions(rows),
        el("p", soft, el("code", "enforcer watch"), class_="soft"),
        id_="samples",
    )
