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
body { font: 16px/1.5 system-ui, sans-serif; max-width: 54rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff }
h2 { margin-top: 2.5rem; border-top: 1px solid #d8dee4; padding-top: 1.5rem }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { background: #f6f8fa; padding: .75rem 1rem; overflow-x: auto; border-radius: 6px }
nav a { margin-right: 1rem }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; text-transform: uppercase }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .15rem 1rem .15rem 0; vertical-align: top; text-align: left }
.right { text-align: right } .center { text-align: center }
@media (prefers-color-scheme: dark) {
  body { color: #e6edf3; background: #0d1117 } pre { background: #161b22 }
  h2 { border-color: #30363d } a { color: #6cb6ff }
}
"""


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
        f'<nav><a href="{root}/docs">Documentation</a><a href="{root}/docs/api">HTTP reference</a>'
        f'<a href="{root}/openapi.json">OpenAPI</a></nav>'
        f"<main>{content}</main></html>"
    )
