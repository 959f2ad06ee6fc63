"""Sign-in at an issuer, for browsers: they are sent there, and come back with a session.

These are pages, no operations: a program has its credential, and sends it.
"""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rq_broker.api.responses import PRIVATE
from rq_broker.api.session_cookie import cookie_header, secret_of
from rq_broker.api.signing_in import sign_in
from rq_broker.domain import errors
from rq_broker.identity.oidc import Attempt, OidcSignIn
from rq_broker.identity.sessions import Sessions

_PATH = "/session/oidc"
_COOKIE = "rq_broker_sign_in"
_ATTRIBUTES = "; SameSite=Lax; Max-Age=600"
"""It must come along when the issuer sends the browser back; who needs ten minutes begins anew."""
_MOST_CHARACTERS = 1024
"""Longest path to come back to."""


class OidcPages:
    """The pages /session/oidc, where a sign-in begins, and its callback, where it ends."""

    def __init__(self, sign_in: OidcSignIn, sessions: Sessions) -> None:
        self._sign_in = sign_in
        self._sessions = sessions

    def routes(self) -> list[Route]:
        """List the routes."""
        return [Route(_PATH, self.begin), Route(f"{_PATH}/callback", self.end)]

    async def begin(self, request: Request) -> Response:
        """Send the browser to the issuer."""
        attempt = Attempt.new(_back(request))
        try:
            url = await self._sign_in.begin(attempt, _callback(request))
        except errors.BrokerError as error:
            return _refused(attempt.back, error)
        answer = _redirect(url)
        answer.raw_headers.append(_kept(request, str(attempt)))
        return answer

    async def end(self, request: Request) -> Response:
        """Begin the session of who has signed in there, and lead back to the page."""
        attempt = Attempt.parse(secret_of(request.scope, _COOKIE) or "")
        if attempt is None:
            error = errors.SignInRefused("this browser has begun no sign-in")
            return _refused(request.scope.get("root_path", "") + "/", error)
        try:
            identity = await self._sign_in.end(
                attempt, dict(request.query_params), _callback(request)
            )
            begin = self._sessions.begin_at_issuer(identity)
            cookie = await sign_in(request, self._sessions, identity, begin)
        except errors.BrokerError as error:
            answer = _refused(attempt.back, error)
        else:
            answer = _redirect(attempt.back)
            answer.raw_headers.append(cookie)
        answer.raw_headers.append(_kept(request, ""))
        return answer


def _redirect(url: str) -> Response:
    headers = {**PRIVATE, "location": url, "referrer-policy": "no-referrer"}
    return Response(status_code=303, headers=headers)


def _refused(back: str, error: errors.BrokerError) -> Response:
    """Lead back to the page, which says in words why nobody is signed in."""
    path = back.partition("?")[0]
    return _redirect(f"{path}?{urlencode({'sign_in': error.code})}")


def _kept(request: Request, value: str) -> tuple[bytes, bytes]:
    return cookie_header(request.scope, value, _COOKIE, _ATTRIBUTES if value else "; SameSite=Lax")


def _callback(request: Request) -> str:
    scope = request.scope
    host = request.headers.get("host", "")
    return f"{scope['scheme']}://{host}{scope.get('root_path', '')}{_PATH}/callback"


def _back(request: Request) -> str:
    """Return the path to come back to: one of this API, whatever the query asks for."""
    root = request.scope.get("root_path", "") + "/"
    path = request.query_params.get("to", "")
    is_ours = path.startswith(root) and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours and path.isascii() and len(path) <= _MOST_CHARACTERS else root
