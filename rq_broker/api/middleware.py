"""What every request passes before it reaches a route."""

from __future__ import annotations

from collections.abc import Awaitable
from urllib.parse import unquote, unquote_plus, unquote_to_bytes

from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.api.responses import failed
from rq_broker.domain.errors import Invalid
from rq_broker.domain.validation import show

_PARAMETERS = {
    (b"v1", 0): "type",
    (b"v1", 1): "request_id",
    (b"types", 0): "type",
    (b"tokens", 0): "the token's name",
}
"""(first segment of the path, index of a later segment) → the name that the later one holds."""
_LISTED = {
    b"hosts": "the host's name",
    b"sources": "the source's name",
    b"tests": "the test's name",
}
"""Segment below a type → the name that the segment behind it holds."""


class TrailingSlash:
    """Makes every path answer with and without its trailing slash, without a redirect.

    It refuses a slash inside a name, sent as %2F: the router sees decoded paths, so
    `DELETE /v1/a%2Fb` would withdraw job b of type a. It refuses what is no UTF-8 in the path or
    the query: decoded, all such bytes are U+FFFD, and `DELETE /v1/vm/%fe` would withdraw a job of
    that name. A name that has U+FFFD, sent as %EF%BF%BD, is a name as any other.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Forward the request without its trailing slash, or refuse it."""
        if scope["type"] == "http":
            raw_path = scope.get("raw_path") or b""
            if b"%" in raw_path and (problem := _path_problem(scope, raw_path)):
                return failed(Invalid(problem))(scope, receive, send)
            query = scope["query_string"]
            if b"%" in query and (problem := _query_problem(query)):
                return failed(Invalid(problem))(scope, receive, send)
            if scope["path"].endswith("/") and scope["path"] != f"{_root_path(scope)}/":
                scope["path"] = scope["path"][:-1]
        return self._app(scope, receive, send)


def _path_problem(scope: Scope, raw_path: bytes) -> str:
    """Say what is wrong with the first segment that no name can be sent as; '' for none."""
    path = raw_path.removeprefix(_root_path(scope).encode())
    root, *segments = path.removeprefix(b"/").split(b"/")
    for index, segment in enumerate(segments):
        parameter = _PARAMETERS.get((root, index))
        if root == b"types" and index > 1:
            parameter = _LISTED.get(segments[index - 1])
        if parameter and b"%2f" in segment.lower():
            return f"{parameter} must not contain '/': {show(unquote(segment.decode('latin-1')))}"
        if not _is_utf_8(segment):
            return f"{parameter or 'the path'} must be percent-encoded UTF-8"
    return "" if _is_utf_8(root) else "the path must be percent-encoded UTF-8"


def _query_problem(query: bytes) -> str:
    """Name the first parameter of a query that is no UTF-8; '' for none."""
    for part in query.split(b"&"):
        if not _is_utf_8(part):
            name = unquote_plus(part.partition(b"=")[0].decode("latin-1"))
            return f"the query parameter {show(name)} must be percent-encoded UTF-8"
    return ""


def _is_utf_8(encoded: bytes) -> bool:
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        return False
    return True


def _root_path(scope: Scope) -> str:
    """Return the prefix of every path, where the API is mounted below another application."""
    root_path: str = scope.get("root_path", "")
    return root_path
