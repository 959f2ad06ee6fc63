"""One call of the HTTP API: the request, and how its answer becomes the caller's result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import httpx

from rq_broker.domain import errors

Json = dict[str, Any]
Result = TypeVar("Result")

_ERRORS = errors.by_word()
_OF_A_REFUSAL = {"error", "code", "ok"}
"""The keys that the envelope of every refusal has; the others are its details."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One request, and how the envelope of its answer becomes the caller's result.

    Args:
        extract: Makes the result of the envelope.
        method: The HTTP method.
        path: The path, percent-encoded.
        body: The JSON to send; None for none.
        query: The query parameters.
        idempotency_key: The header Idempotency-Key; '' for none.
        repeatable: Whether a client may send it again after a lost answer.
        wait: Seconds that the API may take longer than usual to answer, because it was asked to.
        if_match: The version that the header If-Match names; '' for none.
    """

    extract: Callable[[Json], Result]
    method: str
    path: str
    body: object = None
    query: Mapping[str, str | Sequence[str]] | None = None
    idempotency_key: str = ""
    repeatable: bool = True
    wait: float = 0.0
    if_match: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers to send beside those of httpx."""
        headers = {"If-Match": f'"{self.if_match}"'} if self.if_match else {}
        if self.idempotency_key:
            escaped = self.idempotency_key.replace("\\", r"\\").replace('"', r"\"")
            headers["Idempotency-Key"] = f'"{escaped}"'
        return headers


def new_key() -> str:
    """Return an idempotency key that no other call has."""
    return uuid4().hex


def credential(token: str | None) -> dict[str, str]:
    """Return the header that tells the API who calls; none without a token."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def unsendable(error: UnicodeEncodeError) -> errors.Invalid:
    """Return the refusal of a text that has no UTF-8, as an argument of bytes in a shell."""
    part = error.object[max(0, error.start - 20) : error.end + 20]
    return errors.Invalid(f"{part!a} is no text in UTF-8")


def path(*segments: str) -> str:
    """Join percent-encoded segments to a path.

    Raises:
        Invalid: A segment is empty, `.` or `..`: the URL would name something else. Or it cannot
            be sent.
    """
    for segment in segments:
        if segment in ("", ".", ".."):
            raise errors.Invalid(f"no type, job or host can have the name '{segment}'")
        try:
            segment.encode()
        except UnicodeEncodeError as error:
            raise unsendable(error) from error
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def whose(owner_id: str) -> dict[str, str] | None:
    """Return the query that says whose job a call means; None if it does not say."""
    return {"owner_id": owner_id} if owner_id else None


def data_of(envelope: Json) -> Any:
    """Return what a call that has no other answer answers."""
    return envelope["data"]


def with_warning(envelope: Json) -> Json:
    """Return the data, with the warning that stands beside it."""
    data: Json = envelope["data"]
    return {**data, "Warning": envelope["Warning"]} if "Warning" in envelope else data


def warnings_of(call: Call[Any], envelope: Json) -> list[str]:
    """Return what an answer warns of: on the envelope; and of a change, on what was changed."""
    data = envelope["data"] if call.method != "GET" else None
    places = (data if isinstance(data, dict) else {}, envelope)
    return [place["Warning"] for place in places if place.get("Warning")]


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
            details = {key: value for key, value in envelope.items() if key not in _OF_A_REFUSAL}
            raise _ERRORS.get(code.upper(), errors.BrokerError)(sentence, **details)
    foreign = errors.BrokerError(f"HTTP {response.status_code} without an envelope of rq-broker")
    foreign.status = response.status_code
    raise foreign
