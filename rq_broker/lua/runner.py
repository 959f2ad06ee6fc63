"""Runs scripts: many callers share one connection, and what they ask at once travels together.

redis-py lends a connection per command; at 16 commands in flight most of a submit's time then goes
to the pool. Here a call only packs its command; whatever gathered during one turn of the loop is
written in one piece, and replies are handed out in order. On a cluster each call goes through the
cluster client instead, which knows the node.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any

from hiredis import pack_command
from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from rq_broker import errors
from rq_broker.lua import SCRIPTS, Script

_ERRORS = errors.by_word()
_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.RedisClusterException,
    OSError,
    TimeoutError,
)
_REFUSED = (exceptions.RedisError, exceptions.RedisClusterException, OSError)
_UNFIT = ("LOADING", "BUSY", "READONLY", "MASTERDOWN", "OOM", "MISCONF", "NOREPLICAS")
_CHUNK = 1024
LANES = 2
BATCH = 8
"""Calls that travel together before a second lane is taken: one works while the other travels."""
TRUSTED_SECONDS = 0.1


class Lane:
    """One connection, and whoever waits for a reply on it. After a pause it is checked first."""

    def __init__(self, client: Redis, timeout: float) -> None:
        self._pool: Any = client.connection_pool
        self._timeout = timeout
        self._waiting: list[tuple[bytes, asyncio.Future[Any]]] = []
        self._task: asyncio.Task[None] | None = None
        self._connection: Any = None
        self._used = 0.0

    @property
    def load(self) -> int:
        """One more than what it will send next; 0 when it is at rest."""
        return 0 if self._task is None else 1 + len(self._waiting)

    async def call(self, *command: Any) -> Any:
        """Send one command, return its reply or raise what Redis answered."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((_packed(command), future))
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
        return await future

    async def _serve(self) -> None:
        owed: deque[asyncio.Future[Any]] = deque()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                await self._connect()
                await self._talk(self._connection, owed, limit)
        except BaseException as error:
            if self._connection is not None:
                await self._connection.disconnect(nowait=True)
            lost = exceptions.ConnectionError(f"connection to Redis lost: {error!r}")
            for future in [*owed, *(future for _, future in self._waiting)]:
                if not future.done():
                    future.set_exception(lost)
            self._waiting.clear()
            if not isinstance(error, Exception):
                raise
        finally:
            self._task = None

    async def _connect(self) -> None:
        """Have a connection that was alive a moment ago: the pool checks what it lends."""
        now = asyncio.get_running_loop().time()
        if self._connection is None or now - self._used > TRUSTED_SECONDS:
            if self._connection is not None:
                await self._pool.release(self._connection)
                self._connection = None
            self._connection = await self._pool.get_connection()
        self._used = now

    async def _talk(
        self, connection: Any, owed: deque[asyncio.Future[Any]], limit: asyncio.Timeout
    ) -> None:
        clock = asyncio.get_running_loop().time
        while self._waiting or owed:
            if self._waiting:
                batch, self._waiting = self._waiting[:_CHUNK], self._waiting[_CHUNK:]
                owed.extend(future for _, future in batch)
                packed = b"".join([command for command, _ in batch])
                await connection.send_packed_command(packed, check_health=False)
            for _ in range(len(owed)):
                limit.reschedule(clock() + self._timeout)
                await self._deliver_one(connection, owed)
            await asyncio.sleep(0)  # those just answered may have more to ask

    async def _deliver_one(self, connection: Any, owed: deque[asyncio.Future[Any]]) -> None:
        try:
            reply = await connection.read_response(timeout=inf)  # ours spans them all
        except exceptions.ResponseError as error:
            reply = error
        future = owed.popleft()
        if future.done():
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)


def _packed(command: tuple[Any, ...]) -> bytes:
    try:
        packed: bytes = pack_command(command)
    except UnicodeEncodeError:  # what was read as broken UTF-8 goes back as the same bytes
        parts: list[Any] = [
            part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
            for part in command
        ]
        packed = pack_command(tuple(parts))
    return packed


class Runner:
    """Runs verbs on whatever Redis it was given, and speaks the error tree."""

    def __init__(self, client: Redis | RedisCluster, timeout: float = 1.5) -> None:
        self.client = client
        self._call: Callable[..., Awaitable[Any]]
        self._timeout = timeout
        if isinstance(client, RedisCluster):
            self._call = self._direct
        else:
            self._lanes = [Lane(client, timeout) for _ in range(LANES)]
            self._call = self._by_lane

    def _by_lane(self, *command: Any) -> Awaitable[Any]:
        """Join what a busy lane sends next; another lane only where that is a batch already."""
        for lane in self._lanes:
            if 0 < lane.load < BATCH:
                return lane.call(*command)
        return min(self._lanes, key=lambda lane: lane.load).call(*command)

    async def _direct(self, *command: Any) -> Any:
        async with asyncio.timeout(self._timeout):
            return await self.client.execute_command(*command)

    async def run(self, verb: str, base: str, *args: Any) -> Any:
        """Run one script on one type; raises the error whose word the script answered."""
        script = SCRIPTS[verb]
        try:
            return await self._call("EVALSHA", script.sha, 1, base, *args)
        except exceptions.NoScriptError:
            return await self._load_and_run(script, base, *args)
        except _REFUSED as error:
            raise translate(error) from error

    async def _load_and_run(self, script: Script, base: str, *args: Any) -> Any:
        return await self.command("EVAL", script.source, 1, base, *args)

    async def command(self, *command: Any) -> Any:
        """Send a plain command."""
        try:
            return await self._call(*command)
        except _REFUSED as error:
            raise translate(error) from error

    async def wait(self, key: str, seconds: float) -> str | None:
        """Pop the first marker of a sorted set, waiting for one; seconds ≥ 1, see BZPOPMIN."""
        try:
            async with asyncio.timeout(seconds + self._timeout):
                popped = await self.client.bzpopmin(key, seconds)
        except _REFUSED as error:
            raise translate(error) from error
        return str(popped[1]) if popped else None

    async def aclose(self) -> None:
        """Close the connections."""
        with suppress(exceptions.RedisError):
            await self.client.aclose()


def translate(error: Exception) -> Exception:
    """Find the error of ours that says what Redis said."""
    if isinstance(error, _AWAY):
        return errors.Unavailable("Redis does not answer")
    word, _, sentence = str(error).partition(" ")
    if word in _ERRORS:
        return _ERRORS[word](sentence)
    name = type(error).__name__.removesuffix("Error").upper()
    if word in _UNFIT or any(
        name.startswith(each) for each in ("BUSYLOADING", "READONLY", "OUTOFMEMORY")
    ):
        return errors.Unavailable("Redis cannot serve now")
    return errors.Internal(f"Redis refused: {error}")
