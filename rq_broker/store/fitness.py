"""Checks at the start of a process: whether Redis answers, and whether it is fit for a queue."""

from __future__ import annotations

import re

from redis.asyncio import Redis, RedisCluster

from rq_broker.domain import errors
from rq_broker.store.runner import Runner

FIT_POLICY = "noeviction"
"""The one maxmemory-policy under which Redis deletes nothing of a queue."""
_SENTINEL = re.compile(r"^redis_mode:sentinel\r?$", re.MULTILINE)
_NO_LOG = re.compile(r"^aof_enabled:0\r?$", re.MULTILINE)
_NO_LIMIT = re.compile(r"^maxmemory:0\r?$", re.MULTILINE)
_POLICY = re.compile(r"^maxmemory_policy:(.*?)\r?$", re.MULTILINE)


async def unfitness(client: Redis | RedisCluster) -> str:
    """Say that a server may evict keys, or is a Sentinel; '' if all that answer are fit.

    On a cluster one answer is enough: a part of it may be down while the rest serves.

    Raises:
        Unavailable: None answers.
    """
    if sentence := _eviction(await reach(client)):
        return sentence
    if any(_SENTINEL.search(answer) for answer in await _info(Runner(client), "server")):
        return (
            "a Sentinel answers at --redis, which keeps no data; name it by"
            " redis+sentinel://host:port/service, where `service` is the name that it watches"
        )
    return ""


async def durability(client: Redis | RedisCluster) -> str:
    """Say that a server would lose acknowledged writes at a restart; '' if none would."""
    if any(_NO_LOG.search(answer) for answer in await _info(Runner(client), "persistence")):
        return (
            "Redis has no append-only file (appendonly no): a restart of it loses jobs and grants"
            " that were acknowledged since its last snapshot"
        )
    return ""


async def memory(runner: Runner) -> tuple[str, str]:
    """Say that a server may evict keys, as a policy set later allows; and that one has no limit.

    Both are '' where that is not so.
    """
    answers = await _info(runner, "memory")
    return _eviction(answers), _unbounded(answers)


def _eviction(answers: list[str]) -> str:
    for answer in answers:
        policy = _POLICY.search(answer)
        if policy and policy[1] != FIT_POLICY:
            return f"Redis has maxmemory-policy {policy[1]}; a queue needs {FIT_POLICY}"
    return ""


def _unbounded(answers: list[str]) -> str:
    if any(_NO_LIMIT.search(answer) for answer in answers):
        return (
            "Redis has no maxmemory: before it refuses writes, the machine has no memory left and"
            " may kill it; set one, with room for a fork"
        )
    return ""


async def reach(client: Redis | RedisCluster) -> list[str]:
    """Ask every server that takes writes for its memory settings; returns what answered.

    Raises:
        Unavailable: none answers, or the login is refused. `__cause__` has the details.
    """
    return await _info(Runner(client), "memory")


async def _info(runner: Runner, section: str) -> list[str]:
    try:
        return await runner.each_primary("INFO", section)
    except errors.RedisRefuses as error:
        if "NOPERM" not in str(error.__cause__):
            raise
    except errors.Internal:
        pass  # fakeredis has no INFO
    return []
