"""One call of the HTTP API: the request, and how its answer becomes the caller's result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx

from rq_broker.domain import errors

Json = dict[str, Any]
Result = TypeVar("Result")

_ERRORS = errors.by_word()


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One request, and how the envelope of its answer becomes the caller's result."""

    extract: Callable[[Json], Result]
    method: str
    path: str
    body: object = None
    query: Mapping[str, str] | None = None


def path(*segments: str) -> str:
    """Join percent-encoded segments to a path.

    Raises:
        Invalid: A segment is empty, `.` or `..`: the URL would name something else.
    """
    for segment in segments:
        if segment in ("", ".", ".."):
            raise errors.Invalid(f"no type, job or host can have the name '{segment}'")
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def envelope_of(response: httpx.Response) -> Json:
    """Return the envelope of a successful answer.

    Raises:
        BrokerError: The API refuses the call: the class of its `code`, with its sentence; or the
            answer is none of the API's, such as a proxy's error page.
    """
    try:
        envelope = response.json()
    except ValueError:
        envelope = None
    match envelope:
        case {"ok": True, "data": _}:
            return dict(envelope)
        case {"ok": False, "error": str(sentence), "code": str(code)}:
            raise _ERRORS.get(code.upper(), errors.BrokerError)(sentence)
    raise errors.BrokerError(f"HTTP {response.status_code} without an envelope of rq-broker")
