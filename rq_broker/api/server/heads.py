"""Checks of a request's head that the parser leaves to the server, see RFC 9112."""

from __future__ import annotations

import re

from rq_broker.domain.errors import Malformed

Headers = list[tuple[bytes, bytes]]

_AUTHORITY_ENDS = re.compile(rb"[/?#]")


def check_head(version: str, headers: Headers) -> None:
    """Raise Malformed for a head by which two servers may disagree on what was asked, or of whom.

    Args:
        version: Of HTTP, such as `1.1`.
        headers: By their names in lower case.
    """
    hosts, codings = 0, []
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings.append(value)
    if hosts > 1 or (not hosts and version != "1.0"):
        raise Malformed("a request of HTTP/1.1 has the header Host once")
    if not codings:
        return
    if version == "1.0":
        raise Malformed("a request of HTTP/1.0 has no Transfer-Encoding: send a Content-Length")
    if b",".join(codings).strip().lower() != b"chunked":
        raise Malformed("Transfer-Encoding must be chunked, and nothing else")


def take_host(url: bytes, headers: Headers) -> bytes:
    """Return the path and the query of a URL; the host of an absolute one replaces that of Host.

    RFC 9112 section 3.2.2 wants it so: else a proxy goes by the one, and who allows by the other.
    """
    _, separator, rest = url.partition(b"://")
    if not separator or url.startswith(b"/"):
        return url
    authority = _AUTHORITY_ENDS.split(rest, maxsplit=1)[0]
    host = authority.rpartition(b"@")[2]
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
    target = rest[len(authority) :].partition(b"#")[0]
    return target if target.startswith(b"/") else b"/" + target
