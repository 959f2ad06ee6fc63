"""The application's outermost and innermost layers, in place of Starlette's own for errors.

Starlette's two wrap every message that is sent, and make a request of their own. A layer that only
forwards returns what the next one awaits: a coroutine more costs a submit up to 1 µs of its 130.
"""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rq_broker.api.inbox import INBOX
from rq_broker.api.request_ids import request_id_of
from rq_broker.api.responses import HANDLERS, failed
from rq_broker.domain import errors
from rq_broker.domain.correlation import REQUEST_ID


class Application(Starlette):
    """Starlette's application with our layers only: 5 µs of CPU less of a submit's 150."""

    def build_middleware_stack(self) -> ASGIApp:
        """Return what a request passes, down to the router."""
        app: ASGIApp = self.router.app
        for layer, arguments, options in reversed(self.user_middleware):
            app = layer(app, *arguments, **options)
        return app


class Outermost:
    """Gives each request its ID as `scope["request_id"]`, and its answer the header.

    What nobody foresaw it answers with 500, and raises it again, so that the server logs it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request; add the header to the head of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["request_id"] = request_id_of(scope["headers"])
        header, has_begun = (REQUEST_ID, request_id.encode()), False

        def send_named(message: Message) -> Awaitable[None]:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message["headers"] = [*message["headers"], header]
            return send(message)

        try:
            await self._app(scope, receive, send_named)
        except Exception:
            if not has_begun:
                sentence = "internal error; the server's log has the details"
                await failed(errors.Internal(sentence))(scope, receive, send_named)
            raise


class Innermost:
    """Answers errors by their handlers, and refuses every POST that is itself a callback.

    So no job makes a broker call a broker. The egress rules refuse the addresses at which this
    process listens; they do not know those of other API processes or of a load balancer before
    them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or refuse it."""
        try:
            if scope["type"] == "http" and scope["method"] == "POST":
                _refuse_callback(scope)
            await self._app(scope, receive, send)
        except (errors.BrokerError, HTTPException, ClientDisconnect) as error:
            request = Request(scope, receive, send)
            answer = next(HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS)
            await (await answer(request, error))(scope, receive, send)


def _refuse_callback(scope: Scope) -> None:
    """Raise CallbackForbidden for what is signed as a callback, unless it is for the inbox."""
    for name, _ in scope["headers"]:
        if name == b"webhook-id":
            path: str = scope["path"].removeprefix(scope.get("root_path", ""))
            if not path.startswith(INBOX):
                raise errors.CallbackForbidden("callbacks must not go to the broker's own API")
