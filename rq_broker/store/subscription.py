"""A subscription to one channel.

It reads the socket itself: redis-py takes twice the CPU for a message that comes alone. fakeredis
has no socket, so redis-py's own subscription is used there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hiredis import HiredisError, Reader
from redis import exceptions
from redis.asyncio import Redis

from rq_broker.store.cancellation import raise_if_cancelled
from rq_broker.store.redis_private import dial

Received = Callable[[str, str], object]
"""Takes the kind of a message, `subscribe` or `message`, and its text."""


async def subscribe(client: Redis, channel: str, received: Received, dial_seconds: float) -> None:
    """Pass on the messages of a channel until the subscription is lost.

    Args:
        client: Dials; on a cluster, of one node.
        channel: The channel.
        received: Called with each message, and once when the subscription begins.
        dial_seconds: For how long it may dial.

    Raises:
        redis.RedisError, OSError: Redis cannot be reached, refuses, or the connection is lost.
    """
    if type(client) is not Redis:
        await _through_redis_py(client, channel, received, dial_seconds)
        return
    subscription = _Subscription(received)
    async with asyncio.timeout(dial_seconds):
        subscription.dialled = await dial(client, subscription)
    try:
        subscription.dialled.transport.write(f"SUBSCRIBE {channel}\r\n".encode())
        await subscription.lost
    finally:
        await subscription.dialled.release()


class _Subscription(asyncio.Protocol):
    """The connection from its greeting to its loss."""

    def __init__(self, received: Received) -> None:
        self._received = received
        self._reader = Reader(encoding="utf-8", errors="surrogateescape")
        self.dialled: Any = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Raises why the connection ended."""

    def data_received(self, data: bytes) -> None:
        """Pass on each message."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, Exception):  # a user without the right to the channel
                    self._end(exceptions.ResponseError(str(reply)))
                elif isinstance(reply, list):
                    kind, _, text = reply
                    self._received(kind, str(text))
        except (HiredisError, ValueError) as error:
            self._end(exceptions.ConnectionError(f"not a message: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell redis-py's own protocol as well."""
        self.dialled.lost(error)
        self._end(exceptions.ConnectionError(f"subscription lost: {error or 'closed'}"))

    def _end(self, error: Exception) -> None:
        if not self.lost.done():
            self.lost.set_exception(error)


async def _through_redis_py(
    client: Redis, channel: str, received: Received, dial_seconds: float
) -> None:
    pubsub = client.pubsub()
    try:
        async with asyncio.timeout(dial_seconds):
            await pubsub.subscribe(channel)
        while True:
            message = await pubsub.get_message(timeout=dial_seconds)
            raise_if_cancelled()
            if message:
                received(message["type"], str(message["data"]))
    finally:
        with suppress(exceptions.RedisError, OSError):
            await pubsub.aclose()
