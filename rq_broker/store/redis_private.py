"""All that rq-broker needs of redis-py beyond what redis-py documents; no other module may.

That is: a dialled connection keeps its transport at `connection._writer.transport`, and the
transport's protocol may be exchanged; a cluster client keeps the options of its connections in
`connection_kwargs`, with objects of its own among them. tests/store/test_redis_private.py proves it
on the installed version; pyproject.toml allows only versions that were tested.
"""

from __future__ import annotations

import asyncio
from typing import Any

import redis
from redis.asyncio import ConnectionPool, Redis, RedisCluster

_OPTIONS_OF_CLUSTERS = ("response_callbacks", "himport_registry", "event_dispatcher",
                        "oss_cluster_maint_notifications_handler",
                        "maint_notifications_config")  # fmt: skip
"""Options by which a cluster client's connections report to that client."""


class UnsupportedRedisPy(RuntimeError):
    """The installed redis-py keeps its socket where `DialledConnection` does not find it."""


class DialledConnection:
    """A connection that redis-py dials and greets, and whose bytes then go to our protocol.

    redis-py does what needs its options: TLS, AUTH, HELLO, SELECT. Afterwards it neither reads nor
    writes here, until `release` hands the connection back to its pool.
    """

    def __init__(self, pool: Any, connection: Any, protocol: asyncio.Protocol) -> None:
        self._pool = pool
        self._connection = connection
        try:
            self.transport: asyncio.Transport = connection._writer.transport
            self._redis_protocol = self.transport.get_protocol()
            self.transport.set_protocol(protocol)
        except AttributeError as error:
            raise UnsupportedRedisPy(
                f"rq-broker does not support redis-py {redis.__version__}: a dialled connection"
                f" has no _writer.transport that takes a protocol ({error});"
                " install a version that rq-broker's requirements allow"
            ) from error

    def lost(self, error: Exception | None) -> None:
        """Tell redis-py's own protocol that the socket is closed; its `disconnect` may wait."""
        self._redis_protocol.connection_lost(error)

    async def release(self) -> None:
        """Close the socket and hand the connection back to redis-py's pool."""
        await self._connection.disconnect(nowait=True)
        await self._pool.release(self._connection)


async def dial(client: Redis, protocol: asyncio.Protocol) -> DialledConnection:
    """Take a greeted connection out of the client's pool and route its bytes to `protocol`.

    Raises:
        UnsupportedRedisPy: the installed redis-py is not one of the supported versions.
        redis.RedisError, OSError: Redis is away, or refuses the login.
    """
    pool: Any = client.connection_pool
    connection = await pool.get_connection()
    try:
        return DialledConnection(pool, connection, protocol)
    except UnsupportedRedisPy:
        await pool.release(connection)
        raise


def cluster_node(cluster: RedisCluster, host: str, port: int) -> Redis:
    """Make a client of one node, with the login, TLS and other options of the cluster's client."""
    options: dict[str, Any] = {
        name: value
        for name, value in cluster.get_connection_kwargs().items()
        if name not in _OPTIONS_OF_CLUSTERS
    }
    client: Redis = Redis.from_pool(ConnectionPool(**options, host=host, port=port))
    return client
