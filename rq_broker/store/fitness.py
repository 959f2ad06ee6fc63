"""Checks at the start of a process: whether Redis answers, and whether it is fit for a queue."""

from __future__ import annotations

import re

from redis.asyncio import Redis, RedisCluster

from rq_broker.domain import errors
from rq_broker.store.runner import Runner

FIT_POLICY = "noeviction"
"""The one maxmemory-policy under which Redis deletes nothing of a queue."""
_POLICY = re.compile(r"^maxmemory_policy:(.*?)\r?$", re.MULTILINE)


async def check_fit(client: Redis | RedisCluster) -> None:
    """Raise Unavailable if Redis does not answer, or if a server may evict keys.

    On a cluster one answer is enough: a part of it may be down while the rest serves.
    """
    if sentence := _eviction(await reach(client)):
        raise errors.Unavailable(sentence)


async def eviction(runner: Runner) -> str:
    """Say that a server may evict keys, as a policy set later allows; '' if none may."""
    return _eviction(await _memory(runner))


def _eviction(answers: list[str]) -> str:
    for answer in answers:
        policy = _POLICY.search(answer)
        if policy and policy[1] != FIT_POLICY:
            return f"Redis has maxmemory-policy {policy[1]}; a queue needs {FIT_POLICY}"
    return ""


async def reach(client: Redis | RedisCluster) -> list[str]:
    """Ask every server that takes writes for its memory settings; returns what answered.

    Raises:
        Unavailable: none answers, or the login is refused. `__cause__` has the details.
    """
    return await _memory(Runner(client))


async def _memory(runner: Runner) -> list[str]:
    try:
        return await runner.each_primary("INFO", "memory")
    except errors.RedisRefuses as error:
        if "NOPERM" not in str(error.__cause__):
            raise
    except errors.Internal:
        pass  # fakeredis has no INFO
    return []
