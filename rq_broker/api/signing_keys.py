"""Signing keys over HTTP: they are set, and only their fingerprints are ever shown."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.access import check_owner, identity_of
from rq_broker.api.paths import type_of
from rq_broker.api.request_body import read_json
from rq_broker.api.responses import ok
from rq_broker.domain.errors import Forbidden
from rq_broker.domain.fingerprint import fingerprint
from rq_broker.domain.identity import Role
from rq_broker.store.broker import Broker

EVERYBODY = "*"
"""Stands for every owner without keys of its own."""


class SigningKeyEndpoints:
    """The endpoints of /types/{type}/keys."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/types/{type}/keys", self.keys),
            Route("/types/{type}/keys", self.set_keys, methods=["PUT"]),
        ]

    async def keys(self, request: Request) -> Response:
        """List the fingerprints of every owner's signing keys, the newest first."""
        return await self._fingerprints(request)

    async def set_keys(self, request: Request) -> Response:
        """Set the signing keys of one owner, or of every owner without keys of its own."""
        type_ = type_of(request)
        owner, keys = bodies.signing_keys(await read_json(request))
        if owner == EVERYBODY and identity_of(request).role is not Role.ADMIN:
            raise Forbidden("the keys of every owner without its own are for an admin to set")
        check_owner(request, owner)
        await self._broker.set_keys(type_, owner, keys)
        return await self._fingerprints(request)

    async def _fingerprints(self, request: Request) -> Response:
        keys_by_owner = await self._broker.keys(type_of(request))
        owns = identity_of(request).owns
        return ok(
            {
                owner: [fingerprint(key) for key in keys]
                for owner, keys in keys_by_owner.items()
                if owns(owner)
            }
        )
