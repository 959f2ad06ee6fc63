"""Runs scripts and plain commands, and raises the errors of domain/errors.py.

Calls share a few connections (see multiplexer). On a cluster each call goes through the cluster
client instead, which knows the node; fakeredis has no connection to share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from rq_broker.domain import errors
from rq_broker.store.keys import TYPES, Keys
from rq_broker.store.multiplexer import BATCH, Multiplexer
from rq_broker.store.scripts import SCRIPTS

_ERRORS = errors.by_word()
_UNREACHABLE = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.RedisClusterException,
    OSError,
    TimeoutError,
)
_REFUSED = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
_NOT_SERVING = ("LOADING", "BUSY", "READONLY", "MASTERDOWN", "OOM", "MISCONF", "NOREPLICAS")
"""First words of the errors by which a Redis that answers says that it cannot serve now."""
_NOT_SERVING_CLASSES = (
    exceptions.ReadOnlyError,
    exceptions.OutOfMemoryError,
    exceptions.ClusterDownError,  # MasterDownError is a subclass
    exceptions.TryAgainError,
)
"""The same, where redis-py has a class for the word and strips it from the sentence: that is so for
calls of a cluster. The multiplexer reads replies itself and keeps the word."""
_NEVER_WRITTEN = f"{TYPES}:fit"
"""The key of the write check. It never exists: writing no bytes to it changes nothing, yet fails
where writes fail."""
MULTIPLEXERS = 2
"""Connections shared by all calls: Redis executes the calls of one connection while calls collect
for the other. With one connection Redis would be idle meanwhile; with more, each write would have
fewer calls."""


class Runner:
    """Runs verbs on one Redis client.

    Args:
        client: Its connections are dialled and configured by it.
        timeout: Seconds for one call.
    """

    def __init__(self, client: Redis | RedisCluster, timeout: float = 1.5) -> None:
        self.client = client
        self._call: Callable[..., Awaitable[Any]]
        self._timeout = timeout
        if type(client) is Redis:
            self._multiplexers = [Multiplexer(client, timeout) for _ in range(MULTIPLEXERS)]
            self._call = self._multiplexed
        else:
            self._call = self._direct

    def _multiplexed(self, *command: Any) -> Awaitable[Any]:
        """Add the call to the next write of a busy connection, unless a batch waits there."""
        for multiplexer in self._multiplexers:
            if multiplexer.unanswered and multiplexer.unsent < BATCH:
                return multiplexer.call(*command)
        least_busy = min(self._multiplexers, key=lambda multiplexer: multiplexer.unanswered)
        return least_busy.call(*command)

    async def _direct(self, *command: Any) -> Any:
        async with asyncio.timeout(self._timeout):
            return await self.client.execute_command(*command)

    async def run(self, verb: str, type_: str, /, **arguments: Any) -> Any:
        """Run the script of a verb on one type, with the arguments that its header declares.

        Returns:
            The reply, a tuple named as the header's Returns; None for `Returns none`.

        Raises:
            The error whose word the script replied.
        """
        script = SCRIPTS[verb]
        base = Keys(type_).base
        values = script.encode(arguments)
        try:
            reply = await self._call("EVALSHA", script.sha, 1, base, *values)
        except exceptions.NoScriptError:
            reply = await self.command("EVAL", script.source, 1, base, *values)
        except _REFUSED as error:
            raise translate(error) from error
        return script.decode(reply)

    async def command(self, *command: Any) -> Any:
        """Send a plain command."""
        try:
            return await self._call(*command)
        except _REFUSED as error:
            raise translate(error) from error

    async def ping(self) -> None:
        """Raise Unavailable unless Redis answers and takes writes."""
        await self.command("SETRANGE", _NEVER_WRITTEN, 0, "")

    async def now(self) -> float:
        """Read Redis's clock, seconds since 1970: the one time all processes share."""
        seconds, microseconds = await self.command("TIME")
        return int(seconds) + int(microseconds) / 1e6

    async def wait(self, type_: str, seconds: float) -> str | None:
        """Block for at most `seconds` (≥ 1, see BZPOPMIN) until a loop of the type has work.

        Returns:
            The marker: `grant` or `deliver`; None where none came in time.
        """
        key = Keys(type_).of("wake")
        try:
            async with asyncio.timeout(seconds + self._timeout):
                popped = await self.client.bzpopmin(key, seconds)
        except _REFUSED as error:
            raise translate(error) from error
        finally:
            # A client may answer although it was cancelled: fakeredis does while it connects. The
            # caller waits in a loop, so without this it would never end.
            task = asyncio.current_task()
            if task and task.cancelling():
                raise asyncio.CancelledError
        return str(popped[1]) if popped else None

    async def aclose(self) -> None:
        """Close the connections."""
        with suppress(exceptions.RedisError):
            await self.client.aclose()


def translate(error: Exception) -> Exception:
    """Return the error of domain/errors.py for one of redis-py."""
    if isinstance(error, _UNREACHABLE):
        return errors.Unavailable("Redis does not answer")
    word, _, sentence = str(error).partition(" ")
    if word in _ERRORS:
        return _ERRORS[word](sentence)
    if word in _NOT_SERVING or isinstance(error, _NOT_SERVING_CLASSES):
        return errors.Unavailable("Redis cannot serve now")
    return errors.Internal(f"Redis refused: {error}")
