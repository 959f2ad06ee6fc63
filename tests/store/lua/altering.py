"""Scripts with other constants: limits too large to be reached in a test become small."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha1

import pytest

from rq_broker.store.scripts import SCRIPTS


def altered(monkeypatch: pytest.MonkeyPatch, verb: str, old: str, new: str) -> None:
    """Let a verb run with `new` in place of `old`; a second call alters the altered script."""
    script = SCRIPTS[verb]
    assert script.source.count(old) == 1
    source = script.source.replace(old, new)
    sha = sha1(source.encode()).hexdigest()
    monkeypatch.setitem(SCRIPTS, verb, replace(script, source=source, sha=sha))
