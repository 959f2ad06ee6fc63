"""Hosts and their sources over HTTP: list, read, publish, drop and forget them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import to_builtins
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.access import identity_of, scope_of
from rq_broker.api.host_totals import totals_of
from rq_broker.api.paths import host_of, location, source_of, type_of
from rq_broker.api.request_body import read_json
from rq_broker.api.responses import created, ok, warned
from rq_broker.api.roles import Scope
from rq_broker.api.views import HostView, SourceView
from rq_broker.domain.capacity import COMPUTED, Host
from rq_broker.domain.errors import HostNotFound
from rq_broker.domain.host_warnings import warning_of
from rq_broker.domain.validation import NEW_HOST_NAME
from rq_broker.store.broker import Broker


class HostEndpoints:
    """The endpoints below /types/{type}/hosts and /types/{type}/sources."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/hosts", self.hosts),
            Route("/types/{type}/hosts/{host}", self.host),
            Route("/types/{type}/hosts/{host}", self.set_host, methods=["PUT"]),
            Route("/types/{type}/hosts/{host}", self.patch_host, methods=["PATCH"]),
            Route("/types/{type}/hosts/{host}", self.drop_host, methods=["DELETE"]),
            Route("/types/{type}/sources", self.sources),
            Route("/types/{type}/sources/{source}", self.forget_source, methods=["DELETE"]),
        ]

    async def hosts(self, request: Request) -> Response:
        """List the hosts of a type by name; to clients the sums of each aggregate only."""
        hosts = await self._broker.hosts(type_of(request))
        if scope_of(request) is Scope.TOTALS:
            return ok(totals_of(hosts))
        return ok([HostView.of(host) for host in hosts if _is_shown(request, host)])

    async def host(self, request: Request) -> Response:
        """Read one host."""
        type_, name = host_of(request)
        host = await self._broker.host(type_, name)
        if not _is_shown(request, host):
            raise HostNotFound(f"no host {name} in type {type_}")
        return ok(HostView.of(host))

    async def set_host(self, request: Request) -> Response:
        """Publish a host: 201 if it is new, 200 if it replaces one."""
        type_, name = host_of(request)
        NEW_HOST_NAME.check(name, "the host's name")
        body = await read_json(request)
        host = bodies.host(name, body)
        before = await self._before(type_, name, body)
        if await self._broker.set_host(type_, host, _publisher(request)):
            path = location(request, "types", type_, "hosts", name)
            return created(HostView.of(host), path, **_odd(host, body, before))
        return _published(await self._broker.host(type_, name), body, before)

    async def _before(self, type_: str, name: str, body: Mapping[str, Any]) -> Host | None:
        """Return the host as it is, where a body has fields that are compared with it."""
        if body.keys().isdisjoint(COMPUTED):
            return None
        try:
            return await self._broker.host(type_, name)
        except HostNotFound:
            return None

    async def patch_host(self, request: Request) -> Response:
        """Change what is named of a host, and nothing else: a JSON Merge Patch."""
        type_, name = host_of(request)
        patch = bodies.host_patch(await read_json(request))
        before = await self._before(type_, name, patch)
        await self._broker.patch_host(type_, name, patch, _publisher(request))
        return _published(await self._broker.host(type_, name), patch, before)

    async def drop_host(self, request: Request) -> Response:
        """Take a host out of service; its holds stay until they are released."""
        await self._broker.drop_host(*host_of(request), _publisher(request))
        return ok({})

    async def sources(self, request: Request) -> Response:
        """List the sources that report hosts of a type."""
        sources = await self._broker.sources(type_of(request))
        return ok([SourceView.of(source) for source in sources])

    async def forget_source(self, request: Request) -> Response:
        """Forget a source that is not polled any more; its hosts go out of service."""
        await self._broker.forget_source(*source_of(request))
        return ok({})


def _published(host: Host, body: Mapping[str, Any], before: Host | None) -> Response:
    """Return the answer to a change of a host, with a warning of what is odd about it."""
    return ok(HostView.of(host), **_odd(host, body, before))


def _odd(host: Host, body: Mapping[str, Any], before: Host | None) -> dict[str, Any]:
    """Return the warning of what is odd about a host, and about the body that set it."""
    texts = (warning_of(host), _in_vain(body, before, host))
    return warned("; ".join(filter(None, texts)))


def _in_vain(body: Mapping[str, Any], before: Host | None, after: Host) -> str:
    """Name what a body would set of what the broker computes; '' if it only repeats that."""
    hosts = [to_builtins(HostView.of(host)) for host in (before, after) if host]
    names = [
        name
        for name in COMPUTED
        if body.get(name) is not None and all(body[name] != host.get(name) for host in hosts)
    ]
    words = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)
    return words and f"the broker computes {words}: the body's value is ignored"


def _publisher(request: Request) -> str | None:
    """Return who may publish, replace and see its own hosts only; None for who may all of them."""
    return identity_of(request).name if scope_of(request) is Scope.OWN else None


def _is_shown(request: Request, host: Host) -> bool:
    publisher = _publisher(request)
    return publisher is None or host.publisher == publisher
