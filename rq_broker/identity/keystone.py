"""Keystone: the project of an `X-Auth-Token` is the owner of what its users submit.

The broker asks Keystone about each token with a login of its own, as other services of OpenStack
do. The service that passes a user's token on needs no `X-Service-Token`: that is for tokens which
end within a long request, and no request here outlives the check of its token.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from keystoneauth1.exceptions import (
    BadRequest,
    ClientException,
    Forbidden,
    NotFound,
    Unauthorized,
)
from keystoneauth1.identity.generic import Password

from rq_broker.domain.errors import (
    Invalid,
    KeystoneRefused,
    KeystoneUnavailable,
    KeystoneUnscoped,
    NoRole,
    Unauthenticated,
)
from rq_broker.domain.identity import Identity
from rq_broker.domain.sign_in import KeystoneLogin
from rq_broker.domain.validation import OWNER
from rq_broker.identity.answer_cache import AnswerCache
from rq_broker.identity.role_map import RoleMap, owners_of
from rq_broker.sources.cloud_settings import region_of
from rq_broker.sources.failures import Missing, SourceFailed, Unreachable
from rq_broker.sources.login import login_failure
from rq_broker.sources.openstack import Service

SPAN = 60.0
"""Seconds that an answer of Keystone holds at most. A token that was revoked is accepted for so
long, and so long the API serves known tokens while Keystone is away."""
REFUSED_SPAN = 5.0
"""Seconds that a refused token is refused without asking again. A client that repeats itself costs
Keystone a request in five seconds; a Keystone whose nodes do not yet share their keys is asked
again soon."""
TIMEOUT = 5.0
"""Seconds that Keystone may be silent within one request."""
DEADLINE = 15.0
"""Seconds that a check may take, with its wait for a connection and a login before it."""
AWAY_SPAN = 1.0
"""Seconds after a failed connection in which no other is tried. Without it each request of a client
would wait for the timeout while Keystone hangs."""
CONNECTIONS = 8
"""Requests to Keystone at the same time; each takes a thread."""
MOST_CHECKS = 256
"""Tokens that are checked or wait for it at the same time. More than that are not done within
DEADLINE by a Keystone that takes 0.4 s for each."""

_TOKEN = re.compile(r"[A-Za-z0-9_.=+/-]{1,4096}")
"""Fernet and JWS tokens, and the UUIDs of old ones. Nothing else is worth a request."""
_REFUSED = (
    "Keystone does not know the token in X-Auth-Token: it has expired, was revoked or is none"
)
_AWAY = "Keystone cannot be asked about the token at the moment; repeat the call"

_log = logging.getLogger(__name__)


class KeystoneAuthenticator:
    """Finds out whom an `X-Auth-Token` proves."""

    def __init__(
        self,
        *,
        cloud: str | None,
        roles: Sequence[str],
        owner: str = "id",
        domain: str | None = None,
        span: float = SPAN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Find the cloud as the OpenStack command line does; nothing is sent yet.

        Args:
            cloud: Name in clouds.yaml of the login that may check tokens; None: the OS_* variables.
            roles: `KEYSTONE_ROLE=ROLE`, see RoleMap.
            owner: What of the project is the owner: `id` or `name`.
            domain: Id of the only domain whose projects are accepted; None: of every domain, or
                with `name`, which is unique in its domain only, of `default`.
            span: Seconds that an answer holds, at most SPAN.
            clock: Returns seconds that only grow.

        Raises:
            Misconfigured: There is no such cloud, or its login is incomplete.
            Invalid: A role is not one of the broker's.
        """
        if owner not in ("id", "name"):
            raise Invalid(f"--keystone-owner {owner} must be id or name")
        self._owner = owner
        self._domain = domain or ("default" if owner == "name" else None)
        self._roles = RoleMap(roles, "--keystone-roles")
        self._span = min(span, SPAN)
        self._clock = clock
        region = region_of(cloud, None)
        self._url = region.get_auth_args().get("auth_url") or ""
        self._service = Service(
            region,
            "identity",
            role="admin or service",
            timeout=TIMEOUT,
            connections=CONNECTIONS,
            version="3",
        )
        self._answers = AnswerCache(clock)
        self._checks: dict[str, asyncio.Task[Identity]] = {}
        self._away_until = self._warned_until = -1.0

    @property
    def name(self) -> str:
        """The word for this kind of credential."""
        return "keystone"

    @property
    def scheme(self) -> Mapping[str, str]:
        """The security scheme of the API document."""
        return {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}

    @property
    def challenge(self) -> str:
        """What WWW-Authenticate says, as OpenStack's own services say it."""
        return f'Keystone uri="{self._url}"'

    async def identify(self, headers: Mapping[str, str]) -> Identity | None:
        """Return whom the token proves; None without a token.

        Raises:
            KeystoneRefused: Keystone does not know the token.
            KeystoneUnscoped: It is not one of a project, or of another domain's.
            NoRole: None of its roles is mapped to one of the broker's.
            KeystoneUnavailable: Keystone cannot be asked.
        """
        token = headers.get("x-auth-token")
        if token is None:
            return None
        if not _TOKEN.fullmatch(token):
            raise KeystoneRefused(_REFUSED)
        return self._answers.get(token) or await self._checked(token)

    async def log_in(self, login: KeystoneLogin) -> str:
        """Return a token of a user's on a project, as `openstack token issue` prints it.

        Raises:
            KeystoneRefused: Keystone does not let the user in.
            KeystoneUnavailable: Keystone cannot be asked.
        """
        plugin = Password(
            self._url,
            username=login.user,
            password=login.password,
            user_domain_name=login.domain,
            project_name=login.project,
            project_domain_name=login.domain,
        )
        try:
            async with asyncio.timeout(DEADLINE):
                return await self._service.token_for(plugin)
        except (Unauthorized, NotFound, BadRequest, Forbidden) as error:
            raise KeystoneRefused(
                "Keystone lets nobody in by this user, password, project and domain"
            ) from error
        except TimeoutError as error:
            self._service.renew()  # its threads hang
            raise KeystoneUnavailable(_AWAY) from error
        except ClientException as error:
            self._tell(login_failure(error))
            raise KeystoneUnavailable(_AWAY) from error

    async def close(self) -> None:
        """Close the connections to Keystone."""
        self._service.close()

    async def _checked(self, token: str) -> Identity:
        """Return whom a token proves; requests that come with it at the same time share a check."""
        check = self._checks.get(token)
        if check is None:
            if len(self._checks) >= MOST_CHECKS or self._clock() < self._away_until:
                raise KeystoneUnavailable(_AWAY)
            check = asyncio.create_task(self._check(token))
            self._checks[token] = check
            check.add_done_callback(lambda done: self._end(token, done))
        # A client that hangs up must not cancel the check of the others.
        return await asyncio.shield(check)

    def _end(self, token: str, check: asyncio.Task[Identity]) -> None:
        del self._checks[token]
        if not check.cancelled():
            check.exception()  # else asyncio logs one that nobody waits for any more

    async def _check(self, token: str) -> Identity:
        try:
            identity, seconds = self._read(await self._ask(token))
        except Unauthenticated as refusal:
            self._answers.refuse(token, refusal, min(REFUSED_SPAN, self._span))
            raise
        self._answers.keep(token, identity, min(seconds, self._span))
        return identity

    async def _ask(self, token: str) -> Any:
        """Return Keystone's answer about a token."""
        try:
            async with asyncio.timeout(DEADLINE):
                headers = {"X-Subject-Token": token}
                return await self._service.get("/auth/tokens?nocatalog", headers)
        except Missing:
            raise KeystoneRefused(_REFUSED) from None
        except TimeoutError:
            self._service.renew()  # its threads hang
            failure: Exception = Unreachable(f"keystone took longer than {DEADLINE:g} s")
        except SourceFailed as error:
            failure = error
        self._tell(failure)
        if isinstance(failure, Unreachable):
            self._away_until = self._clock() + AWAY_SPAN
        raise KeystoneUnavailable(_AWAY) from failure

    def _tell(self, failure: Exception) -> None:
        """Log why Keystone cannot be asked, at most once in a minute."""
        if self._clock() >= self._warned_until:
            self._warned_until = self._clock() + 60
            _log.warning("tokens cannot be checked, so their requests are refused: %s", failure)

    def _read(self, answer: Any) -> tuple[Identity, float]:
        """Return whom an answer names, and for how many seconds its token is valid."""
        match answer:
            case {"token": {"project": {"id": str(id_), "name": str(name)} as project} as token}:
                pass
            case {"token": {"user": {}}}:
                raise KeystoneUnscoped(
                    "the token in X-Auth-Token is not one of a project: log in with a project"
                )
            case _:
                raise self._unknown_shape(answer)
        try:
            self._check_project(project, token)
            user, ends = token["user"]["id"], datetime.fromisoformat(token["expires_at"])
            names = {role["name"] for role in token["roles"]}
        except (KeyError, TypeError, ValueError):
            raise self._unknown_shape(answer) from None
        role = self._roles.role_of(names)
        if role is None:
            raise NoRole(f"the token has none of the roles {self._roles} on its project")
        owner = name if self._owner == "name" else id_
        if problem := OWNER.problem(owner):
            raise KeystoneUnscoped(f"the project's {self._owner} is no owner: it {problem}")
        identity = Identity(f"keystone:{user}@{id_}", role, owners_of(role, [owner]))
        return identity, ends.timestamp() - time.time()

    def _check_project(self, project: Mapping[str, Any], token: Mapping[str, Any]) -> None:
        if token.get("is_domain"):
            raise KeystoneUnscoped("the token in X-Auth-Token is one of a domain, not of a project")
        if self._domain is not None and project["domain"]["id"] != self._domain:
            raise KeystoneUnscoped(
                f"the token's project is in another domain than {self._domain}, the only one whose"
                " projects are accepted"
            )

    def _unknown_shape(self, answer: Any) -> KeystoneUnavailable:
        shape = sorted(answer.get("token", answer)) if isinstance(answer, dict) else type(answer)
        self._tell(ValueError(f"keystone answered in an unknown shape, with {shape}"))
        return KeystoneUnavailable(_AWAY)
