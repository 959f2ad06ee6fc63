"""The scripts: one file a verb, includes by name, resolved once at import.

A line `--- @include "name"` is replaced by lib/<name>.lua the first time the name appears, so every
include is one copy in each script. The header above the first include is the script's contract; a
test holds it against what Broker sends.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

_HERE = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r'^--- @include "(\w+)"\n', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """One verb: its source with includes expanded, and the SHA Redis knows it by."""

    name: str
    contract: str
    source: str
    sha: str


def _expand(text: str, seen: set[str]) -> str:
    def include(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return ""
        seen.add(name)
        return _expand((_HERE / "lib" / f"{name}.lua").read_text(), seen)

    return _INCLUDE.sub(include, text)


def load(name: str) -> Script:
    """Read one script."""
    text = (_HERE / f"{name}.lua").read_text()
    contract = "".join(line for line in text.splitlines(True) if line.startswith("---"))
    source = _expand(text, set())
    sha = sha1(source.encode(), usedforsecurity=False).hexdigest()
    return Script(name, _INCLUDE.sub("", contract), source, sha)


SCRIPTS = {path.stem: load(path.stem) for path in sorted(_HERE.glob("*.lua"))}
