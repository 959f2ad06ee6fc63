"""How many requests a second somebody may make: buckets that all API processes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rq_broker.store.keys import INSTALLATION
from rq_broker.store.runner import Runner


@dataclass(frozen=True, slots=True)
class Bucket:
    """Requests that come evenly, and that somebody may make."""

    name: str
    rate: float
    """Requests a second, 0.001 at least."""
    burst: int
    """Requests in a full bucket: so many may be made at once."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What came out of some buckets."""

    requests: int
    """How many, 0 for none."""
    wait: float
    """Seconds until there is one again, if there is none."""
    left: tuple[int, ...]
    """Requests that each bucket has left."""


class Rates:
    """The one verb of buckets."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def allow(self, buckets: Sequence[Bucket], wanted: int = 1) -> Allowance:
        """Allow up to `wanted` requests, out of each bucket as many."""
        rows = [
            {"name": bucket.name, "rate": max(1, round(bucket.rate * 1000)), "burst": bucket.burst}
            for bucket in buckets
        ]
        reply = await self._runner.run("allow", INSTALLATION, buckets=rows, wanted=wanted)
        return Allowance(reply.allowed, reply.wait / 1000, tuple(reply.left))
