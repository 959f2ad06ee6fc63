"""Reads the body of a request, up to a limit."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from rq_broker.domain import exact_json
from rq_broker.domain.errors import TooLarge, Unreadable

BODY_LIMIT = 1 << 20
"""Largest body that is read, in bytes. It bounds the memory and the parsing time of one request."""


async def read(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """Return the body. Raises TooLarge beyond the limit, whatever Content-Length claims.

    Raises:
        Unreadable: It has a Content-Encoding, such as gzip.
    """
    encoding = request.headers.get("content-encoding", "")
    if encoding.lower() not in ("", "identity"):
        raise Unreadable(f"Content-Encoding {encoding!r} is not supported: send the body as it is")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
    return body


async def read_json(request: Request, if_empty: Any = None) -> Any:
    """Return the body parsed as JSON, with every digit kept. Raises TooLarge or Unreadable.

    `if_empty` is returned for no body, where every field may be left out.
    """
    body = await read(request)
    return if_empty if if_empty is not None and not body else exact_json.loads(body)
