"""Reads from the claims of a verified JWT who asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import orjson

from rq_broker.domain import errors
from rq_broker.domain.identity import Identity
from rq_broker.domain.validation import LABEL, OWNER
from rq_broker.identity.role_map import RoleMap, is_bound, owners_of

LEEWAY = 30.0
"""Seconds by which the clocks of the issuer and of this machine may differ. A JWT is accepted for
so long before its `nbf` and after its `exp`."""
_MOST_NAMES = 100
"""Most owners, and most roles, that one JWT may name."""


class ClaimReader:
    """Reads the claims of one issuer's JWTs.

    Args:
        issuer: `iss` must be equal to it.
        audience: `aud` must be equal to it, or have it among others.
        owner: Claim that names the owner, or a list of owners.
        role: Claim that has the issuer's roles: a list, or words with spaces between.
        roles: `THEIRS=OURS`, see RoleMap.
        now: Returns seconds since 1970.

    A claim within another one is named with dots, as `realm_access.roles`.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        owner: str,
        role: str,
        roles: Sequence[str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._owner = owner
        self._role = role
        self._roles = RoleMap(roles, "--jwt-roles")
        self._now = now

    def read(self, payload: bytes) -> tuple[Identity, float]:
        """Return whom the claims name, and for how many seconds the JWT is accepted.

        Raises:
            JwtRefused: The subclass says what is wrong.
            NoRole: No role is mapped to one of the broker's.
        """
        try:
            claims = orjson.loads(payload)
        except ValueError:
            claims = None
        if not isinstance(claims, dict):
            raise errors.JwtMalformed("the JWT's payload is no JSON object")
        if claims.get("iss") != self._issuer:
            raise errors.JwtWrongIssuer(f"the JWT's iss is not {self._issuer}")
        if self._audience not in _names(claims.get("aud")):
            raise errors.JwtWrongAudience(f"the JWT's aud does not have {self._audience}")
        seconds = self._seconds_left(claims)
        return self._identity(claims), seconds

    def _seconds_left(self, claims: Mapping[str, Any]) -> float:
        now = self._now()
        if "nbf" in claims and _time(claims, "nbf") - LEEWAY > now:
            raise errors.JwtNotYetValid("the JWT's nbf has not come yet")
        seconds = _time(claims, "exp") + LEEWAY - now
        if seconds <= 0:
            raise errors.JwtExpired("the JWT's exp has passed")
        return seconds

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        subject = claims.get("sub")
        if not isinstance(subject, str) or (LABEL.problem(subject)):
            raise errors.JwtClaims("the JWT's sub must be a string of 1 to 255 bytes")
        value = _claim(claims, self._role)
        theirs = _names(value.split(" ") if isinstance(value, str) else value)
        role = self._roles.role_of(theirs)
        if role is None:
            raise errors.NoRole(f"the JWT's {self._role} has none of {self._roles}")
        owners = _names(_claim(claims, self._owner)) if is_bound(role) else ()
        for owner in owners:
            if problem := OWNER.problem(owner):
                raise errors.JwtClaims(f"the JWT's {self._owner} is no owner: it {problem}")
        if is_bound(role) and not owners:
            raise errors.JwtClaims(f"the JWT's {self._owner} must name an owner")
        return Identity(f"jwt:{subject}", role, owners_of(role, owners))


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by the names on the way to it with dots between, or None."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _names(value: Any) -> Sequence[str]:
    """Return the strings that a claim lists; a single one counts as a list, all else as empty."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or len(values) > _MOST_NAMES:
        return ()
    return values if all(isinstance(name, str) for name in values) else ()


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise errors.JwtClaims(f"the JWT's {name} must be a number of seconds since 1970")
    return float(value)
