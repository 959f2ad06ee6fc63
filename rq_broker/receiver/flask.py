"""A view for Flask."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response, request

from rq_broker.receiver.functions import Handler, named_like, require_plain
from rq_broker.receiver.inbox import Inbox
from rq_broker.receiver.repeats import Repeats
from rq_broker.receiver.verifying import MOST_BYTES, TOLERANCE, Keys


def receive(
    handler: Handler, keys: Keys, *, repeats: Repeats | None = None, tolerance: float = TOLERANCE
) -> Callable[[], Response]:
    """Return a view that lets a function take each event once.

    `app.add_url_rule("/granted", view_func=receive(handler, KEY), methods=["POST"])`.

    Args:
        handler: Takes the event. It raises NotWanted to give the capacity up; after another error
            the broker tries again.
        keys: See verify.
        repeats: What remembers messages; None: this process, see InMemory.
        tolerance: Seconds that a message may be old, or from the future.
    """
    require_plain(handler, "Flask")
    inbox = Inbox(keys, repeats, tolerance)

    def view() -> Response:
        answer = inbox.take(handler, dict(request.headers), request.stream.read(MOST_BYTES + 1))
        return Response(answer.text, answer.status, mimetype="text/plain")

    return named_like(view, handler)
