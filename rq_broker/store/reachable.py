"""Drops from a script the functions of its includes that it never calls.

Lua makes each function anew in every run, which costs time. And what a script never calls says
nothing about it: a script writes if a function that it reaches writes.
"""

from __future__ import annotations

import re

_FUNCTION = re.compile(r"(?:^--.*\n)*^local function (\w+)\(.*\n(?:.*\n)*?end\n\n?", re.MULTILINE)
"""A function of a script with the comment above it; what stands inside is indented."""
_COMMENT = re.compile(r"--.*")
_WORD = re.compile(r"\w+")


def reachable(included: str, body: str) -> str:
    """Return the includes without the functions that neither they nor the body use.

    A name counts as used wherever it stands as a word, so that too much is kept at worst.
    """
    functions = {match[1]: match[0] for match in _FUNCTION.finditer(included)}
    pending = [_FUNCTION.sub("", included), body]
    used = set[str]()
    while pending:
        new = functions.keys() & set(_WORD.findall(_COMMENT.sub("", pending.pop()))) - used
        used |= new
        pending += (functions[name] for name in new)
    return _FUNCTION.sub(lambda match: match[0] if match[1] in used else "", included)
