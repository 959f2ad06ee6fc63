"""An endpoint for Starlette and FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from rq_broker.receiver.events import Event
from rq_broker.receiver.functions import Handler, is_async, named_like
from rq_broker.receiver.inbox import Answer, Inbox
from rq_broker.receiver.repeats import Repeats
from rq_broker.receiver.verifying import MOST_BYTES, TOLERANCE, Keys


def receive(
    handler: Handler, keys: Keys, *, repeats: Repeats | None = None, tolerance: float = TOLERANCE
) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that lets a function take each event once.

    `Route("/granted", receive(handler, KEY), methods=["POST"])`, or
    `app.add_route("/granted", receive(handler, KEY), methods=["POST"])`.

    Args:
        handler: Takes the event; a coroutine function, or an ordinary one, which runs in a thread.
            It raises NotWanted to give the capacity up. After another error the broker tries again.
        keys: See verify.
        repeats: What remembers messages; None: this process, see InMemory.
        tolerance: Seconds that a message may be old, or from the future.
    """
    inbox = Inbox(keys, repeats, tolerance)

    async def endpoint(request: Request) -> Response:
        body = await _body(request)
        event = await run_in_threadpool(inbox.begin, request.headers, body)
        if isinstance(event, Answer):
            return _response(event)
        error = await _error_of(handler, event)
        if error is not None and not isinstance(error, Exception):  # cancelled: no more awaiting
            return _response(inbox.end(event, error))
        return _response(await run_in_threadpool(inbox.end, event, error))

    return named_like(endpoint, handler)


async def _error_of(handler: Any, event: Event) -> BaseException | None:
    """Let a function take an event; return what it raised, a cancellation too."""
    try:
        if is_async(handler):
            await handler(event)
        else:
            await run_in_threadpool(handler, event)
    except BaseException as error:
        return error
    return None


async def _body(request: Request) -> bytes:
    """Read the body, and no more of it than a byte beyond what is allowed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk[: MOST_BYTES + 1 - len(body)]
        if len(body) > MOST_BYTES:
            break
    return bytes(body)


def _response(answer: Answer) -> Response:
    if answer.text:
        return PlainTextResponse(answer.text, answer.status)
    return Response(status_code=answer.status)
