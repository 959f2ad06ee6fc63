"""Tokens over HTTP, for admins: make, list, rotate and revoke them. A token is shown once."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.paths import location
from rq_broker.api.request_body import read_json
from rq_broker.api.responses import created, ok
from rq_broker.api.views import IssuedView, TokenView
from rq_broker.domain.tokens import new_token, rotation
from rq_broker.identity import tokens
from rq_broker.store.broker import Broker


class TokenEndpoints:
    """The endpoints of /tokens."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route("/tokens", self.tokens),
            Route("/tokens", self.create_token, methods=["POST"]),
            Route("/tokens/{token}", self.rotate_token, methods=["POST"]),
            Route("/tokens/{token}", self.revoke_token, methods=["DELETE"]),
        ]

    async def tokens(self, _: Request) -> Response:
        """List the tokens, those that ended within the last 30 days too."""
        return ok([TokenView.of(token) for token in await self._broker.tokens()])

    async def create_token(self, request: Request) -> Response:
        """Make a token."""
        issued = await tokens.create(self._broker, new_token(await read_json(request)))
        path = location(request, "tokens", issued.name)
        return created(IssuedView.of(issued), path)

    async def rotate_token(self, request: Request) -> Response:
        """Replace a token by another one, which proves the same."""
        how = rotation(await read_json(request, if_empty={}))
        issued = await tokens.rotate(self._broker, request.path_params["token"], how)
        return ok(IssuedView.of(issued))

    async def revoke_token(self, request: Request) -> Response:
        """Refuse a token from now on, and those that it replaced."""
        await self._broker.revoke_token(request.path_params["token"])
        return ok({})
