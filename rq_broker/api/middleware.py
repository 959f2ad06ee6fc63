"""What every request passes before it reaches a route."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.api.inbox import INBOX
from rq_broker.api.responses import failed
from rq_broker.domain.errors import CallbackForbidden, Invalid

_PARAMETERS = {
    (b"v1", 0): "type",
    (b"v1", 1): "request_id",
    (b"types", 0): "type",
    (b"types", 2): "the host's name",
    (b"tokens", 0): "the token's name",
}
"""(first segment of the path, index of a later segment) → the name that the later one holds."""


class TrailingSlash:
    """Makes every path answer with and without its trailing slash, without a redirect.

    It refuses a slash inside a name, sent as %2F: the router sees decoded paths, so
    `DELETE /v1/a%2Fb` would withdraw job b of type a.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request without its trailing slash, or refuse it."""
        if scope["type"] == "http":
            raw_path = (scope.get("raw_path") or b"").removeprefix(_root_path(scope).encode())
            if b"%2" in raw_path and (parameter := _parameter_with_slash(raw_path)):
                await failed(Invalid(f"{parameter} must not contain '/'"))(scope, receive, send)
                return
            if scope["path"].endswith("/") and scope["path"] != f"{_root_path(scope)}/":
                scope["path"] = scope["path"][:-1]
        await self._app(scope, receive, send)


def _parameter_with_slash(raw_path: bytes) -> str | None:
    """Return the first parameter of the path that holds an encoded slash."""
    root, *segments = raw_path.lower().split(b"/")[1:]
    for index, segment in enumerate(segments):
        if b"%2f" in segment and (root, index) in _PARAMETERS:
            return _PARAMETERS[root, index]
    return None


class RefuseCallbacks:
    """Refuses every POST that is itself a callback, so that no job makes a broker call a broker.

    The egress rules refuse the addresses at which this process listens. They do not know those of
    other API processes or of a load balancer before them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or refuse it."""
        if scope["type"] == "http" and scope["method"] == "POST" and _is_callback(scope):
            refusal = CallbackForbidden("callbacks must not go to the broker's own API")
            await failed(refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_callback(scope: Scope) -> bool:
    signed = any(name == b"webhook-id" for name, _ in scope["headers"])
    path = scope["path"].removeprefix(_root_path(scope))
    return signed and not path.startswith(INBOX)


def _root_path(scope: Scope) -> str:
    """Return the prefix of every path, where the API is mounted below another application."""
    root_path: str = scope.get("root_path", "")
    return root_path
