"""The OpenAPI document as one HTML page for people, which reads without a script, too.

Of three viewers under its policy RapiDoc and Scalar lose their style, and Swagger UI folds calls
away and has no Python: see *The API's page* in api/docs/development.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from html import escape
from pathlib import Path
from typing import Any

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from rq_broker.api import html
from rq_broker.api.markdown import inline
from rq_broker.api.reference_schema import Fields
from rq_broker.domain import errors

_STATIC = Path(__file__).with_name("static")
_STYLE = (_STATIC / "reference.css").read_text("utf-8")
_SCRIPT = (_STATIC / "reference.js").read_text("utf-8")
_METHODS = ("get", "post", "put", "patch", "delete")
HEADERS: Mapping[str, str] = {
    **html.HEADERS,
    "content-security-policy": html.policy(style=_STYLE, script=_SCRIPT),
}

Call = tuple[str, str, Mapping[str, Any]]
"""Method, path and what the document says of an operation."""


def html_page(document: Mapping[str, Any], root_path: str) -> str:
    """Render the page; `root_path` is as in `html.page`."""
    page = _Page(document, root_path)
    root = escape(root_path)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>HTTP API: {escape(document['info']['title'])}</title><style>{_STYLE}</style>"
        f'<body data-root="{root}"><a class="skip" href="#main">Skip to the calls</a>'
        f"{page.side()}<main id=main>{page.intro()}{''.join(page.chapters())}{page.errors()}"
        f"<footer>rq-broker {escape(document['info']['version'])}</footer></main>"
        f"<script>{_SCRIPT}</script></html>"
    )


class _Page:
    def __init__(self, document: Mapping[str, Any], root_path: str) -> None:
        self._root = root_path
        self._document = document
        self._fields = Fields(document["components"]["schemas"])
        calls = [
            (method, path, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ]
        calls.sort(key=lambda call: call[2]["x-order"])
        self._chapters: dict[str, list[Call]] = {tag["name"]: [] for tag in document["tags"]}
        for call in calls:
            self._chapters[call[2]["tags"][0]].append(call)
        self._needs_identity = "securitySchemes" in document["components"]

    def side(self) -> str:
        """Return the search, and the list of all calls."""
        root = escape(self._root)
        lists = "".join(
            f"<h2>{escape(title)}</h2><ul>{''.join(_entry(call) for call in calls)}</ul>"
            for title, calls in self._chapters.items()
        )
        return (
            f'<header class="side"><p class="brand"><a href="{root}/docs">rq-broker</a> '
            f"<span>{escape(self._document['info']['version'])}</span></p>"
            '<search><label class="hidden" for="search">Search the calls</label>'
            '<input id="search" type="search" placeholder="Search calls and errors" '
            'autocomplete="off" aria-describedby="found"><kbd>/</kbd>'
            '<p id="found" role="status"></p></search>'
            f'<nav aria-label="Calls"><ul><li><a href="#life">The picture</a></li></ul>{lists}'
            '<h2>Errors</h2><ul><li><a href="#errors">All codes</a></li></ul>'
            f'<h2>More</h2><ul><li><a href="{root}/docs">Documentation</a></li>'
            f'<li><a href="{root}/openapi.json">openapi.json</a></li></ul></nav></header>'
        )

    def intro(self) -> str:
        """Return the head of the page, with the picture."""
        picture = (_STATIC / "life.svg").read_text("utf-8")
        return (
            f"<h1>HTTP API</h1><p class=lead>{escape(self._document['info']['description'])}</p>"
            f'<figure id="life" class="life" tabindex="0">{picture}<figcaption>The life of a job. '
            "Each arrow is a call of yours or a decision of the broker; what waits for too long, "
            "or fails, comes back by itself.</figcaption></figure>"
            '<div class="basics"><p>Answers are <code>{"data": …, "ok": true}</code> or '
            '<code>{"error": "a sentence", "code": "a_word", "ok": false}</code>. The examples run '
            "as they stand, one after the other, on <code>rq-broker dev</code>. Every call may be "
            f'repeated after a lost answer: <a href="{escape(self._root)}/docs/http'
            '#when-to-repeat-a-call">what a repetition does</a>.</p>'
            f"{_SIGN_IN if self._needs_identity else ''}</div>"
        )

    def chapters(self) -> Iterator[str]:
        """Yield each chapter with its calls."""
        about = {tag["name"]: tag["description"] for tag in self._document["tags"]}
        for title, calls in self._chapters.items():
            if calls:
                yield f"<section class=chapter><h2>{escape(title)}</h2><p>{about[title]}</p>"
                yield from (self._call(*call) for call in calls)
                yield "</section>"

    def _call(self, method: str, path: str, operation: Mapping[str, Any]) -> str:
        name = operation["operationId"]
        codes = _codes(operation)
        words = f"{method} {path} {name} {operation['summary']} {' '.join(codes)}"
        note = operation.get("description", "")
        return (
            f'<article class="call" id="{name}" data-words="{escape(words.lower())}">'
            f"<h3>{inline(operation['summary'].rstrip('.'))}</h3>"
            f'<p class="path">{_badge(method)} <code>{_path(path)}</code>'
            f'<a class="anchor" href="#{name}" aria-label="Link to {name}">#</a></p>'
            + (f"<p>{inline(note, self._root)}</p>" if note else "")
            + _examples(operation["x-codeSamples"])
            + f'<div class="io"><div>{self._sent(operation)}</div>'
            f"<div>{self._received(operation)}</div></div>"
            f"{_refusals(codes)}{_trying(method, path, operation)}</article>"
        )

    def _sent(self, operation: Mapping[str, Any]) -> str:
        parts = ["<h4>You send</h4>"]
        rows = [
            f"<dt><code>{escape(each['name'])}</code> <span class=type>in the {each['in']}</span>"
            f"{'' if each.get('required') else ' <span class=optional>optional</span>'}</dt>"
            f"<dd>{inline(each.get('description') or each['schema'].get('description', ''))}</dd>"
            for each in operation.get("parameters", ())
            if each["name"] != "X-Request-ID"
        ]
        if rows:
            parts.append(f'<dl class="fields">{"".join(rows)}</dl>')
        if body := operation.get("requestBody"):
            content = next(iter(body["content"].values()))
            parts.append(f"<h5>Body</h5>{self._fields.html(content['schema'])}")
        return "".join(parts) if len(parts) > 1 else "<h4>You send</h4><p>Nothing but the URL.</p>"

    def _received(self, operation: Mapping[str, Any]) -> str:
        parts = ["<h4>You get</h4>"]
        for status, response in operation["responses"].items():
            if int(status) >= 300 or "content" not in response:
                continue
            media, content = next(iter(response["content"].items()))
            fields = self._fields.html(content["schema"])
            parts.append(
                f'<p><span class="status">{status}</span> <code>{escape(media)}</code></p>'
            )
            if (example := content.get("example")) is not None:
                shown = _highlighted(html.pretty(example), "json")
                parts.append(f"<details open><summary>Example</summary>{_pre(shown)}</details>")
            if fields:
                parts.append(f"<details><summary>Fields</summary>{fields}</details>")
        return "".join(parts)

    def errors(self) -> str:
        """Return the table of all codes."""
        rows = "".join(
            f'<tr id="error-{error.code}" data-words="{error.code} {error.status}">'
            f"<td><span class=status>{error.status}</span><td><code>{error.code}</code>"
            f"<td>{inline(errors.meaning(error), self._root)}<td>{inline(error.remedy, self._root)}"
            for error in errors.by_status()
        )
        return (
            '<section class=chapter id="errors"><h2>Errors</h2><p>The code is for programs and '
            "keeps its meaning; the sentence beside it names the field, the job or the host.</p>"
            '<div class="scroll" tabindex="0" role="region" aria-label="Error codes"><table>'
            "<thead><tr><th scope=col>Status<th scope=col>Code<th scope=col>Meaning"
            f"<th scope=col>What to do</thead><tbody>{rows}</tbody></table></div></section>"
        )


_SIGN_IN = (
    '<form class="signin scripted" id="signin"><label for="token">Token</label>'
    '<input id="token" type="password" autocomplete="off" placeholder="rqb_…" spellcheck="false">'
    '<button>Sign in</button><p id="who" role="status">To try calls, sign in. The token stays in '
    "this tab.</p></form>"
)


def _entry(call: Call) -> str:
    method, _, operation = call
    name, title = operation["operationId"], operation["summary"].rstrip(".")
    short = title.partition(";")[0].partition(":")[0]
    link = f'<a href="#{name}">{_badge(method)}<span>{escape(short)}</span></a>'
    link = f'<a href="#{name}">{_badge(method)}<span>{escape(short)}</span></a>'
    return f'<li data-of="{name}">{link}</li>'


def _badge(method: str) -> str:
    return f'<span class="method {method}">{"del" if method == "delete" else method}</span>'


def _path(path: str) -> str:
    return escape(path).replace("{", "<var>{").replace("}", "}</var>")


def _examples(samples: list[Mapping[str, Any]]) -> str:
    pairs = zip(samples[::2], samples[1::2], strict=True)
    return "".join(
        (f"<h4>{escape(curl['x-title'])}</h4>" if curl["x-title"] else "")
        + f'<div class="pair">{_code(curl, "bash")}{_code(python, "python")}</div>'
        for curl, python in pairs
    )


def _code(sample: Mapping[str, Any], language: str) -> str:
    return (
        f'<figure class="code"><figcaption>{sample["label"]}'
        '<button class="copy scripted" type="button">Copy</button></figcaption>'
        f"{_pre(_highlighted(sample['source'], language))}</figure>"
    )


def _pre(code: str) -> str:
    return f'<pre tabindex="0"><code>{code}</code></pre>'


@lru_cache(1024)
def _highlighted(text: str, language: str) -> str:
    code: str = highlight(text, get_lexer_by_name(language), _formatter())
    return code.rstrip("\n")


@cache
def _formatter() -> HtmlFormatter[str]:
    return HtmlFormatter(nowrap=True)


def _codes(operation: Mapping[str, Any]) -> list[str]:
    """List the codes of an operation that are its own: not those of the server and of access."""
    return [
        code.strip("`")
        for status, response in operation["responses"].items()
        if int(status) >= 400
        for code in response["description"].split(", ")
    ]


def _refusals(codes: list[str]) -> str:
    by_code = {error.code: error for error in errors.by_status()}
    rows = "".join(
        f'<li><a href="#error-{code}"><span class="status">{by_code[code].status}</span> '
        f"<code>{code}</code></a></li>"
        for code in codes
    )
    summary = f"<summary>{len(codes)} errors, and what to do</summary>"
    summary = f"<summary>{len(codes)} errors, and what to do</summary>"
    return f'<details class="refusals">{summary}<ul>{rows}</ul></details>'


def _trying(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """Return the form that sends the call; the script fills in what comes back."""
    name = operation["operationId"]
    fields = "".join(
        f'<label>{escape(each["name"])}<input name="{escape(each["name"])}" '
        f'data-in="{each["in"]}" value="{escape(str(each.get("example", "")))}" '
        f"{'required' if each.get('required') else ''}></label>"
        for each in operation.get("parameters", ())
        if each["in"] != "header"
    )
    if body := operation.get("requestBody"):
        media, content = next(iter(body["content"].items()))
        example = html.pretty(content["example"])
        fields += (
            f'<label class="wide">Body<textarea name="body" data-in="body" data-media="{media}" '
            f'rows="{min(example.count(chr(10)) + 1, 14)}" spellcheck="false">{escape(example)}'
            "</textarea></label>"
        )
    return (
        f'<details class="try scripted"><summary>Try it</summary><form data-method="{method}" '
        f'data-path="{escape(path)}" aria-label="Try {name}">{fields}<button>Send</button>'
        '<output><span class="status"></span><pre tabindex="0" aria-label="Answer"></pre></output>'
        "</form></details>"
    )
