"""Takes credentials out of text that others made: errors of libraries, of services, of sources."""

from __future__ import annotations

import re

HIDDEN = "***"
"""What stands in the place of a credential."""

_NAMES = r"(?:password|passwd|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key)"
_QUOTED = r"\"[^\"]*\"?|'[^']*'?"
_IS = r"[\"']?\s*[:=]\s*"
_KEEP = rf"\1{HIDDEN}"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # The login of a URL: scheme://user:password@host.
    (re.compile(r"(\b[a-z][a-z0-9+.-]{1,30}://)[^\s/?#]*@", re.I), rf"{_KEEP}@"),
    # password=…, and "password": "…" as in JSON and in Python's dictionaries.
    (re.compile(rf"(\b[\w-]{{0,40}}{_NAMES}=)(?:{_QUOTED}|[^\s,;&)}}\]]+)", re.I), _KEEP),
    (re.compile(rf"([\"'][\w-]{{0,40}}{_NAMES}[\"']\s*:\s*)(?:{_QUOTED})", re.I), _KEEP),
    # Headers: Authorization: Bearer …, X-Auth-Token: ….
    (re.compile(rf"(\b(?:authorization|cookie){_IS})(?:{_QUOTED}|(?:\w+ )?\S+)", re.I), _KEEP),
    (re.compile(rf"(\b[\w-]{{1,40}}-token{_IS})[\w.~+/=\"'-]{{16,}}", re.I), _KEEP),
    (re.compile(r"(\b(?:bearer|basic) )(?=\S*[\d=._-])[\w.~+/=-]{8,}", re.I), _KEEP),
    # What is a credential by its form: signing keys, tokens of ours and of Keystone, JWTs, PEM.
    (re.compile(r"(\bwhsec_)[\w+/=-]+"), _KEEP),
    (re.compile(r"(\brqb_)[\w-]{16,}"), _KEEP),
    (re.compile(r"(\bgAAAA)[\w-]{30,}=*"), _KEEP),
    (re.compile(r"(\beyJ)[\w-]{8,}\.[\w-]+\.[\w-]*"), _KEEP),
    (re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END|\Z)", re.S), _KEEP),
)  # fmt: skip
"""What a credential looks like → what is written in its place."""


def scrubbed(text: str) -> str:
    """Return a text without the credentials that it has in a known form.

    A password that stands alone in a sentence has no form, so messages of our own never repeat one.
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
