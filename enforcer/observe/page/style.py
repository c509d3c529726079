"""Style and script of the page, and the policy under which a browser takes these two and no other.

Light and dark, phone and desk, paper. Contrasts of text are 4.5 to 1 or better (WCAG 2.1, 1.4.3),
and a colour never says alone what a word does not say too.
"""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f4f6f8; --card: #ffffff; --ink: #17202a; --soft: #566270; --line: #dde2e8;
  --wash: #eef1f4; --accent: #0b63b0; --armed: #0f7b46; --next: #2f7fd0; --past: #9aa5b1;
  --good: #0b6b3c; --warn: #8a4b00; --bad: #b3261e;
  --good-wash: #e2f4ea; --warn-wash: #fdf0dc; --bad-wash: #fde8e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0f1418; --card: #171d23; --ink: #e6eaee; --soft: #9eabb8; --line: #2a333c;
    --wash: #1f272e; --accent: #74b6f5; --armed: #3fc380; --next: #5b9fe3; --past: #66727e;
    --good: #62d296; --warn: #f2b35e; --bad: #ff8f85;
    --good-wash: #14301f; --warn-wash: #35270f; --bad-wash: #3b1a18;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 8px; top: 8px; padding: 6px 12px; background: var(--card); z-index: 1; }
.bar { background: var(--card); border-bottom: 1px solid var(--line); }
.bar div, main, footer { max-width: 1180px; margin: 0 auto; padding: 0 20px; }
.bar div { display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 14px;
  padding-top: 14px; padding-bottom: 14px; }
h1 { font-size: 20px; line-height: 1.3; margin: 0; letter-spacing: -.01em; }
.bar a { color: inherit; text-decoration: none; }
.bar .when { margin-left: auto; }
h2 { font-size: 16px; line-height: 1.3; margin: 0 0 12px; letter-spacing: -.005em; }
h3 { font-size: 15px; margin: 0; }
p { margin: 6px 0; }
.soft, .when { color: var(--soft); font-size: 13px; }
main { padding-top: 18px; padding-bottom: 8px; }
#live, .grid { display: grid; gap: 16px; grid-template-columns: minmax(0, 1fr); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px; min-width: 0; box-shadow: 0 1px 2px rgb(15 25 35 / .04); }
main > .card { margin-top: 16px; }
.tell { border-radius: 10px; padding: 12px 16px; border-left: 5px solid; font-weight: 600; }
.tell p { font-weight: 400; margin: 4px 0 0; }
.tell.good { background: var(--good-wash); border-color: var(--good); color: var(--good); }
.tell.warn { background: var(--warn-wash); border-color: var(--warn); color: var(--warn); }
.tell.bad { background: var(--bad-wash); border-color: var(--bad); color: var(--bad); }
.tell p, .tell pre { color: var(--ink); }
#stale { margin-bottom: 16px; }
.tiles { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px;
  margin: 0; padding: 0; list-style: none; }
.tiles li { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 10px 14px; font-size: 13px; color: var(--soft); }
.tiles b { display: block; font-size: 21px; line-height: 1.3; font-weight: 650; color: var(--ink);
  letter-spacing: -.01em; }
.tiles .armed b { color: var(--armed); } .tiles .bad b { color: var(--bad); }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 10px; }
.pill { display: inline-block; border-radius: 999px; padding: 1px 9px; font-size: 12px;
  font-weight: 600; background: var(--wash); color: var(--soft); white-space: nowrap; }
.pill.good, .pill.armed { background: var(--good-wash); color: var(--good); }
.pill.warn, .pill.due, .pill.provisional { background: var(--warn-wash); color: var(--warn); }
.pill.bad { background: var(--bad-wash); color: var(--bad); }
.pill.next { color: var(--accent); }
.on { border-left: 4px solid var(--armed); padding-left: 14px; }
.on + .on { margin-top: 18px; }
.until { font-size: 17px; font-weight: 600; margin: 4px 0; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: 8.5em minmax(0, 1fr); gap: 4px 14px; margin: 8px 0 0; }
dt { color: var(--soft); } dd { margin: 0; font-variant-numeric: tabular-nums; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: 13px; padding-bottom: 6px; }
th, td { text-align: left; vertical-align: top; padding: 6px 10px 6px 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-size: 12px; font-weight: 600; padding-top: 0; }
tbody th { font-weight: 500; } tbody tr:last-child > * { border-bottom: 0; }
td:last-child, th:last-child { padding-right: 0; }
.n { text-align: right; } .n, .w, thead th { white-space: nowrap; }
tfoot th, tfoot td { border-top: 1px solid var(--line); border-bottom: 0; font-weight: 600; }
.chart { display: block; width: 100%; overflow: hidden; }
.chart text { fill: var(--soft); font-size: 11px; font-family: inherit; }
.chart .name { fill: var(--ink); font-size: 12.5px; font-weight: 500;
  stroke: var(--card); stroke-width: 3px; stroke-linejoin: round; paint-order: stroke; }
.chart .gone { fill: var(--wash); } .chart .track { fill: var(--line); opacity: .55; }
.chart .week { stroke: var(--line); } .chart .now { stroke: var(--bad); stroke-width: 1.5; }
.chart .today { fill: var(--bad); font-weight: 600; }
.b { stroke-width: 1.5; }
.b.past { fill: var(--past); stroke: var(--past); }
.b.armed { fill: var(--armed); stroke: var(--armed); stroke-width: 4; }
.b.next { fill: var(--next); stroke: var(--next); }
.b.due { fill: var(--card); stroke: var(--warn); stroke-width: 4; }
.b.provisional { fill: var(--card); stroke: var(--warn); stroke-dasharray: 3 2; }
.b.closed { fill: var(--card); stroke: var(--past); }
.key { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0 0 10px; padding: 0;
  list-style: none; font-size: 12.5px; color: var(--soft); }
.key svg { width: 20px; height: 10px; margin-right: 6px; overflow: visible; }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--accent); font-size: 13.5px; }
details table { margin-top: 10px; }
pre { margin: 8px 0 0; padding: 10px 12px; background: var(--wash); border-radius: 8px;
  font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; max-height: 24em; overflow: auto; }
code { font: 13px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
form { display: grid; grid-template-columns: minmax(0, 1fr); gap: 10px 14px; align-items: end; }
label { display: block; font-size: 13px; font-weight: 600; }
label span { font-weight: 400; color: var(--soft); }
input { width: 100%; margin-top: 3px; padding: 8px 10px; font: inherit; color: var(--ink);
  background: var(--paper); border: 1px solid var(--past); border-radius: 7px; }
button { padding: 9px 20px; font: inherit; font-weight: 600; border: 0; border-radius: 7px;
  background: var(--accent); color: var(--card); cursor: pointer; }
ol { margin: 0; padding-left: 1.3em; } ul.plain { margin: 0; padding: 0; list-style: none; }
footer { padding-top: 10px; padding-bottom: 28px; color: var(--soft); font-size: 13px; }
footer a { margin-right: 14px; white-space: nowrap; }
@media (min-width: 620px) {
  .tiles { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  form { grid-template-columns: repeat(4, minmax(0, 1fr)) auto; }
}
@media (min-width: 900px) {
  .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); }
}
@media (max-width: 480px) {
  .bar div, main, footer { padding-left: 12px; padding-right: 12px; }
  .card { padding: 14px; } .bar .when { margin-left: 0; width: 100%; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: 7px; }
  th, td { padding-right: 8px; } table { font-size: 14px; } .tiles b { font-size: 18px; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --card: #fff; --ink: #000; --soft: #444; }
  .card, .tiles li { box-shadow: none; break-inside: avoid; } form, .skip { display: none; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

# Renews what is live, and says so when it cannot: a page left open must not show an old state as
# if it were the present one. Nobody needs it to read the page.
SCRIPT = """
(() => {
  "use strict";
  const stale = document.getElementById("stale");
  let renewed = new Date();
  const renew = async () => {
    const answer = await fetch(location.pathname, {cache: "no-store"});
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("live"), live = document.getElementById("live");
    const focused = document.activeElement.closest("#live details");
    for (const one of live.querySelectorAll("details[open]")) {
      const same = next.querySelector("#" + one.id);
      if (same) same.open = true;
    }
    live.replaceWith(document.adoptNode(next));
    document.getElementById("when").replaceWith(page.getElementById("when"));
    if (focused) document.querySelector("#" + focused.id + " summary")?.focus();
    renewed = new Date();
    stale.hidden = true;
  };
  const turn = () => {
    if (document.hidden || !getSelection().isCollapsed) return;
    renew().catch(() => {
      stale.textContent = "Not renewed since " + renewed.toISOString().slice(0, 19)
        + "Z: the daemon does not answer. What follows may be over.";
      stale.hidden = false;
    });
  };
  setInterval(turn, 10000);
  document.addEventListener("visibilitychange", turn);
})();
"""

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath fill='%230b63b0' d='M8 1l6 2v5c0 4-3 6-6 7-3-1-6-3-6-7V3z'/%3E%3C/svg%3E"
)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_digest(STYLE)}'; "
    f"script-src 'sha256-{_digest(SCRIPT)}'; connect-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
