"""What every request passes before it reaches a route."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.api.inbox import INBOX
from rq_broker.api.responses import failed
from rq_broker.domain.errors import CallbackForbidden, Invalid

_NAMED = {
    (b"v1", 0): "type",
    (b"v1", 1): "request_id",
    (b"types", 0): "type",
    (b"types", 2): "the host's name",
}
"""Which name stands where below the first segment of a path."""


class OneSlash:
    """Lets every path answer with and without its trailing slash, without a redirect.

    A slash inside a name, sent as %2F, is refused: decoded, it would part the path at another
    place, and `DELETE /v1/a%2Fb` would take job b of type a.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request without its trailing slash, or refuse it."""
        if scope["type"] == "http":
            raw = scope.get("raw_path") or b""
            if b"%2" in raw and (name := _slashed(raw)):
                await failed(Invalid(f"{name} must not contain '/'"))(scope, receive, send)
                return
            if scope["path"].endswith("/") and scope["path"] != "/":
                scope["path"] = scope["path"][:-1]
        await self._app(scope, receive, send)


def _slashed(raw_path: bytes) -> str | None:
    """Find the name that has an encoded slash in it."""
    root, *names = raw_path.lower().split(b"/")[1:]
    places = (place for place, name in enumerate(names) if b"%2f" in name)
    return next((_NAMED[root, place] for place in places if (root, place) in _NAMED), None)


class NoCallbacks:
    """Refuses what is itself a callback: no job may have the broker POST to a broker's own API.

    The egress rules know the addresses this process listens at, not those of its peers or of what
    stands before them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or refuse it."""
        if scope["type"] == "http" and scope["method"] == "POST" and _is_callback(scope):
            refusal = CallbackForbidden("callbacks do not go to the broker's own API")
            await failed(refusal)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _is_callback(scope: Scope) -> bool:
    signed = any(name == b"webhook-id" for name, _ in scope["headers"])
    return signed and not scope["path"].startswith(INBOX)
