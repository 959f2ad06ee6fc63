"""What the endpoints of all frameworks have in common: from a request to a status."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from rq_broker.receiver.events import Event
from rq_broker.receiver.refusals import Refused
from rq_broker.receiver.repeats import InMemory, Repeats
from rq_broker.receiver.verifying import TOLERANCE, Keys, parse_keys, verify_with

TAKEN = 204
"""The capacity is taken: the job is running."""
NOT_WANTED = 410
"""It is given up: the job is in error, with `withdrawn by the client`."""


class NotWanted(Exception):
    """Raised by the function that takes an event, where the job is no longer wanted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the broker gets."""

    status: int
    text: str = ""
    """Why, for whoever reads a log between."""


class Inbox:
    """Opens messages, each once."""

    def __init__(
        self, keys: Keys, repeats: Repeats | None = None, tolerance: float = TOLERANCE
    ) -> None:
        """Set what messages are checked by. Raises ValueError for a key that is none.

        Args:
            keys: See verify.
            repeats: What remembers messages; None: this process, see InMemory.
            tolerance: Seconds that a message may be old, or from the future.
        """
        self._secrets = parse_keys(keys)
        self._repeats = repeats or InMemory()
        self._tolerance = tolerance

    def begin(self, headers: Mapping[str, str], body: bytes) -> Event | Answer:
        """Return the event that is to be taken now, or the answer if there is nothing to do."""
        try:
            event = verify_with(headers, body, self._secrets, self._tolerance)
        except Refused as refused:
            return Answer(refused.status, str(refused))
        status = self._repeats.begin(event.id)
        return event if status is None else Answer(status)

    def end(self, event: Event, error: BaseException | None) -> Answer:
        """Remember how an event was taken, and return the answer.

        Args:
            event: What `begin` returned.
            error: What the function raised that takes it. Any but NotWanted is raised again, and
                the message is forgotten: the broker tries again.
        """
        if error is None:
            answer = Answer(TAKEN)
        elif isinstance(error, NotWanted):
            answer = Answer(NOT_WANTED, str(error))
        else:
            with suppress(Exception):  # the first error is the one to see
                self._repeats.end(event.id, None)
            raise error
        self._repeats.end(event.id, answer.status)
        return answer

    def take(
        self, handler: Callable[[Event], object], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Open a message, let an ordinary function take the event, and return the answer."""
        event = self.begin(headers, body)
        if isinstance(event, Answer):
            return event
        try:
            handler(event)
        except BaseException as error:
            return self.end(event, error)
        return self.end(event, None)
