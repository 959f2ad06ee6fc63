"""Types over HTTP: what waits in each, and the policy it is run by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.paths import type_name
from rq_broker.api.responses import ok, read_json
from rq_broker.domain.jobs import Status
from rq_broker.domain.policy import Policy
from rq_broker.store.broker import Broker


class Types:
    """The endpoints of /v1 and /types/{type}."""

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
        """Count the jobs of every type, per status."""
        types = await self._broker.types()
        return ok({name: _shown(counts) for name, counts in types.items()})

    async def policy(self, request: Request) -> Response:
        """Show a type's policy and counts."""
        type_ = type_name(request.path_params["type"])
        return await self._answer(type_, await self._broker.policy(type_))

    async def set_policy(self, request: Request) -> Response:
        """Change the named fields of a type's policy."""
        type_ = type_name(request.path_params["type"])
        wanted = bodies.policy(await read_json(request))
        return await self._answer(type_, await self._broker.set_policy(type_, wanted))

    async def _answer(self, type_: str, policy: Policy) -> Response:
        counts = await self._broker.counts(type_)
        return ok({"name": type_, "policy": asdict(policy), "counts": _shown(counts)})


def _shown(counts: Mapping[Status, int]) -> dict[str, int]:
    return {status.value: count for status, count in counts.items()}
