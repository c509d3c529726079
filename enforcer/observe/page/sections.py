"""The parts of the page that tell what is in force: each a look → markup."""

from __future__ import annotations

from datetime import UTC

from enforcer.observe.page.blocks import card, definitions, table, tell
from enforcer.observe.page.look import MOST_ROWS, Look
from enforcer.observe.page.markup import Html, el, join
from enforcer.observe.page.selfcheck import NEXT, mismatches
from enforcer.observe.page.words import both, counted, length, size, utc
from enforcer.observe.snapshot import Snapshot
from enforcer.policy.model import Guard, Mark, Measure, Reserve
from enforcer.ruleset.measures import MEASURE_NAMES, VERDICTS
from enforcer.schedule.agenda import Entry

# The loop turns at least every ten seconds; a step at a million prefixes takes a few.
SILENCE_S = 30.0
MOST_CATEGORIES = 40
MOST_PROBLEM_LETTERS = 20_000
_SAID = {
    "let_in": "let in",
    "held_back": "held back",
    "would_drop": "would have been held back",
    "marked": "marked",
    "reserved": "given reserved capacity",
}


# --- what comes first ---------------------------------------------------------------------------


def verdict(look: Look) -> Html:
    """Whether what is wanted is in force, in one sentence, and everything that stands against."""
    s = look.snapshot
    found: list[Html] = []
    if look.silent_s > SILENCE_S:
        found.append(tell(
            "bad", f"The daemon's loop has not turned for {look.silent_s:.0f} s.",
            "What this page shows may be over. What the kernel arms still ends at its own time. "
            "Look at journalctl -u enforcer, or restart it.",
        ))  # fmt: skip
    if s.problem is not None:
        found.append(tell("bad", "What is wanted is not all in force.", s.problem))
    if look.samples is not None and look.samples["mismatches"]:
        found.append(tell("bad", mismatches(look.samples), NEXT))
    if s.due:
        found.append(tell(
            "bad", f"Due, and not armed: {', '.join(s.due)}",
            "The clock is not synchronised, so nothing new is armed; look at timedatectl."
            if s.blamed_on_clock else "",
        ))  # fmt: skip
    if s.missing_devices:
        found.append(tell(
            "warn", f"Interfaces that are not there: {', '.join(s.missing_devices)}",
            "Nothing is guarded or reserved there until they are back.",
        ))  # fmt: skip
    if look.record is not None and look.record.problem is not None:
        found.append(tell("warn", "What is done is not put on the record.", look.record.problem))
    if s.config_error is not None:
        below = join("The mistake is ", el("a", "below", href="#reload"), ".")
        title = "What the files hold is refused; what was accepted before stays in force."
        found.append(tell("warn", title, below))
    if not s.clock_synchronised and not s.blamed_on_clock:
        needed = s.policy.gateway.require_synchronised_clock
        text = "Nothing new will be armed until it is; look at timedatectl." if needed else ""
        found.append(tell("warn", "The clock is not synchronised.", text))
    return join(*found) if found else tell("good", "All that is wanted is in force.")


def tiles(look: Look) -> Html:
    s = look.snapshot
    prefixes = sum(count for _, _, count in s.prefixes)
    following = next((o for o in s.coming if o.state == "next"), None)
    ahead = (
        (length(following.activation.starts_at - look.now), f"until {following.activation.id}")
        if following
        else ("–", "no window ahead")
    )
    told = [
        (f"{len(s.armed):,}", "armed now", "armed" if s.armed else ""),
        (*ahead, ""),
        (f"{prefixes:,}", "prefixes registered today", ""),
        (f"{s.drift_repairs:,}", "times drift was repaired", "bad" if s.contested else ""),
    ]
    return el("ul", *(
        el("li", el("b", number), name, class_=kind or None) for number, name, kind in told
    ), class_="tiles", aria_label="In short")  # fmt: skip


def armed(look: Look) -> Html:
    on = [e for e in look.due if e.activation.id in look.snapshot.armed]
    if not on:
        text = "No window is armed: nothing of enforcer is in the path of any packet."
        return card("Armed now", el("p", text, class_="soft"), id_="armed")
    left = len(look.snapshot.armed) - MOST_ROWS
    more = (
        el("p", f"{counted(left, 'more window')}: ", el("code", "enforcer status"))
        if left > 0
        else ""
    )
    return card("Armed now", *(_armed(e, look) for e in on), more, id_="armed")


def _armed(e: Entry, look: Look) -> Html:
    a, w = e.activation, e.activation.window
    pills = [el("span", name, class_="pill armed") for name in w.measure_names]
    if w.stage:
        pills.append(el("span", "staged: counts, holds nothing back", class_="pill warn"))
    if e.order is not None and e.order.until is not None:
        pills.append(el("span", "on trial: ends unless confirmed", class_="pill warn"))
    rows = [
        ("Reason", w.reason),
        ("Reference", w.reference),
        ("Declared by", w.declared_by),
        ("Since", both(a.starts_at, w.zone)),
        ("Measures", "\n".join(_measure(m, w.stage) for m in w.measures)),
        ("Without daemon", "stays until its end" if w.lease == "until-end" else
         f"the kernel ends it within {look.snapshot.policy.gateway.lease_s:,} s"),
    ]  # fmt: skip
    left = length(a.ends_at - look.now)
    return el(
        "article",
        el("div", el("h3", a.id), *pills, class_="head"),
        el("p", f"until {both(a.ends_at, w.zone)}, {left} left", class_="until"),
        definitions(rows),
        class_="on",
    )


def _measure(measure: Measure, stage: bool) -> str:
    match measure:
        case Guard(estate):
            what = "would be held back" if stage else "are held back"
            return f"guard: new flows to {estate} {what}, but for registered sources and lifelines"
        case Mark(fwmark, dscp):
            tags = [f"fwmark {fwmark:#x}"] if fwmark is not None else []
            tags += [f"DSCP {dscp}"] if dscp is not None else []
            return f"mark: registered traffic gets {' and '.join(tags)}"
        case Reserve(link, share):
            return f"reserve: registered traffic has {share:.0%} of link {link}"


# --- what was counted, and what is loaded ---------------------------------------------------------


def traffic(look: Look) -> Html:
    title = "Traffic since the daemon began"
    if look.totals is None:
        text = "The kernel's counters cannot be read now; ask again in a moment."
        return card(title, el("p", text, class_="soft"), id_="traffic")
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for name, (packets, octets) in look.totals.items():
        key = name.measure, name.verdict
        before = sums.get(key, (0, 0))
        sums[key] = before[0] + packets, before[1] + octets
    keys = [(m, v) for m in MEASURE_NAMES for v in VERDICTS if (m, v) in sums]
    if not keys:
        return card(
            title, el("p", "No window has counted anything yet.", class_="soft"), id_="traffic"
        )
    rows = [
        el("tr", el("th", measure, scope="row", class_="w"), el("td", _SAID[verdict_]),
           el("td", f"{sums[measure, verdict_][0]:,}", class_="n"),
           el("td", size(sums[measure, verdict_][1]), class_="n"))
        for measure, verdict_ in keys
    ]  # fmt: skip
    return card(title, table(("Measure", "Verdict"), ("Packets", "Bytes"), rows), id_="traffic")


def registry(look: Look) -> Html:
    s = look.snapshot
    by: dict[str, dict[int, int]] = {category: {} for category in s.policy.categories}
    for family, category, count in s.prefixes:
        by.setdefault(category, {})[family] = count
    ordered = sorted(by.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    shown, rest = ordered[:MOST_CATEGORIES], ordered[MOST_CATEGORIES:]
    rows = [_category(name, counts) for name, counts in shown]
    if rest:
        sums = {f: sum(counts.get(f, 0) for _, counts in rest) for f in (4, 6)}
        rows.append(_category(f"{len(rest):,} smaller ones", sums))
    every = {f: sum(counts.get(f, 0) for counts in by.values()) for f in (4, 6)}
    elements = sum(count for _, count in s.elements)
    return card(
        "Registry by category",
        table(("Category",), ("IPv4", "IPv6"), rows, _category("All", every)),
        el("p", f"Valid today (UTC); in the kernel as {elements:,} elements.", class_="soft"),
        id_="registry",
    )


def _category(name: str, counts: dict[int, int]) -> Html:
    return el("tr", el("th", name, scope="row"),
              *(el("td", f"{counts.get(f, 0):,}", class_="n") for f in (4, 6)))  # fmt: skip


def feeds(look: Look) -> Html:
    s = look.snapshot
    wrong = {fetched.name: fetched.problem for fetched in s.fetched if fetched.problem}
    rows = [
        el("tr", el("th", feed, scope="row"), el("td", utc(at) if at else "never"),
           el("td", length(look.now - at) if at else "–", class_="n"))
        for feed, at in s.feeds
    ]  # fmt: skip
    if not rows:
        return card(
            "Feeds",
            el("p", "No source of registrations is configured.", class_="soft"),
            id_="feeds",
        )
    told = [
        el("p", el("span", name, class_="pill bad"), f" {problem[:MOST_PROBLEM_LETTERS]}")
        for name, problem in wrong.items()
    ]
    sources = table(("Source", "Last accepted"), ("Age",), rows)
    return card("Feeds", sources, join(*told), id_="feeds")


def health(look: Look) -> Html:
    s = look.snapshot
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in s.drift_kinds if count)
    drift = f"{s.drift_repairs:,}" + (f" ({kinds})" if kinds else "")
    clock = ("good", "synchronised") if s.clock_synchronised else ("bad", "not synchronised")
    promises = (
        ("bad", f"{s.promise_violations:,} broken") if s.promise_violations else ("good", "kept")
    )
    contest = ("bad", "another program keeps changing our table") if s.contested else ("good", "no")
    rows = [
        ("Clock", el("span", clock[1], class_=f"pill {clock[0]}")),
        ("Drift repaired", drift),
        ("Contested", el("span", contest[1], class_=f"pill {contest[0]}")),
        ("Promises", el("span", promises[1], class_=f"pill {promises[0]}")),
        ("Uplinks", ", ".join(s.policy.gateway.uplinks)),
        ("Not there", ", ".join(s.missing_devices) or "–"),
    ]
    return card("Health", definitions(rows), id_="health")


def reload(look: Look) -> Html:
    s = look.snapshot
    rows = [
        ("In force since", f"{utc(s.loaded_at)}, {length(look.now - s.loaded_at)} ago"),
        ("Last reload", utc(s.reloaded_at)),
        ("Kept on the disk", _kept(s)),
    ]
    if s.config_error is None:
        rows.append(("Result", el("span", "accepted", class_="pill good")))
        return card("Configuration", definitions(rows), id_="reload")
    rows.append(("Result", el("span", "refused", class_="pill bad")))
    text = s.config_error
    if len(text) > MOST_PROBLEM_LETTERS:
        text = f"{text[:MOST_PROBLEM_LETTERS]}\n… enforcer check tells the rest"
    return card("Configuration", definitions(rows), el("pre", text, tabindex=0), id_="reload")


def _kept(s: Snapshot) -> str:
    """What a restart would begin with, were the files spoilt."""
    kept = utc(s.last_good.at) if s.last_good.at else "nothing"
    return f"{kept}; {s.last_good.problem}" if s.last_good.problem else kept


def moment(look: Look) -> Html:
    return el(
        "span", f"as of {look.now.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z", class_="when", id="when"
    )
