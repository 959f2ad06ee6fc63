"""Types over HTTP: their counts and their policy."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.paths import type_of
from rq_broker.api.request_body import read_json
from rq_broker.api.responses import ok
from rq_broker.api.views import TypeView
from rq_broker.domain.policy import Policy
from rq_broker.store.broker import Broker


class TypeEndpoints:
    """The endpoints /v1 and /types/{type}."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/v1", self.types),
            Route("/types/{type}", self.policy),
            Route("/types/{type}", self.set_policy, methods=["PUT"]),
        ]

    async def types(self, _: Request) -> Response:
        """Count the jobs of every type, by status."""
        return ok(await self._broker.types())

    async def policy(self, request: Request) -> Response:
        """Read the policy and the counts of a type."""
        type_ = type_of(request)
        return await self._type(type_, await self._broker.policy(type_))

    async def set_policy(self, request: Request) -> Response:
        """Change the given fields of the policy of a type."""
        type_ = type_of(request)
        changes = bodies.policy(await read_json(request))
        return await self._type(type_, await self._broker.set_policy(type_, changes))

    async def _type(self, type_: str, policy: Policy) -> Response:
        counts = await self._broker.counts(type_)
        return ok(TypeView(type_, policy, counts))
