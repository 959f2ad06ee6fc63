"""Clients of Redis users that a test has made."""

from __future__ import annotations

from redis.asyncio import Redis


def logged_in(client: Redis, user: str) -> Redis:
    """Make a client of a user, whose password is `pw`, on the server of another client."""
    options = client.connection_pool.connection_kwargs
    return Redis(
        host=options["host"],
        port=options["port"],
        username=user,
        password="pw",
        decode_responses=True,
    )
