"""What a callback says, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rq_broker.receiver.refusals import NotAnEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What the broker tells; of a kind that this version does not know, unless it is a subclass."""

    id: str
    """`webhook-id`: the same in every attempt to tell this, and in nothing else."""
    kind: str
    """Such as `job.granted`."""
    at: datetime
    """When it was told, in UTC."""
    data: Mapping[str, Any] = field(repr=False)
    """All that is said: of a job its fields as HTTP has them."""
    http_request_id: str | None = None
    """`X-Request-ID` of the submit, if its client gave one."""
    traceparent: str | None = None
    """That of the submit, by W3C Trace Context: a trace goes on here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted(Event):
    """`job.granted`: capacity is held for a job. A 2xx takes it, a 410 gives it up."""

    type: str
    request_id: str
    owner_id: str
    hosts: tuple[str, ...]
    """One for each instance, in their order."""
    fence: int
    """Only grows, from each grant of a type to the next."""

    @property
    def demand(self) -> Any:
        """What was submitted as `data`, parsed."""
        return json.loads(self.data["Data"])


_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What a body that is none of the broker's raises: a year 0001 east of Greenwich and a fence that
is `Infinity` overflow."""


def read(
    body: bytes, message_id: str, http_request_id: str | None, traceparent: str | None
) -> Event:
    """Return the event in the body of a verified message. Raises NotAnEvent."""
    try:
        message = json.loads(body)
        kind, data = message["type"], message["data"]
        at = datetime.fromisoformat(message["timestamp"]).astimezone(UTC)
        if not (isinstance(kind, str) and isinstance(data, dict)):
            raise TypeError("type must be a string, and data an object")
        common: dict[str, Any] = {
            "id": message_id, "kind": kind, "at": at, "data": data,
            "http_request_id": http_request_id, "traceparent": traceparent,
        }  # fmt: skip
        return _granted(data, common) if kind == "job.granted" else Event(**common)
    except _UNREADABLE as error:
        raise NotAnEvent(f"the message cannot be read: {error!r}") from error


def _granted(data: Mapping[str, Any], common: Mapping[str, Any]) -> Granted:
    return Granted(
        type=data["Type"],
        request_id=data["RequestID"],
        owner_id=data["OwnerID"],
        hosts=tuple(data["Hosts"]),
        fence=int(data["Fence"]),
        **common,
    )
