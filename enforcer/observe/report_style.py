"""The style of the HTML report: light and dark, phone and paper. Nothing is loaded."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfb; --ink: #1b1f23; --soft: #59616a; --line: #d9dcdf; --card: #ffffff;
  --on: #2a6fb0; --planned: #c6cbd1; --let-in: #2a6fb0; --held-back: #c4571b;
  --good: #1d7a3e; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --ink: #e8eaec; --soft: #a3abb3; --line: #343a40; --card: #1c2024;
    --on: #6aa9e4; --planned: #4a525a; --let-in: #6aa9e4; --held-back: #ee8f55;
    --good: #62c585; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: 1.05rem; margin: 0; }
p { margin: .4rem 0; }
.soft { color: var(--soft); font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .75rem;
  margin: 1.25rem 0; padding: 0; list-style: none; }
.tiles li, .card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
.tiles li { padding: .7rem .8rem; font-size: .9rem; color: var(--soft); }
.tiles b { display: block; font-size: 1.3rem; line-height: 1.3; font-weight: 600;
  white-space: nowrap; color: var(--ink); letter-spacing: -.01em; }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .25rem 0 1rem;
  padding: 0; list-style: none; font-size: .9rem; color: var(--soft); }
.key svg { width: .8rem; height: .8rem; margin-right: .4rem; vertical-align: -1px; }
figure { margin: 0; }
.row { margin: .55rem 0; }
.row .name { display: flex; justify-content: space-between; gap: 1rem; font-size: .9rem; }
.row .name span:last-child { color: var(--soft); text-align: right; }
.row svg { display: block; width: 100%; height: .9rem; margin-top: .15rem; }
.axis { display: flex; justify-content: space-between; font-size: .8rem; color: var(--soft);
  border-top: 1px solid var(--line); padding-top: .25rem; font-variant-numeric: tabular-nums; }
.ground { fill: var(--line); opacity: .45; }
.planned { fill: var(--planned); } .on { fill: var(--on); }
.let-in { fill: var(--let-in); } .held-back { fill: var(--held-back); }
.card { padding: .9rem 1rem; margin: .75rem 0; break-inside: avoid; }
.card dl { display: grid; grid-template-columns: 8.5rem 1fr; gap: .3rem .9rem; margin: .6rem 0 0; }
dt { color: var(--soft); } dd { margin: 0; font-variant-numeric: tabular-nums; }
.alarm { border: 2px solid var(--bad); border-radius: .5rem; padding: .7rem 1rem;
  margin: 0 0 1.25rem; background: var(--card); }
.alarm b { color: var(--bad); }
.besides { margin: 0; padding: 0; list-style: none; }
.besides li { padding: .5rem 0; border-bottom: 1px solid var(--line); display: flex;
  flex-wrap: wrap; justify-content: space-between; gap: .1rem 1rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
code { font: .85rem ui-monospace, monospace; }
@media (max-width: 32rem) {
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .card dl { grid-template-columns: 1fr; gap: 0; }
  .card dd { margin-bottom: .45rem; }
  .row .name { flex-direction: column; gap: 0; }
  .row .name span:last-child { text-align: left; }
}
@media print {
  :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --line: #bbb;
    --card: #fff; --on: #2a6fb0; --planned: #ccc; --let-in: #2a6fb0; --held-back: #c4571b;
    --good: #1d7a3e; --bad: #b3261e; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .row, figure { break-inside: avoid; }
}
"""
