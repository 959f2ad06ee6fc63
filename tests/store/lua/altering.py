"""Scripts with other constants: limits too large to be reached in a test are made small."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha1

import pytest

from rq_broker.store.scripts import SCRIPTS


def altered(monkeypatch: pytest.MonkeyPatch, verb: str, old: str, new: str) -> None:
    """Have a verb run with `new` in the place of `old`; again, on what the last time made of it."""
    script = SCRIPTS[verb]
    assert script.source.count(old) == 1
    source = script.source.replace(old, new)
    sha = sha1(source.encode()).hexdigest()
    monkeypatch.setitem(SCRIPTS, verb, replace(script, source=source, sha=sha))
