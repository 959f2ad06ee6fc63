"""Who asks, over HTTP: what a page needs to know before it draws anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.access import identity_of, rights_of
from rq_broker.api.responses import ok
from rq_broker.api.session_views import SessionView
from rq_broker.domain.identity import NOBODY


class SessionEndpoints:
    """The endpoints of /session. It is not below /v1, where it would be a type's name.

    Args:
        routes: What an identity may have rights to call.
        sign_in: The ways to sign in.
        read_only: Whether every change is refused.
    """

    def __init__(
        self, routes: Iterable[Route], sign_in: Sequence[str], *, read_only: bool = False
    ) -> None:
        self._routes = [route for route in routes if route.include_in_schema]
        self._sign_in = list(sign_in)
        self._read_only = read_only

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/session", self.session)]

    async def session(self, request: Request) -> Response:
        """Answer who asks, and what the identity may call."""
        identity = identity_of(request)
        is_known = identity is not NOBODY
        view = SessionView(
            role=identity.role if is_known else None,
            name=identity.name if is_known else None,
            owners=None if identity.owners is None or not is_known else sorted(identity.owners),
            types=None if identity.types is None or not is_known else sorted(identity.types),
            may=rights_of(identity, self._routes, read_only=self._read_only) if is_known else {},
            read_only=self._read_only,
            sign_in=self._sign_in,
        )
        return ok(view)
