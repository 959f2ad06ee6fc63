"""Refusals of the server itself, which no route has seen: the same envelope as all others."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from rq_broker.api.responses import failed
from rq_broker.domain import errors
from rq_broker.domain.correlation import REQUEST_ID

RETRY_AFTER = b"1"
"""Seconds after which a client that met the limit of connections may try again. Connections come
and go within less."""

_log = logging.getLogger(__name__)


def rendered(
    error: errors.BrokerError, default_headers: Iterable[tuple[bytes, bytes]], request_id: str
) -> bytes:
    """Return the bytes of the last answer on a connection."""
    reply = failed(error)
    headers = [
        *default_headers,
        *reply.raw_headers,
        (b"connection", b"close"),
        (REQUEST_ID, request_id.encode()),
    ]
    if isinstance(error, errors.TooManyConnections):
        headers.append((b"retry-after", RETRY_AFTER))
    fields = [name + b": " + value + b"\r\n" for name, value in headers]
    return b"".join([STATUS_LINE[error.status], *fields, b"\r\n", reply.body])


def refusal_of(error: Exception) -> errors.BrokerError:
    """Return the refusal for what the parser, or a callback of it, raised."""
    cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
    match cause:
        case errors.BrokerError():
            return cause
        case httptools.HttpParserInvalidURLError() | UnicodeError():
            return errors.Malformed(
                "the URL of the request is not valid; letters beyond ASCII must be percent-encoded"
            )
        case httptools.HttpParserInvalidMethodError():
            return errors.Malformed("the request's method is not one of HTTP")
        case httptools.HttpParserError():
            return errors.Malformed(f"the request is not valid HTTP/1.1: {cause}")
    _log.error("a request could not be read", exc_info=cause)
    return errors.Internal("internal error; the server's log has the details")


def uri_too_long(most: int) -> errors.UriTooLong:
    """Return the refusal of a URL of more than `most` bytes."""
    return errors.UriTooLong(f"the URL of the request is longer than {most} bytes")


def headers_too_large(most: int) -> errors.HeadersTooLarge:
    """Return the refusal of a head of more than `most` bytes."""
    return errors.HeadersTooLarge(f"the URL and headers of the request exceed {most} bytes")
