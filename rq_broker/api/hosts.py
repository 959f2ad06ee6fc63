"""Hosts over HTTP: the capacity that jobs wait for."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.paths import type_name
from rq_broker.api.responses import ok, read_json
from rq_broker.api.views import host_json
from rq_broker.store.broker import Broker


class Hosts:
    """The endpoints of /types/{type}/hosts."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/hosts", self.hosts),
            Route("/types/{type}/hosts/{host}", self.host),
            Route("/types/{type}/hosts/{host}", self.set_host, methods=["PUT"]),
            Route("/types/{type}/hosts/{host}", self.drop_host, methods=["DELETE"]),
        ]

    async def hosts(self, request: Request) -> Response:
        """List a type's hosts by name."""
        found = await self._broker.hosts(type_name(request.path_params["type"]))
        return ok([host_json(host) for host in found])

    async def host(self, request: Request) -> Response:
        """Show one host."""
        return ok(host_json(await self._broker.host(*_named(request))))

    async def set_host(self, request: Request) -> Response:
        """Publish a host; 201 when it is new."""
        type_, name = _named(request)
        host = bodies.host(name, await read_json(request))
        if await self._broker.set_host(type_, host):
            location = f"/types/{quote(type_, safe='')}/hosts/{quote(name, safe='')}"
            return ok(host_json(host), 201, [(b"location", location.encode())])
        return ok(host_json(await self._broker.host(type_, name)))

    async def drop_host(self, request: Request) -> Response:
        """Take a host out of service; holds on it stay until they are released."""
        await self._broker.drop_host(*_named(request))
        return ok({})


def _named(request: Request) -> tuple[str, str]:
    params = request.path_params
    return type_name(params["type"]), params["host"]
