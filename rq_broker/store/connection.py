"""Makes clients for a Redis URL, and checks whether that Redis is fit for a queue."""

from __future__ import annotations

import logging
from typing import Any

import fakeredis
import redis
from redis.asyncio import Redis, RedisCluster

from rq_broker.domain.errors import Unavailable
from rq_broker.store.cluster import ClusterClient

log = logging.getLogger(__name__)

NO_ANSWER = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.RedisClusterException)
_CONNECTIONS = 10_000
"""Most connections of one client. A notifier blocks on one for each type that it serves, and
redis-py raises an error where more are needed; all other calls share a few."""
_TEXT: dict[str, Any] = {"decode_responses": True, "encoding_errors": "surrogateescape"}
"""Replies are text. Bytes that are not UTF-8 become surrogates, and are sent as the same bytes."""


def connect(url: str, *, timeout: float = 1.5) -> Redis | RedisCluster:
    """Return a client for a Redis URL; it dials at the first call.

    Args:
        url: `redis://`, `rediss://` or `unix://`; for a cluster, `redis+cluster://` or
            `rediss+cluster://`.
        timeout: seconds that a dial may take.
    """
    options: dict[str, Any] = {
        **_TEXT,
        "socket_timeout": None,  # the runner has one for each call, longer for a blocking pop
        "socket_connect_timeout": timeout,
        "max_connections": _CONNECTIONS,
    }
    if "+cluster://" in url:
        cluster: RedisCluster = ClusterClient.from_url(url.replace("+cluster", "", 1), **options)
        return cluster
    client: Redis = Redis.from_url(url, **options)
    return client


def in_memory() -> Redis:
    """Return a client of a fakeredis: its data lives in this process and ends with it."""
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
