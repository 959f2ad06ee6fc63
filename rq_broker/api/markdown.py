"""Turns the Markdown pages of docs/ into HTML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

_COMMENT = re.compile(r"^<!--.*?-->\n?", re.MULTILINE | re.DOTALL)
_PAGE_LINK = re.compile(r"(?P<name>[\w-]+)\.md(?P<anchor>#.*)?")
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table")


def to_html(text: str, root_path: str) -> str:
    """Render a page. HTML in it is escaped, and comments are left out.

    Headings get the anchors that GitHub gives them. A link to another page, `policy.md#limits`,
    becomes `<root_path>/docs/policy#limits`.
    """
    tokens = _PARSER.parse(_COMMENT.sub("", text))
    for opening, inline in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", _anchor(inline))
    for token in _all(tokens):
        if token.type == "link_open":
            token.attrSet("href", _target(str(token.attrGet("href")), root_path))
        elif "style" in token.attrs:  # of a table's column; the pages' policy allows no style here
            token.attrs = {"class": str(token.attrs["style"]).removeprefix("text-align:")}
    return str(_PARSER.renderer.render(tokens, _PARSER.options, {}))


def inline(text: str, root_path: str = "") -> str:
    """Render one line, such as the text of a field, without a paragraph around it."""
    (token,) = _PARSER.parseInline(text)
    for child in token.children or ():
        if child.type == "link_open":
            child.attrSet("href", _target(str(child.attrGet("href")), root_path))
    return str(_PARSER.renderer.render([token], _PARSER.options, {}))


def title(text: str) -> str:
    """Return the first heading of a page."""
    return text.partition("\n")[0].lstrip("# ")


def _all(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _all(token.children or ())


def _anchor(heading: Token) -> str:
    words = "".join(token.content for token in heading.children or ())
    return re.sub(r"[^\w -]", "", words.lower()).strip().replace(" ", "-")


def _target(link: str, root_path: str) -> str:
    if match := _PAGE_LINK.fullmatch(link):
        name = "" if match["name"] == "index" else f"/{match['name']}"
        return f"{root_path}/docs{name}{match['anchor'] or ''}"
    return root_path + link if link.startswith("/") else link
