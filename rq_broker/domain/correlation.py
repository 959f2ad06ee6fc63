"""What joins a job with its client's logs and traces: headers of its submit, sent on by callbacks.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/. The broker makes no spans of its
own, so it passes `traceparent` on as it came, and `tracestate` with it. Own code, as the library
for it (opentelemetry-api) would bring a whole tracer for two regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

REQUEST_ID, TRACEPARENT, TRACESTATE = b"x-request-id", b"traceparent", b"tracestate"

MOST_STATE = 512
"""Characters of a `tracestate` that are kept: as many as the specification asks for. With more,
each waiting job of a client with long ones takes more memory."""
_LONG_MEMBER = 128
"""Characters of a member above which it is the first to go, by the specification."""
_MOST_MEMBERS = 32
WELL_FORMED_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
"""Printable and without spaces, so that it forges no line of a log; and bounded, as it is kept."""
_PARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.ASCII,
)
_KEY = r"(?:[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
_MEMBER = re.compile(rf"({_KEY})=[ !-+\--<>-~]{{0,255}}[!-+\--<>-~]", re.ASCII)
_KNOWN_FLAGS = 0x03
"""`sampled` and `random`: what a version that is not known yet may be asked for."""


class Correlation(Struct, frozen=True):
    """What a submit said of itself; '' for what it did not say. Jobs without it have None."""

    http_request_id: str = ""
    """`X-Request-ID`, where the client gave one."""
    traceparent: str = ""
    tracestate: str = ""

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> Correlation | None:
        """Return what the headers of a submit say; what is malformed counts as not said."""
        given = [pair for pair in headers if pair[0] in _NAMES]
        if not given:
            return None
        texts: dict[bytes, list[str]] = {}
        for name, value in given:
            texts.setdefault(name, []).append(value.decode("latin-1").strip(" \t"))
        request_ids, parents = texts.get(REQUEST_ID, ()), texts.get(TRACEPARENT, ())
        return cls.read(
            next((text for text in request_ids if WELL_FORMED_ID.fullmatch(text)), ""),
            parents[0] if len(parents) == 1 else "",  # two are malformed
            ",".join(texts.get(TRACESTATE, ())),
        )

    @classmethod
    def read(cls, http_request_id: str, parent: str, state: str) -> Correlation | None:
        """Return what is well-formed of it, None for nothing. A state counts with a parent only."""
        if not WELL_FORMED_ID.fullmatch(http_request_id):
            http_request_id = ""
        parent = _traceparent(parent)
        if not (http_request_id or parent):
            return None
        return cls(http_request_id, parent, _tracestate(state) if parent else "")

    def headers(self) -> dict[str, str]:
        """Return the headers that a callback carries."""
        headers = {
            "X-Request-ID": self.http_request_id,
            "traceparent": self.traceparent,
            "tracestate": self.tracestate,
        }
        return {name: value for name, value in headers.items() if value}


_NAMES = frozenset((REQUEST_ID, TRACEPARENT, TRACESTATE))


def _traceparent(text: str) -> str:
    """Return a `traceparent` of version 00, '' where it is malformed."""
    match = _PARENT.fullmatch(text)
    if match is None:
        return ""
    version, ids, flags, rest = match.groups()
    if version == "00":
        return "" if rest else text
    return f"00-{ids}-{int(flags, 16) & _KNOWN_FLAGS:02x}"


def _tracestate(text: str) -> str:
    """Return a `tracestate` without empty members, '' where it is malformed."""
    members = [stripped for member in text.split(",") if (stripped := member.strip(" \t"))]
    keys = [match[1] for member in members if (match := _MEMBER.fullmatch(member))]
    if len(set(keys)) < len(members) or len(members) > _MOST_MEMBERS:
        return ""
    while members and len(",".join(members)) > MOST_STATE:
        long = [member for member in members if len(member) > _LONG_MEMBER]
        members.remove(long[-1] if long else members[-1])
    return ",".join(members)
