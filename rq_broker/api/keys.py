"""Signing keys over HTTP: secrets go in and never come out, fingerprints tell them apart."""

from __future__ import annotations

from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api import bodies
from rq_broker.api.paths import type_name
from rq_broker.api.responses import ok, read_json
from rq_broker.store.broker import Broker


class SigningKeys:
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
        """Show the fingerprints of every owner's signing keys, the newest first."""
        return await self._answer(type_name(request.path_params["type"]))

    async def set_keys(self, request: Request) -> Response:
        """Set the signing keys of an owner, or of all who have none of their own."""
        type_ = type_name(request.path_params["type"])
        owner, keys = bodies.signing_keys(await read_json(request))
        await self._broker.set_keys(type_, owner, keys)
        return await self._answer(type_)

    async def _answer(self, type_: str) -> Response:
        found = await self._broker.keys(type_)
        return ok({owner: [_fingerprint(key) for key in keys] for owner, keys in found.items()})


def _fingerprint(key: str) -> str:
    # Of the text, not the secret in it: a key that another service spelled badly has one too.
    return sha256(key.encode(errors="surrogateescape")).hexdigest()[:8]
