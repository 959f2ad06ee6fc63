"""Destinations over HTTP: the state of each, and how an operator resets one after a repair."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.own import owners_of
from rq_broker.api.paths import type_of
from rq_broker.api.request_body import read_json
from rq_broker.api.responses import ok
from rq_broker.api.views import DestinationsView, DestinationView, RequeuedView
from rq_broker.store.broker import Broker


class DestinationEndpoints:
    """The endpoints below /types/{type}/destinations."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/destinations", self.destinations),
            Route("/types/{type}/destinations/reset", self.reset, methods=["POST"]),
            Route("/types/{type}/destinations/requeue", self.requeue, methods=["POST"]),
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
