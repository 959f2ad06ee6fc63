"""How `api` and `notifier` start: they wait for Redis, and end if it is unfit for them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from contextlib import aclosing

from redis.asyncio import Redis, RedisCluster

from rq_broker.domain.errors import Unavailable
from rq_broker.store.acl import missing_rights
from rq_broker.store.connection import connect, servers_of
from rq_broker.store.fitness import durability, memory, reach, unfitness
from rq_broker.store.redis_url import parse
from rq_broker.store.runner import Runner
from rq_broker.store.trouble import details

RETRY_SECONDS = 0.5
"""Seconds between two attempts to reach Redis. A longer time delays the start by as much."""
LOG_SECONDS = 5.0
"""Seconds between two lines that say what the process waits for."""
CHECK_SECONDS = 10.0
"""Seconds that the checks may take once Redis answers. Those of a cluster ask each node in turn,
and one that hangs must not keep the process from serving with the others."""

_log = logging.getLogger(__name__)


async def await_redis(url: str, role: str, types: Collection[str] = ()) -> list[tuple[str, int]]:
    """Wait until Redis answers and was checked: it must be fit, and grant the role's rights.

    Returns:
        Where the servers listen that the URL does not name, see connection.servers_of.

    Raises:
        Unavailable: Redis answers, and is unfit.
    """
    async with aclosing(connect(url)) as client:
        refusal = None
        while refusal is None:
            await _await_answer(client, parse(url).shown)
            try:
                refusal = await _refusal(client, role, types)
            except Unavailable:  # it went away meanwhile
                await asyncio.sleep(RETRY_SECONDS)
        if refusal:
            raise Unavailable(refusal)
        return await servers_of(client)


async def _refusal(client: Redis | RedisCluster, role: str, types: Collection[str]) -> str:
    """Say why the process must not start; '' if it may. What is less than that is logged."""
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            refusal = await unfitness(client) or await missing_rights(client, role, types)
            if not refusal:
                for sentence in (await durability(client), (await memory(Runner(client)))[1]):
                    if sentence:
                        _log.warning("%s", sentence)
            return refusal
    except TimeoutError:
        _log.warning("a server of Redis does not answer; its rights were not checked")
        return ""


async def _await_answer(client: Redis | RedisCluster, shown: str) -> None:
    next_line, waiting = time.monotonic(), False
    while True:
        try:
            await reach(client)
            break
        except Unavailable as error:
            if time.monotonic() >= next_line:
                cause = f" ({details(error.__cause__)})" if error.__cause__ else ""
                _log.warning("waiting for Redis at %s: %s%s", shown, error, cause)
                next_line, waiting = time.monotonic() + LOG_SECONDS, True
        await asyncio.sleep(RETRY_SECONDS)
    if waiting:
        _log.warning("Redis at %s answers", shown)
