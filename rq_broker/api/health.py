"""Health over HTTP: whether this process is alive, and whether it can serve."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.responses import ok
from rq_broker.api.views import AliveView, ReadyView, SourceView
from rq_broker.store.broker import Broker

_TYPES = 100
"""Types of which readiness reports outages and sources. It bounds what one probe costs Redis:
with more types, those that come later in the alphabet are not reported."""


class HealthEndpoints:
    """The endpoints /healthz and /readyz."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/healthz", self.alive), Route("/readyz", self.ready)]

    async def alive(self, _: Request) -> Response:
        """Answer 200 as long as the process runs; Redis is not asked."""
        return ok(AliveView())

    async def ready(self, _: Request) -> Response:
        """Answer 200 if Redis answers and takes writes, else 503; report callbacks and sources."""
        await self._broker.ping()
        types = (await self._broker.names())[:_TYPES]
        callbacks, sources = await asyncio.gather(self._callbacks(types), self._sources(types))
        return ok(ReadyView("ok", callbacks, sources))

    async def _sources(self, types: list[str]) -> dict[str, list[SourceView]]:
        """Return the state of the sources of each type that has one."""
        sources_by_type = await asyncio.gather(*map(self._broker.sources, types))
        return {
            type_: [SourceView.of(source) for source in sources]
            for type_, sources in zip(types, sources_by_type, strict=True)
            if sources
        }

    async def _callbacks(self, types: list[str]) -> str:
        """Return `ok`, or a sentence that names the types of which most destinations fail."""
        answers = await asyncio.gather(*(self._broker.destinations(type_, 0) for type_ in types))
        failing = [type_ for type_, (outage, _) in zip(types, answers, strict=True) if outage]
        if not failing:
            return "ok"
        return (
            f"most destinations of type {', '.join(failing)} fail: "
            "check the outgoing network of the notifiers"
        )
