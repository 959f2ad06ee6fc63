"""One connection that many callers share: what they ask at once travels together.

redis-py lends a connection per command; at 16 commands in flight most of a submit's time then goes
to the pool and to its streams. So redis-py dials and greets (TLS, AUTH, database), then its
transport is ours, and each reply is handed out the moment it arrives.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import Any

from hiredis import HiredisError, PushNotification, Reader, pack_command
from redis import exceptions
from redis.asyncio import Redis

BATCH = 8
"""Calls that travel without waiting for the replies still owed; fewer wait, and gather."""

_log = logging.getLogger(__name__)


class Lane:
    """Has a connection once one is needed, and another after that was lost."""

    def __init__(self, client: Redis, timeout: float) -> None:
        self._pool: Any = client.connection_pool
        self._timeout = timeout
        self._wire: _Wire | None = None
        self._early: list[tuple[bytes, asyncio.Future[Any]]] = []
        self._dialling: asyncio.Task[None] | None = None
        self._told = False

    @property
    def gathered(self) -> int:
        """How many calls it sends next."""
        return len(self._wire.packed) if self._wire else len(self._early)

    @property
    def owed(self) -> int:
        """How many replies it waits for."""
        return len(self._wire.owed) if self._wire else len(self._early)

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """Send one command; the future is its reply, or what Redis answered instead."""
        packed = _packed(command)
        wire = self._wire if self._wire and not self._wire.lost else None
        loop = wire.loop if wire else asyncio.get_running_loop()  # which asks for the process's id
        future: asyncio.Future[Any] = loop.create_future()
        if wire:
            wire.ask(packed, future)
            return future
        self._early.append((packed, future))
        if self._dialling is None:
            self._dialling = loop.create_task(self._dial())
        return future

    async def _dial(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                if self._wire:
                    await self._wire.connection.disconnect(nowait=True)
                    await self._pool.release(self._wire.connection)
                    self._wire = None
                wire = _Wire(await self._pool.get_connection(), self._timeout)
        except BaseException as error:
            _fail((future for _, future in self._early), error)
            if not isinstance(error, Exception):
                raise
            self._tell(error)
        else:
            self._wire, self._told = wire, False
            for packed, future in self._early:
                wire.ask(packed, future)
        finally:
            self._early = []
            self._dialling = None

    def _tell(self, error: Exception) -> None:
        """Log once per loss why there is no connection; callers only hear that Redis is away."""
        if not self._told:
            _log.warning("no connection to Redis: %s: %s", type(error).__name__, error)
        self._told = True


class _Wire(asyncio.Protocol):
    """One connection, from the greeting to its end. The n-th reply is the n-th caller's."""

    def __init__(self, connection: Any, timeout: float) -> None:
        self.connection = connection
        self.packed: list[bytes] = []
        self.owed: deque[asyncio.Future[Any]] = deque()
        self.lost = False
        self.loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._heard = 0.0
        self._watch: asyncio.TimerHandle | None = None
        self._reader = Reader(replyError=_refusal, encoding="utf-8", errors="surrogateescape")
        self._transport = connection._writer.transport
        self._former = self._transport.get_protocol()
        self._transport.set_protocol(self)

    def ask(self, packed: bytes, future: asyncio.Future[Any]) -> None:
        """Send what is packed at the end of this turn of the loop, or with the next batch."""
        if not self.owed:
            self._heard = self.loop.time()
        self.owed.append(future)
        self.packed.append(packed)
        if len(self.packed) == len(self.owed) == 1:
            self.loop.call_soon(self._send)
            if self._watch is None:
                self._watch = self.loop.call_later(self._timeout, self._look)
        elif len(self.packed) == BATCH:
            self._send()

    def _send(self) -> None:
        if self.packed and not self.lost:
            self._transport.write(b"".join(self.packed))
            self.packed.clear()

    def data_received(self, data: bytes) -> None:
        """Hand out replies; once none is owed, send what gathered meanwhile."""
        self._heard = self.loop.time()
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if not isinstance(reply, PushNotification):
                    self._answer(reply)
        except (HiredisError, IndexError) as error:  # not Redis's protocol; a reply nobody is owed
            self._lose(error)
        if len(self.packed) == len(self.owed):
            self.loop.call_soon(self._send)

    def _answer(self, reply: Any) -> None:
        future = self.owed.popleft()
        if future.done():
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def _look(self) -> None:
        """Give the connection up after so long without a word while some is owed."""
        self._watch = None
        if self.lost or not self.owed:
            return
        left = self._heard + self._timeout - self.loop.time()
        if left <= 0:
            self._lose(TimeoutError("no reply in time"))
        else:
            self._watch = self.loop.call_later(left, self._look)

    def connection_lost(self, error: Exception | None) -> None:
        """Tell all who wait; redis-py's own protocol too, which may wait for the end."""
        self._former.connection_lost(error)
        self._lose(error or EOFError("closed"))

    def _lose(self, error: Exception) -> None:
        if not self.lost:
            self.lost = True
            self._transport.abort()
            _fail(self.owed, error)


def _fail(futures: Iterable[asyncio.Future[Any]], error: BaseException) -> None:
    lost = exceptions.ConnectionError(f"connection to Redis lost: {error!r}")
    for future in futures:
        if not future.done():
            future.set_exception(lost)


def _refusal(text: str) -> exceptions.ResponseError:
    if text.startswith("NOSCRIPT"):
        return exceptions.NoScriptError(text)
    return exceptions.ResponseError(text)


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
