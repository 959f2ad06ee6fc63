"""The HTML around every page of the documentation: nothing is loaded from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Any

import msgspec
from starlette.responses import HTMLResponse

from rq_broker.api.responses import UNSNIFFED

_STYLE = """
:root { color-scheme: light dark; --bg: #fff; --line: #e2e6ec; --text: #151a21; --quiet: #5b6675;
        --link: #2458c7; --code: #f1f3f6 }
@media (prefers-color-scheme: dark) {
  :root { --bg: #14181f; --line: #252c36; --text: #e8ecf1; --quiet: #929dac; --link: #8aacf7;
          --code: #1b212a }
}
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--bg); color: var(--text);
       font: 1rem/1.6 -apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Noto Sans",
             "Liberation Sans", Arial, "Noto Sans CJK TC", sans-serif }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; font-size: .875rem;
      padding: .75rem max(1rem, 50% - 25rem); border-bottom: 1px solid var(--line) }
nav strong { font-weight: 600; letter-spacing: -.01em }
nav a { color: var(--quiet); text-decoration: none; padding: .25rem 0 }
nav a:hover { color: var(--text); text-decoration: underline; text-underline-offset: 3px }
main { max-width: 52rem; margin: 0 auto; padding: 1.5rem 1rem 5rem; overflow-wrap: break-word }
h1, h2, h3 { line-height: 1.25; letter-spacing: -.01em; font-weight: 600; text-wrap: balance }
h1 { font-size: 1.75rem; margin: .5rem 0 1rem }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem }
h3 { font-size: 1rem; margin: 2rem 0 .5rem }
a { color: var(--link); text-underline-offset: 2px; text-decoration-thickness: 1px }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 4px }
li + li { margin-top: .25rem }
code { font: .875em ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace;
       background: var(--code); border-radius: 4px; padding: .1em .3em }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 8px;
      padding: .75rem 1rem; overflow-x: auto; font-size: .9375rem; line-height: 1.5 }
pre code { background: none; padding: 0 }
table { display: block; overflow-x: auto; border-collapse: collapse; margin: 1rem 0;
        font-size: .875rem; line-height: 1.5; font-variant-numeric: tabular-nums }
th, td { padding: .5rem 1.25rem .5rem 0; border-bottom: 1px solid var(--line);
         vertical-align: top; text-align: left }
th { color: var(--quiet); font-weight: 400; font-size: .8125rem; white-space: nowrap }
@media (max-width: 30rem) { nav strong { flex-basis: 100% } }
.right { text-align: right } .center { text-align: center }
"""
"""The pages stand in the dashboard's colours and faces, see dashboard/css/tokens.css."""


def policy(style: str, script: str = "") -> str:
    """Return the content security policy of a page that has this style, and this script if any.

    It loads nothing, calls nothing but this API if it has a script, and is in no frame.
    """
    scripted = f"script-src '{_hash(script)}'; connect-src 'self'; " if script else ""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; {scripted}"
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def pretty(value: Any) -> str:
    """Return JSON over several lines."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


HEADERS: Mapping[str, str] = {
    **UNSNIFFED,
    "content-security-policy": policy(_STYLE),
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
"""Headers of every page: it has this style, runs nothing, loads nothing, is in no frame, and tells
no other site where its reader comes from."""


class Page(HTMLResponse):
    """The answer that is a page; `headers` are those it has besides."""

    def __init__(self, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text, headers={**HEADERS, **(headers or {})})


def page(title: str, content: str, root_path: str) -> str:
    """Return a whole page.

    Args:
        title: Plain text.
        content: HTML of the body.
        root_path: Prefix of every path where a proxy serves the API below one, else empty.
    """
    root = escape(root_path)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        '<nav aria-label="Pages"><strong>rq-broker</strong>'
        f'<a href="{root}/docs">Documentation</a><a href="{root}/docs/api">HTTP reference</a>'
        f'<a href="{root}/openapi.json">OpenAPI</a></nav>'
        f"<main>{content}</main></html>"
    )
