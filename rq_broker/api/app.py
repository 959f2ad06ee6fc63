"""The HTTP facade: translates, and holds no rules of its own."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.admission.explain import Answers
from rq_broker.admission.snapshot import Outlook
from rq_broker.api.destinations import Destinations
from rq_broker.api.health import Health
from rq_broker.api.hosts import Hosts
from rq_broker.api.inbox import Inbox
from rq_broker.api.jobs import Jobs
from rq_broker.api.keys import SigningKeys
from rq_broker.api.middleware import NoCallbacks, OneSlash
from rq_broker.api.openapi import Docs
from rq_broker.api.questions import Questions
from rq_broker.api.responses import HANDLERS, ok, read
from rq_broker.api.types import Types
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Broker

__all__ = ["create_app"]


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
