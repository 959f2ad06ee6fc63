"""Destinations over HTTP: the state of each, and how an operator resets one after a repair."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.access import identity_of
from rq_broker.api.own import check_callback, owners_of
from rq_broker.api.paths import type_of
from rq_broker.api.request_body import read_json
from rq_broker.api.responses import ok
from rq_broker.api.views import (
    DestinationsView,
    DestinationView,
    ReceiverTestView,
    RequeuedView,
)
from rq_broker.domain.validation import NAME
from rq_broker.egress.callback import destination
from rq_broker.egress.rules import Egress
from rq_broker.store.broker import Broker

_TEST = "/types/{type}/destinations/tests/{test}"


class DestinationEndpoints:
    """The endpoints below /types/{type}/destinations."""

    def __init__(
        self, broker: Broker, callback_base: str | None = None, egress: Egress | None = None
    ) -> None:
        self._broker = broker
        self._callback_base = callback_base
        self._egress = egress

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/destinations", self.destinations),
            Route("/types/{type}/destinations/reset", self.reset, methods=["POST"]),
            Route("/types/{type}/destinations/requeue", self.requeue, methods=["POST"]),
            Route(_TEST, self.send_test, methods=["PUT"]),
            Route(_TEST, self.receiver_test),
        ]

    async def destinations(self, request: Request) -> Response:
        """List the destinations of callbacks, and whether most of them fail.

        At most 1,000: open breakers first, then the latest used.
        """
        outage, destinations = await self._broker.destinations(
            type_of(request), owners=owners_of(request, "")
        )
        views = [DestinationView.of(destination) for destination in destinations]
        return ok(DestinationsView(outage, views))

    async def reset(self, request: Request) -> Response:
        """Close the breakers of a destination, end its pauses, and send its parked callbacks."""
        body = bodies.destination(await read_json(request))
        await self._broker.reset(type_of(request), body.destination, body.owner)
        return ok({})

    async def requeue(self, request: Request) -> Response:
        """Requeue every job whose callbacks to a destination failed, and count them."""
        body = bodies.destination(await read_json(request))
        count = await self._broker.requeue(type_of(request), body.destination, body.owner)
        return ok(RequeuedView(count))

    async def send_test(self, request: Request) -> Response:
        """Have a notifier send one test message to a receiver, as it sends callbacks."""
        body = bodies.receiver_test(await read_json(request))
        receiver = destination(body.callback, self._callback_base, self._egress)
        check_callback(identity_of(request), receiver)
        test = await self._broker.send_test(
            type_of(request), _test_of(request), body.callback, receiver, body.owner
        )
        return ok(ReceiverTestView.of(test))

    async def receiver_test(self, request: Request) -> Response:
        """Read a test message: whether it was sent, and what the receiver answered."""
        test = await self._broker.receiver_test(type_of(request), _test_of(request))
        return ok(ReceiverTestView.of(test))


def _test_of(request: Request) -> str:
    return NAME.check(request.path_params["test"], "test")
