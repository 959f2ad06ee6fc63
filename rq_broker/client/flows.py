"""What takes several calls, written once for both clients.

A flow is a generator. It yields a Call or a Pause, and is resumed with the result of the call, or
with the exception that it raised. A flow does no I/O: each client has a loop of a few lines that
sends the calls and makes the pauses. So there is one source for sync and async, no generated file,
and the types are checked once.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from rq_broker.client.call import Call, envelope_of, unsendable, warnings_of
from rq_broker.client.repeating import Attempts, Repeating, is_lost

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Pause:
    """Ask the client to wait."""

    seconds: float


Flow = Generator[Call[Any] | Pause, Any, Result]
"""What a client carries out; its end is the result."""
Exchanges = Generator[Call[Any] | Pause, httpx.Response, Result]
"""A flow whose calls are sent once each; it gets the responses."""


def ask(call: Call[Result]) -> Flow[Result]:
    """Send one call, repeated as the client's rules say, and return its result."""
    result: Result = yield call
    return result


def repeated(call: Call[Result], rules: Repeating) -> Exchanges[Result]:
    """Send a call until it has an answer that stays, or the rules end it.

    Raises:
        BrokerError: The API refuses the call.
        Invalid: Some text in it cannot be sent.
        httpx.TransportError: The last attempt had no answer.
    """
    attempts = Attempts(call, rules)
    while True:
        try:
            response = yield call
        except UnicodeEncodeError as error:
            raise unsendable(error) from error
        except Exception as trouble:
            if not is_lost(trouble):
                raise
            pause = attempts.pause_after(trouble)
            if pause is None:
                raise
        else:
            pause = attempts.pause_after(response)
            if pause is None:
                envelope = envelope_of(response)
                result = call.extract(envelope)
                attempts.succeeded()
                if rules.warned:
                    for warning in warnings_of(call, envelope):
                        rules.warned(warning)
                return result
        yield Pause(pause)
