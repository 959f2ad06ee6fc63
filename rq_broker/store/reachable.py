"""Drops from a script the functions of its includes that it never calls.

Lua makes each function anew in every run, which costs time. And what a script never calls says
nothing about it: a script writes if a function that it reaches writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

_FUNCTION = re.compile(r"(?:^--.*\n)*^local function (\w+)\(.*\n(?:.*\n)*?end\n\n?", re.MULTILINE)
"""A function of a script with the comment above it; what stands inside is indented."""
_COMMENT = re.compile(r"--.*")
_WORD = re.compile(r"\w+")


def reachable(included: Sequence[str], body: str) -> str:
    """Return the includes, each a text, without the functions that neither they nor the body use.

    A name counts as used wherever it stands as a word, so that too much is kept at worst.
    """
    parts = [part for text in included for part in _parts(text)]
    functions = {name: text for name, text in parts if name}
    pending = [body, *(text for name, text in parts if not name)]
    used = set[str]()
    while pending:
        new = functions.keys() & _words(pending.pop()) - used
        used |= new
        pending += (functions[name] for name in new)
    return "".join(text for name, text in parts if not name or name in used)


@cache
def _parts(text: str) -> tuple[tuple[str, str], ...]:
    """Split a text into its functions, each with its name, and what stands between, without one."""
    found, end = list[tuple[str, str]](), 0
    for match in _FUNCTION.finditer(text):
        found += (("", text[end : match.start()]), (match[1], match[0]))
        end = match.end()
    return *found, ("", text[end:])


@cache
def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(_COMMENT.sub("", text)))
