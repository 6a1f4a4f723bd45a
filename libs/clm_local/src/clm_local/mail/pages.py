"""The pages of the mail catcher, as text; every word of a mail is escaped on its way in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from clm_local.mail.content import Content
from clm_local.mail.store import Summary

STYLE = """\
:root { color-scheme: light dark; --ink: #1d2330; --soft: #667085; --line: #e4e7ec; --page: #f7f8fa;
  --card: #fff; --mark: #2f5bea; --mark-soft: #eef2ff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ee; --soft: #98a2b3; --line: #2d3340;
  --page: #12151c; --card: #1a1f29; --mark: #8aa6ff; --mark-soft: #232c47; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
header { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; margin-bottom: 1.25rem; }
h1 { font-size: 1.25rem; margin: 0; flex: 1 1 auto; overflow-wrap: anywhere; }
h1 small { color: var(--soft); font-weight: 400; margin-left: .5rem; }
a { color: var(--mark); text-decoration: none; } a:hover { text-decoration: underline; }
input, button { font: inherit; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: .5rem; padding: .4rem .75rem; }
button { cursor: pointer; } button:hover { border-color: var(--mark); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  overflow: hidden; }
.row { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 4fr) auto; gap: 1rem;
  padding: .7rem 1rem; border-top: 1px solid var(--line); color: inherit; }
.row:first-child { border-top: 0; }
.row:hover { background: var(--mark-soft); text-decoration: none; }
.row > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.soft { color: var(--soft); } .strong { font-weight: 600; }
.empty { padding: 3rem 1rem; text-align: center; color: var(--soft); }
dl { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: .15rem 1rem; margin: 0;
  padding: 1rem; border-bottom: 1px solid var(--line); }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
section { padding: 1rem; border-bottom: 1px solid var(--line); } section:last-child { border: 0; }
h2 { font-size: .8rem; letter-spacing: .05em; text-transform: uppercase; color: var(--soft);
  margin: 0 0 .5rem; }
iframe { width: 100%; height: 36rem; border: 0; background: #fff; border-radius: .5rem; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
summary { cursor: pointer; color: var(--soft); }
@media (max-width: 40rem) { .row { grid-template-columns: minmax(0, 1fr) auto; }
  .row .subject { grid-column: 1 / -1; order: 3; } }
"""

SCRIPT = """\
const clear = document.getElementById("clear");
if (clear) clear.addEventListener("click", async () => {
  await fetch("/api/messages", { method: "DELETE" });
  location.reload();
});
const list = document.getElementById("list");
if (list) setInterval(async () => {
  if (document.hidden) return;
  const url = "/api/messages?limit=1&to=" + encodeURIComponent(list.dataset.to);
  const { total, messages } = await (await fetch(url)).json();
  const newest = messages.length ? messages[0].id : "";
  if (newest !== list.dataset.newest || String(total) !== list.dataset.total) location.reload();
}, 3000);
for (const time of document.querySelectorAll("time")) {
  const moment = new Date(time.dateTime);
  const today = moment.toDateString() === new Date().toDateString();
  time.title = time.dateTime;
  time.textContent = today ? moment.toLocaleTimeString() : moment.toLocaleString();
}
"""


def index(summaries: Sequence[Summary], *, total: int, to: str) -> str:
    """Show the list, newest first."""
    newest = escape(summaries[0].id if summaries else "")
    rows = "".join(_row(summary) for summary in summaries) or _nothing(to)
    more = f" (the newest {len(summaries)} are shown)" if total > len(summaries) else ""
    return _document(
        "Caught mail",
        f"""<header><h1>Caught mail<small>{total}{more}</small></h1>
<form role="search"><input name="to" type="search" placeholder="Recipient contains …"
 aria-label="Recipient contains" value="{escape(to)}"></form>
<button id="clear" type="button">Delete all</button></header>
<div class="card" id="list" data-newest="{newest}" data-total="{total}" data-to="{escape(to)}">
{rows}</div>""",
    )


def message(summary: Summary, content: Content) -> str:
    """Show one mail."""
    name = escape(summary.id)
    html = (
        f"""<section><h2>HTML</h2><iframe src="/messages/{name}/html" title="The mail's HTML"
 sandbox="allow-popups allow-popups-to-escape-sandbox"></iframe></section>"""
        if content.html is not None
        else ""
    )
    text = (
        f"<section><h2>Text</h2><pre>{escape(content.text)}</pre></section>"
        if content.text is not None
        else ""
    )
    return _document(
        summary.subject or "(no subject)",
        f"""<header><h1>{escape(summary.subject) or "(no subject)"}</h1>
<a href="/">All mail</a><a href="/messages/{name}/source">Source</a></header>
<div class="card"><dl><dt>From</dt><dd>{escape(summary.sender)}</dd>
<dt>To</dt><dd>{escape(", ".join(summary.recipients))}</dd>
<dt>Received</dt><dd>{_time(summary)}</dd></dl>
{html}{text}{_parts(summary, content)}
<section><details><summary>All headers</summary><dl>{_headers(content)}</dl></details></section>
</div>""",
    )


def missing() -> str:
    """Say that there is no such mail."""
    return _document(
        "No such mail",
        """<header><h1>No such mail</h1><a href="/">All mail</a></header>
<div class="card"><p class="empty">It was deleted, or it never came.</p></div>""",
    )


def opening_links_elsewhere(html: str) -> str:
    """Have a mail's links open beside the page: inside the sandbox they could not be used."""
    base = '<base target="_blank">'
    found = re.search(r"<head(\s[^>]*)?>", html, re.IGNORECASE)
    return html[: found.end()] + base + html[found.end() :] if found else base + html


def _row(summary: Summary) -> str:
    return f"""<a class="row" href="/messages/{escape(summary.id)}">
<span class="strong">{escape(", ".join(summary.recipients))}</span>
<span class="subject">{escape(summary.subject) or "(no subject)"}
<span class="soft">from {escape(summary.sender)}</span></span>
<span class="soft">{_time(summary)}</span></a>
"""


def _nothing(to: str) -> str:
    if to:
        return f'<p class="empty">No mail for “{escape(to)}”.</p>'
    return '<p class="empty">No mail yet. What the system sends shows up here.</p>'


def _parts(summary: Summary, content: Content) -> str:
    items = "".join(
        f'<li><a href="/messages/{escape(summary.id)}/parts/{part.number}">{escape(part.name)}</a> '
        f'<span class="soft">{escape(part.content_type)}, {len(part.content):,} bytes</span></li>'
        for part in content.parts
    )
    return f"<section><h2>Attachments</h2><ul>{items}</ul></section>" if items else ""


def _headers(content: Content) -> str:
    return "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in content.headers
    )


def _time(summary: Summary) -> str:
    moment = datetime.fromtimestamp(summary.received_at / 1_000_000, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>'


def _document(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="/style.css">
<script src="/page.js" defer></script></head>
<body><main>{body}</main></body></html>
"""
