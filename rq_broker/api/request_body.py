"""Reads the body of a request, up to a limit."""

from __future__ import annotations

from typing import Any

from starlette.requests import ClientDisconnect, Request

from rq_broker.domain import exact_json
from rq_broker.domain.errors import TooLarge, Unreadable

BODY_LIMIT = 1 << 20
"""Largest body that is read, in bytes. It bounds the memory and the parsing time of one request."""


async def read(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """Return the body. Raises TooLarge beyond the limit, whatever Content-Length claims.

    Raises:
        Unreadable: It has a Content-Encoding, such as gzip.
    """
    for name, value in request.scope["headers"]:
        if name == b"content-encoding" and value.lower() not in (b"", b"identity"):
            encoding = value.decode("latin-1")
            raise Unreadable(
                f"Content-Encoding {encoding!r} is not supported: send the body as it is"
            )
    # Request.stream is a generator around the same, and took 4 µs of CPU more of a submit's 150.
    body, is_complete = b"", False
    while not is_complete:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        is_complete = not message.get("more_body", False)
    return body


async def read_json(request: Request, if_empty: Any = None) -> Any:
    """Return the body parsed as JSON, with every digit kept. Raises TooLarge or Unreadable.

    `if_empty` is returned for no body, where every field may be left out.
    """
    body = await read(request)
    return if_empty if if_empty is not None and not body else exact_json.loads(body)
