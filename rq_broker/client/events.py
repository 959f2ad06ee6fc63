"""What happened to a type or to a job, as the API streams it: server-sent events."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from httpx_sse import ServerSentEvent

from rq_broker.client.call import Call, Json, data_of, envelope_of, path, whose
from rq_broker.client.repeating import FIRST_PAUSE, Attempts, Repeating, is_lost
from rq_broker.domain import errors

_FINAL = ("job.done", "job.error", "job.deleted")
"""The kinds after which the API ends the stream of a job."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    id: str
    """Its place in the stream: give it as `after` to go on behind it."""
    kind: str
    """Such as `job.granted`; `lost` where events are missing, because they are kept no more."""
    data: Json
    """What changed: `type`, `request_id`, `from`, `to`, `by`, `at` and others."""

    @property
    def is_gap(self) -> bool:
        """Whether events are missing here: read again what you have derived from them."""
        return self.kind == "lost"


class EventStream:
    """Where a reader of events is in the stream, over any number of connections.

    Args:
        types: The queue's name, several names, or None for all of them.
        request_id: The job of the one type; None for all jobs.
        owner_id: As of `read`.
        after: The id of the last event that was seen; '' for those from now on.
        rules: How long it tries to come back after a lost connection.
    """

    def __init__(
        self,
        types: str | Sequence[str] | None,
        request_id: str | None,
        owner_id: str,
        after: str,
        rules: Repeating,
    ) -> None:
        query: dict[str, str | Sequence[str]] = {**(whose(owner_id) or {})}
        if not isinstance(types, str):
            where: tuple[str, ...] = ()
            if request_id is not None:
                raise errors.Invalid("the events of a job are those of one type: name it")
            if types is not None:
                if not types:
                    raise errors.Invalid("no type is named; None means all of them")
                query["type"] = [*types]
        else:
            where = ("types", types) if request_id is None else ("v1", types, request_id)
        self.call: Call[object] = Call(data_of, "GET", path(*where, "events"), query=query or None)
        self._request_id = request_id
        self._kind = ""
        self._after = after
        self._rules = rules
        self._attempts = Attempts(self.call, rules)
        self._asked = 0.0

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the next connection."""
        resume = {"Last-Event-ID": self._after} if self._after else {}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store", **resume}

    @property
    def is_over(self) -> bool:
        """Whether the job has ended, so that nothing is to come."""
        return self._request_id is not None and self._kind in _FINAL

    def is_open(self, response: httpx.Response) -> bool:
        """Tell whether the API streams; if so, what it takes to come back is counted anew."""
        if response.status_code != 200:
            return False
        self._attempts.succeeded()
        self._attempts = Attempts(self.call, self._rules)
        return True

    def read(self, received: ServerSentEvent) -> Event | None:
        """Return what was received as an Event; None for one without data."""
        self._after = received.id or self._after
        if received.retry is not None:
            self._asked = received.retry / 1000
        if not received.data:
            return None
        self._kind = received.event
        return Event(received.id, received.event or "message", json.loads(received.data))

    def pause_after(self, outcome: httpx.Response | Exception | None) -> float:
        """Return the seconds before the next connection.

        Args:
            outcome: A refusal, what broke the connection, or None where the API closed it.

        Raises:
            BrokerError: The API refuses the stream.
            Exception: What broke the connection, where it is not to be made again.
        """
        if outcome is None:
            return max(FIRST_PAUSE, self._asked)
        if isinstance(outcome, Exception) and not is_lost(outcome):
            raise outcome
        pause = self._attempts.pause_after(outcome)
        if pause is not None:
            return max(pause, self._asked)
        if isinstance(outcome, httpx.Response):
            envelope_of(outcome)
            raise TypeError("the API answers no stream of events")
        raise outcome
