"""The pages a recipient sees: plain HTML without scripts, and nothing personal on them."""

from __future__ import annotations

from html import escape
from typing import Final

HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-robots-tag": "noindex, nofollow",
}

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
    font: 17px/1.6 -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
    background: #f2f4f3; color: #16241e; }}
  main {{ max-width: 26rem; margin: 1rem; padding: 2.5rem; background: #fff; border-radius: 14px; }}
  h1 {{ margin: 0 0 .75rem; font-size: 1.6rem; line-height: 1.25; }}
  p {{ margin: 0 0 1.5rem; }}
  button {{ font: inherit; font-weight: 600; color: #fff; background: #1f6f54; border: 0;
    border-radius: 8px; padding: .75rem 1.5rem; cursor: pointer; }}
  button:focus-visible {{ outline: 3px solid #8cc7b1; outline-offset: 2px; }}
  @media (prefers-color-scheme: dark) {{
    body {{ background: #14201b; color: #e7efeb; }} main {{ background: #1d2c26; }}
  }}
</style>
</head>
<body><main>
<h1>{title}</h1>
<p>{text}</p>
{more}
</main></body>
</html>
"""


def ask(sender: str) -> str:
    """Ask whether to unsubscribe; looking at this page changes nothing."""
    button = '<form method="post"><button type="submit">Unsubscribe</button></form>'
    text = f"You will get no more messages from {escape(sender)} at this address."
    return _PAGE.format(title="Unsubscribe?", text=text, more=button)


def done(sender: str) -> str:
    """Say that it is done."""
    text = f"{escape(sender)} will not write to this address again. It has taken effect already."
    return _PAGE.format(title="You are unsubscribed", text=text, more="")


def unknown() -> str:
    """Say that the link is none of ours."""
    text = "It may have been cut off. Please open it from the message once more."
    return _PAGE.format(title="This link does not work", text=text, more="")
