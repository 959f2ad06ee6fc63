"""Access control: it finds out who calls, and whether the role of the caller allows the call.

`Access` has the authenticators prove the identity of each request. `guard` then stands before each
endpoint and refuses what the row of the operation does not allow. Endpoints ask `identity_of` and
`scope_of`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.api import roles
from rq_broker.api.browser_guard import SAFE_METHODS
from rq_broker.api.dashboard_files import Dashboard
from rq_broker.api.declared import checker
from rq_broker.api.operations import OPERATIONS
from rq_broker.api.paths import type_name
from rq_broker.api.responses import refused
from rq_broker.api.session_cookie import check_page, secret_of
from rq_broker.domain import errors
from rq_broker.domain.identity import ACTOR, ANYONE, NOBODY, Actor, Identity, Role
from rq_broker.identity import Authenticator, header_of
from rq_broker.identity.bearer import bearer
from rq_broker.identity.sessions import Sessions
from rq_broker.identity.tokens import MARK, TOKEN

_UNDESCRIBED = roles.ADMINISTER
"""The row of a route that the API document leaves out."""
_READS_BY_POST = ("what_if",)
"""Operations that change nothing, though their method is not safe."""


def identity_of(request: Request) -> Identity:
    """Return the identity of the caller; ANYONE where there is no access control."""
    identity: Identity = request.scope["identity"]
    return identity


def scope_of(request: Request) -> roles.Scope:
    """Return on what the identity may call the operation that is being called."""
    scope: roles.Scope = request.scope["access"]
    return scope


def actor_of(scope: Scope, identity: Identity) -> Actor:
    """Return who acts in a request of an identity, as the audit log and events tell it."""
    client = scope.get("client")
    return Actor(identity.name, client[0] if client else "", scope.get("request_id", ""))


async def is_still_known(request: Request) -> bool:
    """Tell whether the credential of a request is still accepted: before more of a long answer."""
    try:
        await request.scope["identify"](request.scope)
    except errors.IdentityUnavailable:
        return True  # it is not refused; new requests are
    except errors.BrokerError as error:
        return error.status != HTTPStatus.UNAUTHORIZED
    return True


def check_owner(request: Request, owner: str) -> None:
    """Raise Forbidden unless what belongs to this owner is the identity's own."""
    identity = identity_of(request)
    if not identity.owns(owner):
        raise errors.Forbidden(f"{identity.name} does not act for the owner {owner!r}")


class Access:
    """Finds the identity of each caller. Who has none may call public operations only.

    Where there are no authenticators, everybody is ANYONE.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticators: Sequence[Authenticator],
        routes: Iterable[Route],
        pages: Sequence[Route | Dashboard],
        sessions: Sessions,
    ) -> None:
        self._app = app
        self._authenticators = authenticators
        self._sessions = sessions
        public = [route for route in routes if row_of(route) is roles.PUBLIC]
        self._public = [*(route for route in public if not _identifies(route)), *pages]
        self._optional = [route for route in public if _identifies(route)]
        self._public_segments = frozenset[str]().union(*map(_first_segments, self._public))
        """First segments of the paths that are public: most requests have another one."""
        names = {"authorization", *map(header_of, authenticators)}
        self._credential_headers = {name.encode(): name for name in names}
        self._challenges = list(dict.fromkeys(each.challenge for each in authenticators))
        self._needs_identity = "this needs an identity: send " + " or ".join(
            f"a {each.name} as {each.scheme.get('name', 'Authorization: Bearer')}"
            for each in authenticators
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request with its identity and its actor, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            identity = await self._identity(scope)
        except errors.BrokerError as error:
            await refused(error, self._challenged(error))(scope, receive, send)
            return
        scope["identity"] = identity
        # Without the scope, which it would keep in a cycle until the garbage collector comes.
        scope["identify"] = self._identity
        acting = ACTOR.set(actor_of(scope, identity))
        try:
            await self._app(scope, receive, send)
        finally:
            ACTOR.reset(acting)

    async def _identity(self, scope: Scope) -> Identity:
        if not self._authenticators:
            return ANYONE
        if self._is_public(scope):
            return NOBODY
        credentials = self._credentials(scope)
        for authenticator in self._authenticators:
            identity = await authenticator.identify(credentials)
            if identity is not None:
                return identity
        is_optional = any(route.matches(scope)[0] is Match.FULL for route in self._optional)
        if "authorization" in credentials:
            self._check_bearer(credentials)
        elif identity := await self._of_cookie(scope, is_optional=is_optional):
            return identity
        if is_optional:
            return NOBODY
        raise errors.Unauthenticated(self._needs_identity)

    def _credentials(self, scope: Scope) -> dict[str, str]:
        """Return the headers in which credentials come, by their names; of several the first one.

        Starlette's Headers would search all of them for each name. Raises Unauthenticated.
        """
        credentials: dict[str, str] = {}
        for header, value in scope["headers"]:
            name = self._credential_headers.get(header)
            if name is None:
                continue
            if name not in credentials:
                credentials[name] = value.decode("latin-1")
            elif name == "authorization":
                raise errors.Unauthenticated("the header Authorization is given twice")
        return credentials

    async def _of_cookie(self, scope: Scope, *, is_optional: bool) -> Identity | None:
        """Return who has signed in; None without a cookie, or one that is over and not needed."""
        secret = secret_of(scope)
        if secret is None:
            return None
        check_page(scope)
        try:
            return await self._sessions.identify(secret)
        except errors.Unauthenticated:
            if not is_optional:
                raise
        return None

    def _check_bearer(self, credentials: Mapping[str, str]) -> None:
        """Raise TokenMalformed for a bearer that no authenticator takes, where tokens are taken."""
        is_taken = any(authenticator.name == TOKEN for authenticator in self._authenticators)
        if is_taken and bearer(credentials) is not None:
            raise errors.TokenMalformed(
                f"what follows Bearer is no token of this API: they begin with {MARK}"
            )

    def _is_public(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path.removeprefix("/").partition("/")[0] not in self._public_segments:
            return False
        return any(route.matches(scope)[0] is Match.FULL for route in self._public)

    def _challenged(self, error: errors.BrokerError) -> list[tuple[bytes, bytes]]:
        """Return the headers WWW-Authenticate of a refusal, see RFC 6750 section 3."""
        if error.status != HTTPStatus.UNAUTHORIZED:
            return []
        is_invalid = type(error) is not errors.Unauthenticated
        return [
            (
                b"www-authenticate",
                f'{challenge}, error="invalid_token"'.encode()
                if is_invalid and challenge.startswith("Bearer")
                else challenge.encode(),
            )
            for challenge in self._challenges
        ]


def row_of(route: Route) -> roles.Access:
    """Return the row of a route. Raises KeyError if a described route has none."""
    return OPERATIONS[route.name].access if route.include_in_schema else _UNDESCRIBED


def guard(
    route: Route,
    exists: Callable[[str], Awaitable[bool]] | None = None,
    *,
    read_only: bool = False,
) -> Route:
    """Let a route carry out what its row allows and describes. Raises KeyError if it has none.

    Args:
        route: The route, which is changed.
        exists: Returns whether there is a type; None: everybody may make one.
        read_only: Whether a route that changes something is refused to all who may call it.
    """
    row = row_of(route)
    endpoint: Callable[[Request], Awaitable[Response]] = route.endpoint
    call, check = _call(route), checker(route)
    is_refused = read_only and changes_state(route)
    makes_type = route.include_in_schema and OPERATIONS[route.name].makes_type

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if row is not roles.PUBLIC:
            type_ = scope["path_params"].get("type")
            identity = scope["identity"]
            scope["access"] = _allowed(call, row, identity, type_)
            if is_refused:
                raise errors.ReadOnly(f"this API is read-only: it does not carry out {call}")
            check(scope)
            if makes_type and exists and identity.role is not Role.ADMIN:
                type_ = type_name(type_)
                if not await exists(type_):
                    raise errors.Forbidden(
                        f"there is no type {type_!r}, and only an admin may make one"
                    )
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    # In place of Starlette's own, which makes a second request and catches exceptions twice: 5 µs.
    route.app = guarded
    return route


def _allowed(call: str, row: roles.Access, identity: Identity, type_: str | None) -> roles.Scope:
    """Return on what an identity may call an operation. Raises Forbidden.

    Whoever is limited to owners may call no more than a client: what belongs to no owner is not
    its own, whatever its role.
    """
    scope = row.get(identity.role)
    if scope is not None and identity.role is not Role.CLIENT and identity.owners is not None:
        limited = row.get(Role.CLIENT)
        scope = limited if scope is roles.Scope.ALL or limited is None else scope
    if scope is None or (identity.role is Role.CLIENT and identity.owners is None):
        raise errors.Forbidden(
            f"{identity.name} has the role {identity.role}, which may not call {call}: "
            "see the table on /docs/security"
        )
    if type_ is not None and not identity.uses(type_):
        raise errors.Forbidden(f"{identity.name} may not use the type {type_!r}")
    is_limited = identity.types is not None and scope is roles.Scope.ALL
    if is_limited and any(row is one for one in roles.OF_THE_INSTALLATION):
        raise errors.Forbidden(f"{identity.name} is limited to types, and may not call {call}")
    return scope


def _first_segments(route: Route | Dashboard) -> frozenset[str]:
    """Return the first segments of the paths that a route may match."""
    if isinstance(route, Route):
        return frozenset((route.path.split("/")[1],))
    return route.first_segments


def _identifies(route: Route) -> bool:
    return route.include_in_schema and OPERATIONS[route.name].identifies


def changes_state(route: Route) -> bool:
    """Tell whether a route changes something, and so is refused where all is read-only.

    Who signs in changes nothing that others see. What is public is no change of the broker either.
    """
    if SAFE_METHODS.issuperset(route.methods or ()) or route.name in _READS_BY_POST:
        return False
    return not any(row_of(route) is one for one in (roles.SIGN_IN, roles.PUBLIC))


def rights_of(
    identity: Identity, routes: Iterable[Route], *, read_only: bool
) -> dict[str, roles.Scope]:
    """Return name → on what an identity may call it, for each route that `guard` lets it call.

    Args:
        identity: Who asks.
        routes: Those that the API document has.
        read_only: Whether routes that change something are left out.
    """
    rights = {}
    for route in routes:
        row = row_of(route)
        if row is roles.PUBLIC or (read_only and changes_state(route)):
            continue
        with suppress(errors.Forbidden):
            rights[route.name] = _allowed(_call(route), row, identity, None)
    return rights


def _call(route: Route) -> str:
    return f"{min((route.methods or set()) - {'HEAD'})} {route.path_format}"
