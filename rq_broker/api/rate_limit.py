"""Requests a second: of each identity, and of all identities of one owner together.

Redis counts, so that any number of API processes keep one limit. A process fetches some requests at
a time for an identity that asks often, and gives up after MOMENT those that it did not need.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from rq_broker.api.responses import refused, with_headers
from rq_broker.domain import errors
from rq_broker.domain.identity import ANYONE, NOBODY, Identity, Role
from rq_broker.store.rates import Allowance, Bucket

BURST_SECONDS = 5
"""What a full bucket holds, in seconds of its rate: a client that was quiet may send as much at
once. With less, one that submits a batch now and then waits though it asks little."""
MOMENT = 0.05
"""Seconds for which a process keeps requests that it has fetched. Up to this much of a rate is lost
where the requests stop, or move to another process. Without it each request costs a call."""
_REMEMBERED = 4096
"""Identities of which a process remembers what it has fetched. For others it fetches anew."""

Allow = Callable[[Sequence[Bucket], int], Awaitable[Allowance]]


@dataclass(frozen=True, slots=True)
class RateRules:
    """Requests a second that the API serves, and how many may wait; 0 for any number."""

    identity: float = 0.0
    """Of each identity that is no admin."""
    owner: float = 0.0
    """Of all identities together that have this one owner, admins aside."""
    admin: float = 0.0
    """Of each admin; without access control of each address."""
    waits: int = 0
    """Reads that wait, and streams of events, that an identity that is no admin may have open at
    once in each process."""

    def limits_somebody(self, *, open_to_all: bool) -> bool:
        """Tell whether any limits those who may come: without access control all are admins."""
        return self.admin > 0 or (not open_to_all and (self.identity > 0 or self.owner > 0))

    def buckets(self, identity: Identity, address: str) -> tuple[Bucket, ...]:
        """Return the buckets out of which a request of an identity comes."""
        if identity is NOBODY:
            return ()
        if identity.role is Role.ADMIN:
            name = f"address:{address}" if identity is ANYONE else f"identity:{identity.name}"
            rates = {name: self.admin}
        else:
            rates = {f"identity:{identity.name}": self.identity}
            if identity.owners is not None and len(identity.owners) == 1:
                rates[f"owner:{next(iter(identity.owners))}"] = self.owner
        return tuple(
            Bucket(name, rate, max(1, round(rate * BURST_SECONDS)))
            for name, rate in rates.items()
            if rate
        )


ANY_RATE = RateRules()
"""No limit for anybody."""


@dataclass(slots=True)
class _Purse:
    """The requests that a process may serve to one identity."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    requests: int = 0
    until: float = 0.0
    """When they are given up."""
    empty_until: float = 0.0
    """Until when a bucket has none, as Redis said last."""
    batch: int = 1
    """How many were wanted last."""
    left: tuple[int, ...] = ()
    """Requests that each bucket had left then."""

    def spend(self, now: float) -> bool:
        """Spend one, if there is one."""
        if not self.requests or now >= self.until:
            return False
        self.requests -= 1
        return True


def _purse(_: tuple[Bucket, ...]) -> _Purse:
    """Return the purse of some buckets: all of them, as one name may come with other owners."""
    return _Purse()


class Purses:
    """The requests that a process may serve to all identities."""

    def __init__(self, allow: Allow, clock: Callable[[], float] = time.monotonic) -> None:
        self._allow = allow
        self._clock = clock
        self._purse_of = lru_cache(_REMEMBERED)(_purse)

    async def spend(self, buckets: Sequence[Bucket]) -> tuple[int, ...]:
        """Spend a request of each bucket; returns what is left in each.

        Raises:
            RateLimited: One of them is empty.
        """
        purse = self._purse_of(tuple(buckets))
        if not purse.spend(self._clock()):
            async with purse.lock:  # one call serves all that wait here
                if not purse.spend(self._clock()):
                    await self._fill(purse, buckets)
        return tuple(left + purse.requests for left in purse.left)

    async def _fill(self, purse: _Purse, buckets: Sequence[Bucket]) -> None:
        """Fill a purse and spend one: with twice as many as before while they are used up."""
        now = self._clock()
        if now < purse.empty_until:
            raise _refusal(purse.empty_until - now)
        most = max(1, int(min(bucket.rate for bucket in buckets) * MOMENT))
        is_used_up = now < purse.until and not purse.requests
        purse.batch = min(2 * purse.batch, most) if is_used_up else 1
        allowance = await self._allow(buckets, purse.batch)
        if not allowance.requests:
            purse.requests, purse.empty_until = 0, now + allowance.wait
            raise _refusal(allowance.wait)
        purse.left, purse.requests, purse.until = (
            allowance.left,
            allowance.requests - 1,
            now + MOMENT,
        )


def _refusal(wait: float) -> errors.RateLimited:
    return errors.RateLimited(
        "too many requests a second; Retry-After says when to go on", math.ceil(wait)
    )


class RateLimit:
    """Refuses requests beyond the rate of who asks, and tells everybody how much is left.

    While Redis is away nothing is refused here: what needs Redis is refused for that.
    """

    def __init__(self, app: ASGIApp, allow: Allow, rules: RateRules) -> None:
        self._app = app
        self._buckets_of = lru_cache(_REMEMBERED)(rules.buckets)
        self._purses = Purses(allow)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity, client = scope["identity"], scope.get("client")
        buckets = self._buckets_of(identity, client[0] if client and identity is ANYONE else "")
        if not buckets:
            await self._app(scope, receive, send)
            return
        try:
            left = await self._purses.spend(buckets)
        except errors.RateLimited as error:
            headers = _headers(buckets, [0] * len(buckets))
            await refused(error, headers)(scope, receive, send)
        except errors.Unavailable:
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, with_headers(send, _headers(buckets, left)))


def _headers(buckets: Sequence[Bucket], left: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """Return the fields of the IETF's draft (draft-ietf-httpapi-ratelimit-headers-10)."""
    policies, states = [], []
    for bucket, requests in zip(buckets, left, strict=True):
        kind = bucket.name.partition(":")[0]
        seconds = math.ceil(bucket.burst / bucket.rate)
        full_in = math.ceil((bucket.burst - requests) / bucket.rate)
        policies.append(f'"{kind}";q={bucket.burst};w={seconds}')
        states.append(f'"{kind}";r={max(0, requests)};t={full_in}')
    return [
        (b"ratelimit-policy", ", ".join(policies).encode()),
        (b"ratelimit", ", ".join(states).encode()),
    ]
