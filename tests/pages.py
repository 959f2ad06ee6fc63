"""README and the pages served at /docs/ as tests read them: code blocks, commands, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "rq_broker" / "api" / "docs"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [ROOT / "README.md", *sorted(FOLDER.glob("*.md"))]
}
"""Path from the project's folder → text, of README and every page."""
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def page(name: str) -> str:
    """Read the page of this name, such as `callbacks`."""
    return PAGES[f"rq_broker/api/docs/{name}.md"]


def blocks(text: str, language: str) -> list[str]:
    """List the fenced blocks of a language."""
    return [code for marked, code in _FENCED.findall(text) if marked == language]


def block(name: str, marker: str) -> str:
    """Find the one Python block of a page that holds this text."""
    (code,) = [code for code in blocks(page(name), "python") if marker in code]
    return code


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return _FENCED.sub("", text)


def code(text: str) -> list[str]:
    """List all code of a page that a reader could type: lines of shell blocks, and code spans."""
    typed = [line for shell in blocks(text, "sh") for line in shell.splitlines()]
    return [*typed, *re.findall(r"`([^`\n]+)`", prose(text))]


def commands(text: str, program: str) -> Iterator[tuple[list[str], str]]:
    """Yield each command of the shell blocks that runs a program: its words, and its comment."""
    for shell in blocks(text, "sh"):
        lines = ""
        for line in shell.splitlines(keepends=True):
            lines += line
            if line.endswith("\\\n"):  # the command goes on in the next line
                lines = lines.removesuffix("\\\n")
                continue
            try:
                words = shlex.split(lines, comments=True)
            except ValueError:  # a quotation goes on in the next line
                continue
            if words and words[0] == program:
                yield words, line.partition(" # ")[2].strip()
            lines = ""


def rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the table whose header row begins with this cell, row by row."""
    found = re.search(rf"^\| {heading} +\|.*\n((?:\|.*\n)+)", text, re.M)
    assert found, f"there is no table of {heading}"
    lines = found[1].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def spans(cell: str) -> list[str]:
    """List the code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def links(text: str) -> list[str]:
    """List where a page's links lead."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def anchors(text: str) -> set[str]:
    """List the anchors of a page: its headings in lower case, without punctuation, with dashes."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.M)
    return {re.sub(r"[^\w -]", "", each.lower()).strip().replace(" ", "-") for each in headings}
