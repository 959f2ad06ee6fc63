"""What a page in somebody's browser may do here: nothing, unless it is this API's own or is named.

A browser sends a page's requests from its user's machine, so loopback and a firewall keep no page
out. Three checks do: of the `Host`, since a page may point its own name at this address (DNS
rebinding); of the `Origin`, on what changes state; of the content type, as forms send no JSON.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.api.responses import failed, with_headers
from rq_broker.domain import errors

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
"""Methods that change nothing: every page may send them."""
_OWN_SITE = (b"same-origin", b"none")
"""Values of Sec-Fetch-Site of this API's own pages, and of what the user typed. `same-site` is not
one: another port of the same name is the same site."""
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}
_CORS_METHODS = b"GET, POST, PUT, PATCH, DELETE"
_CORS_HEADERS = b"authorization, content-type, idempotency-key, x-auth-token, x-request-id"
_CORS_EXPOSED = b"idempotent-replayed, location, ratelimit, retry-after, x-request-id"
_CORS_SECONDS = b"600"
"""How long a browser may remember the answer to its preflight: the most that all of them keep."""

Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class BrowserRules:
    """By which names the API may be called, and whose pages may call it."""

    hosts: frozenset[str] | None = None
    """Names in `Host` beside `localhost` and IP addresses; `*.lab` stands for all below `lab`.
    None: every name."""
    origins: frozenset[str] = frozenset()
    """Origins, such as `https://board.lab`, whose pages may call the API and read its answers."""

    @classmethod
    def of(cls, hosts: Iterable[str] | None, origins: Iterable[str]) -> BrowserRules:
        """Make the rules of what an operator wrote. Raises Invalid for what is no origin."""
        for origin in origins:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
                raise errors.Invalid(
                    f"--cors-origins: {origin} is no origin such as https://board.lab:8443"
                )
        names = None if hosts is None else frozenset(_normal(host) for host in hosts)
        return cls(
            None if names is None or "*" in names else names,
            frozenset(origin.lower() for origin in origins),
        )

    def allow_host(self, host: bytes) -> bool:
        """Tell whether a request with this `Host` may be served. Its port does not matter.

        An IP address always may: a page cannot make a browser take another's for its own.
        """
        if self.hosts is None:
            return True
        name = _name(host)
        if name == "localhost" or name in self.hosts or _is_address(name):
            return True
        below = name.partition(".")[2]
        while below:
            if f"*.{below}" in self.hosts:
                return True
            below = below.partition(".")[2]
        return False


ANY_NAME = BrowserRules()
"""Every name, and no page but the API's own."""


def _normal(name: str) -> str:
    return name.strip().lower().rstrip(".")


def _name(host: bytes) -> str:
    """Return the name or the address in a `Host`, without its port."""
    text = host.decode("latin-1").strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return _normal(text.partition(":")[0])


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_own_origin(origin: bytes, host: bytes, scheme: str = "") -> bool:
    """Tell whether an Origin is that of the API's own pages.

    Args:
        origin: What the browser says.
        host: The request's Host.
        scheme: That of the request. Unless it is `https` it is not compared, as a proxy may have
            taken TLS away.
    """
    theirs, _, place = origin.partition(b"://")
    own = host.lower().removesuffix(_DEFAULT_PORTS.get(theirs, b":"))
    return bool(place) and place.lower() == own and not (scheme == "https" and theirs != b"https")


class BrowserGuard:
    """Refuses what a foreign page may have sent; answers the preflights of pages that are named."""

    def __init__(self, app: ASGIApp, rules: BrowserRules) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in rules.origins)
        # A dozen names are all that come; a flood of others must not fill the memory.
        self._allows_host = lru_cache(256)(rules.allow_host)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Forward the request, or refuse it."""
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        headers: Headers = dict(scope["headers"])
        refusal = self._refusal(scope["method"], headers)
        app = failed(refusal) if refusal else self._app
        if self._origins and headers.get(b"origin") in self._origins:
            app, send = self._named(scope, headers, app), _readable(send, headers[b"origin"])
        return app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> errors.BrokerError | None:
        host = headers.get(b"host", b"")
        if host and not self._allows_host(host):
            shown = _name(host)
            return errors.HostNotAllowed(
                f"this API is not called by the name {shown!r}; --allowed-hosts names those it has"
            )
        if b"sec-websocket-key" in headers:
            return errors.WebSocketUnsupported(
                "there are no WebSockets here: follow changes by /events or by ?wait="
            )
        if method in SAFE_METHODS or not (b"origin" in headers or b"sec-fetch-site" in headers):
            return None  # most clients are no browsers: they end here
        if self._is_foreign(headers, host):
            page = headers.get(b"origin", b"another site").decode("latin-1")
            return errors.ForeignOrigin(
                f"a page of {page} may change nothing here; --cors-origins names those that may"
            )
        if not _is_json(headers):
            return errors.UnsupportedMediaType(
                "from a browser the body must be sent as Content-Type: application/json"
            )
        return None

    def _is_foreign(self, headers: Headers, host: bytes) -> bool:
        """Tell whether a browser sent this for a page that is neither ours nor named."""
        origin = headers.get(b"origin")
        if origin in self._origins:
            return False
        site = headers.get(b"sec-fetch-site")
        if site is not None:
            return site not in _OWN_SITE
        return not is_own_origin(origin or b"", host)

    @staticmethod
    def _named(scope: Scope, headers: Headers, app: ASGIApp) -> ASGIApp:
        """Return what answers the page of a named origin: its preflight is answered here."""
        if scope["method"] != "OPTIONS" or b"access-control-request-method" not in headers:
            return app
        answer = Response(status_code=204)
        answer.raw_headers = [
            (b"access-control-allow-methods", _CORS_METHODS),
            (b"access-control-allow-headers", _CORS_HEADERS),
            (b"access-control-max-age", _CORS_SECONDS),
        ]
        return answer


def _is_json(headers: Headers) -> bool:
    """Tell whether a request has no body, or one that a page cannot send without a preflight."""
    media = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media:
        return media == b"application/json" or media.endswith(b"+json")
    return headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers


def _readable(send: Send, origin: bytes) -> Send:
    """Return a `send` that lets the pages of an origin read the answer."""
    return with_headers(
        send,
        [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _CORS_EXPOSED),
            (b"vary", b"Origin"),
        ],
    )
