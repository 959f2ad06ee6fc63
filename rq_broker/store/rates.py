"""How many requests a second somebody may make: buckets of tokens that all API processes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rq_broker.store.keys import INSTALLATION
from rq_broker.store.runner import Runner


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens that come evenly; each request takes one."""

    name: str
    rate: float
    """Tokens a second, 0.001 at least."""
    burst: int
    """Tokens in a full bucket: so many requests may come at once."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken out of some buckets."""

    tokens: int
    """How many, 0 for none."""
    wait: float
    """Seconds until there is one again, if none was taken."""
    left: tuple[int, ...]
    """Tokens that each bucket has left."""


class Rates:
    """The one verb of buckets."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def take_tokens(self, buckets: Sequence[Bucket], wanted: int = 1) -> Taken:
        """Take up to `wanted` tokens, out of each bucket as many."""
        rows = [
            {"name": bucket.name, "rate": max(1, round(bucket.rate * 1000)), "burst": bucket.burst}
            for bucket in buckets
        ]
        reply = await self._runner.run("take_tokens", INSTALLATION, buckets=rows, wanted=wanted)
        return Taken(reply.taken, reply.wait / 1000, tuple(reply.left))
