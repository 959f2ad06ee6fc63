"""A view for Django."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from rq_broker.receiver.functions import Handler, named_like, require_plain
from rq_broker.receiver.inbox import Inbox
from rq_broker.receiver.repeats import Repeats
from rq_broker.receiver.verifying import MOST_BYTES, TOLERANCE, Keys


def receive(
    handler: Handler, keys: Keys, *, repeats: Repeats | None = None, tolerance: float = TOLERANCE
) -> Callable[..., HttpResponse]:
    """Return a view that lets a function take each event once.

    `path("granted", receive(handler, KEY))`. The signature stands in for the token against forged
    forms.

    Args:
        handler: Takes the event. It raises NotWanted to give the capacity up; after another error
            the broker tries again.
        keys: See verify.
        repeats: What remembers messages; None: this process, see InMemory.
        tolerance: Seconds that a message may be old, or from the future.
    """
    require_plain(handler, "Django")
    inbox = Inbox(keys, repeats, tolerance)

    def view(request: HttpRequest) -> HttpResponse:
        answer = inbox.take(handler, request.headers, request.read(MOST_BYTES + 1))
        return HttpResponse(answer.text, status=answer.status, content_type="text/plain")

    endpoint: Callable[..., HttpResponse] = csrf_exempt(require_POST(named_like(view, handler)))
    return endpoint
