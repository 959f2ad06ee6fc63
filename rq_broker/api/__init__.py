"""The HTTP facade: translates, and holds no rules of its own."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.answers import Answers
from rq_broker.api.destinations import Destinations
from rq_broker.api.envelope import HANDLERS, failed, ok, read
from rq_broker.api.health import Health
from rq_broker.api.hosts import Hosts
from rq_broker.api.inbox import INBOX, Inbox
from rq_broker.api.jobs import Jobs
from rq_broker.api.keys import SigningKeys
from rq_broker.api.openapi import Docs
from rq_broker.api.questions import Questions
from rq_broker.api.types import Types
from rq_broker.broker import Broker
from rq_broker.egress import Egress
from rq_broker.errors import CallbackForbidden, Invalid
from rq_broker.outlook import Outlook

__all__ = ["create_app"]


_NAMED = {
    (b"v1", 0): "type",
    (b"v1", 1): "request_id",
    (b"types", 0): "type",
    (b"types", 2): "the host's name",
}
"""Which name stands where below the first segment of a path."""


class OneSlash:
    """Lets every path answer with and without its trailing slash, without a redirect.

    A slash inside a name, sent as %2F, is refused: decoded, it would part the path at another
    place, and `DELETE /v1/a%2Fb` would take job b of type a.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            raw = scope.get("raw_path") or b""
            if b"%2" in raw and (name := _slashed(raw)):
                await failed(Invalid(f"{name} must not contain '/'"))(scope, receive, send)
                return
            if scope["path"].endswith("/") and scope["path"] != "/":
                scope["path"] = scope["path"][:-1]
        await self._app(scope, receive, send)


def _slashed(raw_path: bytes) -> str | None:
    """Find the name that has an encoded slash in it."""
    root, *names = raw_path.lower().split(b"/")[1:]
    places = (place for place, name in enumerate(names) if b"%2f" in name)
    return next((_NAMED[root, place] for place in places if (root, place) in _NAMED), None)


class NoCallbacks:
    """Refuses what is itself a callback: no job may have the broker POST to a broker's own API.

    The egress rules know the addresses this process listens at, not those of its peers or of what
    stands before them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and _is_callback(scope):
            refusal = CallbackForbidden("callbacks do not go to the broker's own API")
            await failed(refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_callback(scope: Scope) -> bool:
    signed = any(name == b"webhook-id" for name, _ in scope["headers"])
    return signed and not scope["path"].startswith(INBOX)


def create_app(
    broker: Broker,
    *,
    callback_base: str | None = None,
    egress: Egress | None = None,
    inbox: bool = False,
    noop: bool = False,
) -> Starlette:
    """Build the facade of one broker.

    `callback_base` is what relative callbacks resolve against; with None they are refused.
    `egress` refuses callbacks that could never be dialled; None lets the dial decide. `inbox` adds
    the development inbox, `noop` a route to measure against.
    """
    outlook = Outlook(broker)
    routes = [
        *([Route("/noop", _noop, methods=["POST"], include_in_schema=False)] if noop else ()),
        *Jobs(outlook, callback_base, egress).routes(),
        *Questions(Answers(outlook), callback_base, egress).routes(),
        *Types(broker).routes(),
        *Hosts(broker).routes(),
        *Destinations(broker).routes(),
        *SigningKeys(broker).routes(),
        *Health(broker).routes(),
        *(Inbox().routes() if inbox else ()),
    ]
    routes += Docs(routes).routes()
    app = Starlette(
        routes=routes,
        middleware=[Middleware(OneSlash), Middleware(NoCallbacks)],
        exception_handlers=dict(HANDLERS),
    )
    app.router.redirect_slashes = False
    return app


async def _noop(request: Request) -> Response:
    """Read a body and answer: what a request costs before anything is done for it."""
    await read(request)
    return ok({})
