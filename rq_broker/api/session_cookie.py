"""The cookie of a session: its name, its attributes, and when it counts.

Scripts cannot read it (`HttpOnly`); over TLS it is sent over TLS only (`Secure`), and its name lets
the browser hold that. `SameSite=Strict` keeps it out of what other sites send. Another port of the
same name is the same site, and gets cookies sent: so a cookie counts only in a request that a page
of this API has sent itself, and a change only where the browser says so.
"""

from __future__ import annotations

from starlette.types import Scope

from rq_broker.api.browser_guard import SAFE_METHODS, is_own_origin
from rq_broker.domain.errors import ForeignOrigin

_NAME = "rq_broker_session"


def cookie_name(scope: Scope, name: str = _NAME) -> str:
    """Return the name of a cookie, as the scheme and the path of the API allow it.

    A browser takes `__Host-` from this very host only, and only with the path `/`; so no neighbour
    below the same domain can plant a cookie of this name. `__Secure-` is what is left for a path.
    """
    if scope["scheme"] != "https":
        return name
    return f"__Secure-{name}" if scope.get("root_path") else f"__Host-{name}"


def cookie_header(
    scope: Scope, value: str, name: str = _NAME, attributes: str = "; SameSite=Strict"
) -> tuple[bytes, bytes]:
    """Return the header that gives a browser a cookie; without a value, that takes it away."""
    secure = "; Secure" if scope["scheme"] == "https" else ""
    gone = "" if value else "; Max-Age=0"
    path = scope.get("root_path") or "/"
    cookie = f"{cookie_name(scope, name)}={value}; Path={path}; HttpOnly{attributes}{secure}{gone}"
    return b"set-cookie", cookie.encode("latin-1")


def secret_of(scope: Scope, name: str = _NAME) -> str | None:
    """Return what a cookie of a request holds, whoever sent it; None without one."""
    wanted = cookie_name(scope, name).encode()
    for header, value in scope["headers"]:
        if header != b"cookie":
            continue
        for pair in value.split(b";"):
            key, _, secret = pair.strip().partition(b"=")
            if key == wanted and secret:
                return str(secret.decode("latin-1"))
    return None


def check_page(scope: Scope) -> None:
    """Raise ForeignOrigin unless a cookie counts in a request.

    It does not where the browser sent the request for another page, nor in a change of which no
    browser says for what page it is.
    """
    headers = dict(scope["headers"])
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        is_own = site == b"same-origin" or (site == b"none" and scope["method"] in SAFE_METHODS)
    elif origin is not None:
        is_own = is_own_origin(origin, headers.get(b"host", b""), scope["scheme"])
    else:
        is_own = scope["method"] in SAFE_METHODS
    if not is_own:
        raise ForeignOrigin(
            "the session's cookie counts for the pages of this API only; other clients send their"
            " credential in a header"
        )
