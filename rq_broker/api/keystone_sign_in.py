"""Sign-in with a user and a password of OpenStack: a page, no operation. Programs have a token."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.request_body import read_json
from rq_broker.api.responses import ok
from rq_broker.api.signing_in import count_attempt, sign_in
from rq_broker.domain import errors
from rq_broker.domain.sign_in import KeystoneLogin, keystone_login
from rq_broker.identity import Authenticator
from rq_broker.identity.keystone import KeystoneAuthenticator
from rq_broker.identity.sessions import Sessions
from rq_broker.store.broker import Broker
from rq_broker.store.rates import Bucket

_GUESSES, _GUESSES_A_SECOND = 10, 0.02
"""Passwords of one user that may be tried at once, from everywhere together, and how many more come
each second: some 1,700 a day."""


class KeystonePages:
    """The page /session/keystone."""

    def __init__(
        self, broker: Broker, authenticators: Iterable[Authenticator], sessions: Sessions
    ) -> None:
        self._broker = broker
        (self._authenticator,) = (
            each for each in authenticators if isinstance(each, KeystoneAuthenticator)
        )
        self._sessions = sessions

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route("/session/keystone", self.create_session, methods=["POST"])]

    async def create_session(self, request: Request) -> Response:
        """Begin a session for a browser by a user, a password and a project."""
        login = keystone_login(await read_json(request))
        await self._count(login)
        headers = {"x-auth-token": await self._authenticator.log_in(login)}
        identity = await self._authenticator.identify(headers)
        if identity is None:
            raise errors.KeystoneRefused("Keystone has given no token")
        begin = self._sessions.begin(identity, headers)
        return ok({}, [await sign_in(request, self._sessions, identity, begin)])

    async def _count(self, login: KeystoneLogin) -> None:
        user = sha256(f"{login.domain}\0{login.user}".encode()).hexdigest()[:32]
        bucket = Bucket(f"sign_in_user:{user}", _GUESSES_A_SECOND, _GUESSES)
        await count_attempt(self._broker, bucket, "as this user")
