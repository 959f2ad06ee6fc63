"""Destinations over HTTP: which receivers answer, and what an operator does once one is mended."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.paths import type_name
from rq_broker.api.responses import ok, read_json
from rq_broker.api.views import destination_json
from rq_broker.store.broker import Broker


class Destinations:
    """The endpoints of /types/{type}/destinations."""

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
        """List where callbacks go and how that fares; whether most fail, a fault on our side.

        The first 1,000: those whose breaker is open, then the latest.
        """
        outage, found = await self._broker.destinations(_type(request))
        return ok({"outage": outage, "destinations": [destination_json(each) for each in found]})

    async def reset(self, request: Request) -> Response:
        """Forget what is held against a destination: its breaker closes, its callbacks go out."""
        await self._broker.reset(_type(request), bodies.destination(await read_json(request)))
        return ok({})

    async def requeue(self, request: Request) -> Response:
        """Put every job back in line whose callbacks to a destination failed; say how many."""
        meant = bodies.destination(await read_json(request))
        return ok({"requeued": await self._broker.requeue(_type(request), meant)})


def _type(request: Request) -> str:
    return type_name(request.path_params["type"])
