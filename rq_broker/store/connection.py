"""Makes clients for a Redis URL."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import redis
from redis.asyncio import Redis, RedisCluster, Sentinel, SSLConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff

from rq_broker.store.cluster import ClusterClient
from rq_broker.store.redis_url import RedisUrl, parse

NO_ANSWER = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.RedisClusterException)
_SENTINEL_SECONDS = 0.4
"""Seconds that one Sentinel may take to answer; the next is asked then. Three times it must be less
than the time for a dial, or two that hang keep the third from being asked."""
_CONNECTIONS = 10_000
"""Most connections of one client; redis-py raises an error where more are needed. Calls share a
few, but those of fakeredis need one each."""
_TEXT: dict[str, Any] = {"decode_responses": True, "encoding_errors": "surrogateescape"}
"""Replies are text. Bytes that are not UTF-8 become surrogates, and are sent as the same bytes."""


def connect(url: str, *, timeout: float = 1.5) -> Redis | RedisCluster:
    """Return a client for a Redis URL; it dials at the first call.

    Args:
        url: see redis_url.parse.
        timeout: seconds that a dial may take.

    Raises:
        Invalid: the URL is none of Redis.
    """
    where = parse(url)
    options: dict[str, Any] = {
        **_TEXT,
        "socket_timeout": None,  # the runner has one for each call
        "socket_connect_timeout": timeout,
        "max_connections": _CONNECTIONS,
    }
    if where.way == "cluster":
        return _cluster(where, options)
    if where.way == "sentinel":
        return _primary_of_sentinels(where, options)
    client: Redis = Redis.from_url(url, **options)
    return client


def _cluster(where: RedisUrl, options: dict[str, Any]) -> RedisCluster:
    options |= parse_url(where.plain)
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    others = [ClusterNode(host, port) for host, port in where.addresses[1:]]
    return ClusterClient(**options, startup_nodes=others)


def _primary_of_sentinels(where: RedisUrl, options: dict[str, Any]) -> Redis:
    """Return a client that asks the Sentinels at each dial which server is the primary."""
    options |= parse_url(where.plain)
    for name in ("host", "port"):
        options.pop(name, None)
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    tls = {name: value for name, value in options.items() if name.startswith("ssl")}
    sentinels = Sentinel(
        where.addresses,
        sentinel_kwargs={
            **tls,
            **where.sentinel_login,
            "socket_timeout": _SENTINEL_SECONDS,
            "socket_connect_timeout": _SENTINEL_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        },
    )
    client: Redis = sentinels.master_for(
        where.service, connection_pool_class=_PrimaryPool, **options
    )
    return client


class _PrimaryPool(SentinelConnectionPool):
    """Connections to the primary; closing them closes those to the Sentinels too."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; only those that nobody uses, if the primary is another now."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.aclose()


def ask_another_sentinel(client: Redis | RedisCluster) -> None:
    """Ask the next Sentinel first at the next dial: the one asked so far named a demoted server."""
    if isinstance(client, Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        sentinels = client.connection_pool.sentinel_manager.sentinels
        sentinels.append(sentinels.pop(0))


async def servers_of(client: Redis | RedisCluster) -> list[tuple[str, int]]:
    """List where the servers behind a client listen, as far as it knows them after a call.

    That is the nodes of a cluster, or the primary and the replicas that Sentinels know.
    """
    if isinstance(client, ClusterClient):
        nodes = [address for router in client.routers for address in router.addresses()]
        return [(host, port) for host, port in dict.fromkeys(nodes)]
    if isinstance(client, Redis) and isinstance(client.connection_pool, SentinelConnectionPool):
        pool = client.connection_pool
        replicas: list[tuple[str, int]] = []
        with suppress(redis.RedisError):
            replicas = await pool.sentinel_manager.discover_slaves(pool.service_name)
        return [address for address in (pool.master_address, *replicas) if address]
    return []


def in_memory() -> Redis:
    """Return a client of a fakeredis: its data lives in this process and ends with it."""
    import fakeredis  # noqa: PLC0415 - slow to import, and no server of Redis needs it

    client: Redis = fakeredis.FakeAsyncRedis(
        server=fakeredis.FakeServer(), max_connections=_CONNECTIONS, **_TEXT
    )
    return client
