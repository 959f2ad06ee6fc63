"""Clients for the Redis a URL names, and whether that Redis is fit for a queue."""

from __future__ import annotations

import logging
from typing import Any

import fakeredis
import redis
from redis.asyncio import Redis, RedisCluster

from rq_broker.domain.errors import Unavailable

log = logging.getLogger(__name__)

NO_ANSWER = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.RedisClusterException)
_CONNECTIONS = 10_000  # a notifier blocks on one for each type it serves; all else shares a few


_TEXT: dict[str, Any] = {"decode_responses": True, "encoding_errors": "surrogateescape"}


def connect(url: str, *, timeout: float = 1.5) -> Redis | RedisCluster:
    """Make a client for a Redis URL, or a cluster's, `redis+cluster://` or `rediss+cluster://`.

    Nothing is dialled before the first call.
    """
    options: dict[str, Any] = {
        **_TEXT,
        "socket_timeout": None,  # the runner's own spans each exchange, a blocking pop's too
        "socket_connect_timeout": timeout,
        "max_connections": _CONNECTIONS,
    }
    if "+cluster://" in url:
        cluster: RedisCluster = RedisCluster.from_url(url.replace("+cluster", "", 1), **options)
        return cluster
    client: Redis = Redis.from_url(url, **options)
    return client


def in_memory() -> Redis:
    """Make a client of a Redis that is none: it lives in this process and ends with it."""
    client: Redis = fakeredis.FakeAsyncRedis(
        server=fakeredis.FakeServer(), max_connections=_CONNECTIONS, **_TEXT
    )
    return client


async def check_fit(client: Redis | RedisCluster) -> None:
    """Raise Unavailable if Redis may evict keys: a queue needs maxmemory-policy noeviction.

    A Redis that does not answer yet is logged: the process starts, and serves once it answers.
    """
    try:
        memory = await client.info("memory")
    except NO_ANSWER as error:
        log.warning("Redis does not answer yet; calls fail until it does: %s", error)
        return
    except (redis.RedisError, NotImplementedError):
        return
    policy = memory.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise Unavailable(f"Redis has maxmemory-policy {policy}; a queue needs noeviction")
