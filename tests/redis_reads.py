"""Reads of Redis typed as text: clients in tests decode replies, redis-py's types do not say."""

from __future__ import annotations

from redis.asyncio import Redis


async def key_names(client: Redis) -> list[str]:
    """Return the name of every key."""
    return [str(key) for key in await client.keys()]


async def members(client: Redis, key: str) -> list[str]:
    """Return the members of a sorted set in the order of their scores."""
    return [str(member) for member in await client.zrange(key, 0, -1)]
