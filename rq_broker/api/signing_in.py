"""What the ways to sign in share: attempts are counted, and a session replaces the one before."""

from __future__ import annotations

import math
from collections.abc import Awaitable

from starlette.requests import Request

from rq_broker.api.access import actor_of
from rq_broker.api.session_cookie import cookie_header, secret_of
from rq_broker.domain import errors
from rq_broker.domain.identity import ACTOR, Identity
from rq_broker.identity.sessions import Sessions
from rq_broker.store.broker import Broker
from rq_broker.store.rates import Bucket


async def sign_in(
    request: Request, sessions: Sessions, identity: Identity, begin: Awaitable[str]
) -> tuple[bytes, bytes]:
    """Begin a session in the name of an identity, and end the one that the browser had.

    Args:
        request: The request of the browser.
        sessions: Ends the session of before.
        identity: Who signs in: the audit log names it.
        begin: Begins the session; its result is the secret.

    Returns:
        The header that gives the browser its cookie.
    """
    acting = ACTOR.set(actor_of(request.scope, identity))
    try:
        secret = await begin
        if former := secret_of(request.scope):
            await sessions.end(former)
    finally:
        ACTOR.reset(acting)
    return cookie_header(request.scope, secret)


async def count_attempt(broker: Broker, bucket: Bucket, whose: str) -> None:
    """Count a sign-in, in all API processes together. Raises RateLimited.

    Args:
        broker: Keeps the buckets.
        bucket: What bounds the attempts.
        whose: Of whom they are, as a part of a sentence.
    """
    allowance = await broker.allow([bucket])
    if not allowance.requests:
        raise errors.RateLimited(
            f"too many sign-ins {whose}; Retry-After says when to go on",
            math.ceil(allowance.wait),
        )
