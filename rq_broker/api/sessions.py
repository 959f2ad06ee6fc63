"""Sessions over HTTP: who asks, signing in and signing out."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.api.access import identity_of, rights_of
from rq_broker.api.responses import ok, refused
from rq_broker.api.session_cookie import cookie_header, secret_of
from rq_broker.api.session_views import SessionView
from rq_broker.api.signing_in import count_attempt, sign_in
from rq_broker.domain import errors
from rq_broker.domain.identity import ANYONE, NOBODY, Identity
from rq_broker.identity.sessions import Sessions
from rq_broker.store.broker import Broker
from rq_broker.store.rates import Bucket

PATH = "/session"
"""Not below /v1, where it would be the line of a type of this name."""
_ATTEMPTS = 20
"""Sign-ins that one address may try at once, as a classroom behind one proxy does."""
_ATTEMPTS_A_SECOND = 0.2
"""And how many more come each second: some 17,000 guesses a day, of 2^256."""


class SessionEndpoints:
    """The endpoints of /session.

    Args:
        sessions: Begins and ends sessions.
        routes: What an identity may have rights to call.
        read_only: Whether every change is refused.
    """

    def __init__(
        self,
        sessions: Sessions,
        routes: Iterable[Route],
        *,
        read_only: bool = False,
    ) -> None:
        self._sessions = sessions
        self._routes = [route for route in routes if route.include_in_schema]
        self._read_only = read_only

    def routes(self) -> list[Route]:
        """List the routes."""
        return [
            Route(PATH, self.session),
            Route(PATH, self.create_session, methods=["POST"]),
            Route(PATH, self.end_session, methods=["DELETE"]),
        ]

    async def session(self, request: Request) -> Response:
        """Answer who asks, and what the identity may call."""
        return ok(self._view(identity_of(request)))

    async def create_session(self, request: Request) -> Response:
        """Sign in: begin a session for a browser, of who asks."""
        identity = identity_of(request)
        if identity is ANYONE:
            return ok(self._view(identity))
        begin = self._sessions.begin(identity, request.headers)
        return ok(self._view(identity), [await sign_in(request, self._sessions, identity, begin)])

    async def end_session(self, request: Request) -> Response:
        """Sign out: end the session of the cookie."""
        secret = secret_of(request.scope)
        if secret is None:
            return ok({})
        await self._sessions.end(secret)
        return ok({}, [cookie_header(request.scope, "")])

    def _view(self, identity: Identity) -> SessionView:
        is_known = identity is not NOBODY
        return SessionView(
            role=identity.role if is_known else None,
            name=identity.name if is_known else None,
            owners=None if identity.owners is None or not is_known else sorted(identity.owners),
            types=None if identity.types is None or not is_known else sorted(identity.types),
            may=rights_of(identity, self._routes, read_only=self._read_only) if is_known else {},
            read_only=self._read_only,
            sign_in=self._sessions.ways,
        )


class SignInLimit:
    """Bounds how often one address may try to sign in, in all API processes together.

    It stands before what proves the credential. While Redis is away nobody signs in anyhow.
    """

    def __init__(self, app: ASGIApp, broker: Broker) -> None:
        self._app = app
        self._broker = broker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or refuse it."""
        if scope["type"] == "http" and PATH in scope["path"] and _tries(scope):
            client = scope.get("client")
            name = f"sign_in:{client[0] if client else ''}"
            bucket = Bucket(name, _ATTEMPTS_A_SECOND, _ATTEMPTS)
            try:
                await count_attempt(self._broker, bucket, "from this address")
            except errors.BrokerError as error:
                await refused(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _tries(scope: Scope) -> bool:
    """Tell whether a request may cost somebody an attempt: what is below PATH asks the issuer."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.startswith(f"{PATH}/") or (path == PATH and scope["method"] == "POST")
