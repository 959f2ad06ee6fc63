"""Health over HTTP: whether this process lives, and whether it can serve."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.responses import ok
from rq_broker.api.views import source_json
from rq_broker.store.broker import Broker

_TYPES = 100
"""Types that are looked at for an outage, so that being asked often stays cheap."""


class Health:
    """The endpoints of /healthz and /readyz."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/healthz", self.alive), Route("/readyz", self.ready)]

    async def alive(self, _: Request) -> Response:
        """Answer, which is all there is to prove."""
        return ok({"alive": True})

    async def ready(self, _: Request) -> Response:
        """Answer once Redis is reachable and fit, 503 while not; with callbacks and sources."""
        await self._broker.ping()
        names = (await self._broker.names())[:_TYPES]
        callbacks, sources = await asyncio.gather(self._callbacks(names), self._sources(names))
        return ok({"redis": "ok", "callbacks": callbacks, "sources": sources})

    async def _sources(self, names: list[str]) -> dict[str, list[dict[str, Any]]]:
        found = await asyncio.gather(*map(self._broker.sources, names))
        return {
            name: [source_json(source) for source in sources]
            for name, sources in zip(names, found, strict=True)
            if sources
        }

    async def _callbacks(self, names: list[str]) -> str:
        seen = await asyncio.gather(*(self._broker.destinations(name, 0) for name in names))
        failing = [name for name, (outage, _) in zip(names, seen, strict=True) if outage]
        if not failing:
            return "ok"
        which = ", ".join(failing)
        return f"most destinations of type {which} fail: look at the way out of this network"
