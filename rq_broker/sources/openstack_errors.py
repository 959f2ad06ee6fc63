"""What Keystone and the services have in common when they fail: no answer, and error bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from keystoneauth1 import exceptions as keystone

from rq_broker.sources.failures import Faulty, Misconfigured, SourceFailed, Unreachable

_SHOWN = 300
"""Characters of a body that a sentence shows."""
_INVISIBLE = re.compile(r"<(style|script|head)\b.*?</\1>|<[^>]*>", re.S | re.I)


def connection_failure(error: BaseException) -> type[SourceFailed] | None:
    """Return the failure for an error that came instead of an answer; None for any other."""
    match error:
        case keystone.SSLError():
            return Misconfigured if "certificate" in str(error).lower() else Unreachable
        case keystone.UnknownConnectionError():  # a ValueError of requests: the URL is none
            return Misconfigured if isinstance(error.original, ValueError) else Faulty
        case keystone.ConnectionError():
            return Unreachable
        case OSError():  # a certificate's file that is gone
            return Misconfigured
    return None


def json_of(response: Any) -> Mapping[str, Any] | None:
    """Return the JSON object that an answer has; None if it has none."""
    try:
        body = orjson.loads(response.content)
    except (AttributeError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def sentence_of(error: BaseException) -> str:
    """Return in one line what an exception says, with the status and the body of an answer."""
    if not isinstance(error, keystone.HttpError):
        return " ".join(_once(error).split()) or type(error).__name__
    body = _message_in(json_of(error.response)) or _text_of(error.response)
    request = f" (Request-ID: {error.request_id})" if error.request_id else ""
    text = " ".join(body.split())[:_SHOWN] or type(error).__name__
    return f"{text} (HTTP {error.http_status}){request}"


def _once(error: BaseException) -> str:
    """Return what an exception says; of a failed connection, the URL once.

    The library says the URL, and then all that requests says of it: host, port and path again.
    """
    text, context = str(error), error.__context__
    wrapped = context.args[0] if context is not None and context.args else None
    reason = getattr(wrapped, "reason", None)  # of urllib3's MaxRetryError
    if not isinstance(reason, Exception) or not text.endswith(str(context)):
        return text
    # A new connection that failed says its host and port, too; the system's own error does not.
    cause = reason.__cause__ if isinstance(reason.__cause__, OSError) else reason
    return f"{text.removesuffix(str(context))}{cause}"


def _message_in(body: Any) -> str:
    match body:
        case {"errors": [first, *_]}:  # Placement
            return _message_in(first)
        case {"detail": str(text)} | {"message": str(text)} | {"title": str(text)}:
            return text
        case dict() if len(body) == 1:  # Keystone's {"error": …}, Nova's {"forbidden": …}
            return _message_in(next(iter(body.values())))
    return ""


def _text_of(response: Any) -> str:
    """Return the words of a body that is plain text or HTML; '' for JSON and for none."""
    if response is None or json_of(response) is not None:
        return ""
    content: bytes = response.content or b""
    return _INVISIBLE.sub(" ", content.decode(errors="replace"))
