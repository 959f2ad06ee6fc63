"""Sends the commands of many callers over one connection, several in one write.

redis-py lends a connection to each command; with 16 commands in flight most of a submit's time
goes to its pool and its streams. Here redis-py only dials (see redis_private); the multiplexer
then writes and reads the socket itself, and resolves each caller's future as its reply arrives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from hiredis import HiredisError, PushNotification, Reader, pack_command
from redis import exceptions
from redis.asyncio import Redis

from rq_broker.measures import REDIS_COMMANDS, REDIS_ROUND_TRIPS
from rq_broker.store.redis_errors import TooFewReplicas, served_elsewhere
from rq_broker.store.redis_private import DialledConnection, dial

BATCH = 8
"""Calls sent in one write while replies are outstanding. Fewer calls wait and gather, which saves
writes; a larger number saves more writes and keeps Redis idle for longer between two writes."""
LARGE = 2048
"""Bytes of a call that is sent at once: gathering others with it would save next to nothing. With
fewer, calls are written one by one; with more, a script of several submits waits for the last."""
ACKNOWLEDGE_MS = 500
"""How long replicas may take to acknowledge a write. A connection answers nothing else meanwhile:
a longer time makes every call slower while replicas are away; a shorter one fails more writes while
they are slow. It must be shorter than the silence after which a connection is given up."""
LOOKS = 6
"""Looks, spread over the timeout, that find a connection silent before it is given up. A late one
counts no more: while the machine stands still, nobody can answer. With fewer, it counts more."""
REDIAL_SECONDS = 0.25
"""Least age of a connection that is replaced because its server was demoted. A shorter one costs
more dials while no other server serves; a longer one keeps calls failing after a failover."""
_TRACK = (("HELLO", 3), ("CLIENT", "TRACKING", "ON"))
"""Makes Redis tell when a key changes that this connection read, over the connection itself, which
takes version 3 of the protocol. That costs a message a change, and nothing while nothing changes,
for any number of keys in any slots. A blocking XREAD takes keys of one slot only."""
OnChange = Callable[[Sequence[str] | None], None]


class Acknowledgement(NamedTuple):
    """A request to learn how many replicas have a write."""

    least: int
    """So many suffice: Redis answers as soon as it has them."""
    replicas: asyncio.Future[int]


class Multiplexer:
    """Sends every call over one connection; dials it at the first call, and again after a loss.

    A connection whose server says that it was demoted takes no further calls, see served_elsewhere:
    the next one dials anew, and reaches the server that now has the name or the role.
    """

    def __init__(
        self,
        client: Redis,
        timeout: float,
        on_retired: Callable[[], None] = lambda: None,
        on_change: OnChange | None = None,
        on_dial: Callable[[], None] = lambda: None,
    ) -> None:
        """Dial nothing yet.

        Args:
            client: dials the connection.
            timeout: seconds that a dial may take, and for which Redis may send nothing, as far as
                this process runs meanwhile.
            on_retired: called when a server says that another one serves now.
            on_change: called with the keys that calls read and that changed since, each once after
                a read; with None if all may have changed, as after the connection is lost. None:
                Redis is not asked to tell.
            on_dial: called after each dial: who answers then may have lost what was written.
        """
        self._client = client
        self._timeout = timeout
        self._on_retired = on_retired
        self._on_change = on_change
        self._on_dial = on_dial
        self._connection: _SharedConnection | None = None
        self._replaced: list[_SharedConnection] = []
        """Connections that take no further calls, and are not handed back to redis-py yet."""
        self._waiting_for_dial: list[tuple[bytes, asyncio.Future[Any], Acknowledgement | None]] = []
        self._dialling: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def unsent(self) -> int:
        """The number of calls that go with the next write."""
        connection = self._connection
        return len(connection.unsent) if connection else len(self._waiting_for_dial)

    @property
    def unanswered(self) -> int:
        """The number of calls without a reply, the unsent ones included."""
        connection = self._connection
        return len(connection.unanswered) if connection else len(self._waiting_for_dial)

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """Send one command.

        Returns:
            A future of the reply. It raises the error that Redis answers, or ConnectionError where
            the connection is lost first; the command may have been executed then.
        """
        packed = _packed(command)
        connection = self._connection
        if connection is None or connection.retired:
            return self._call_after_dial(packed, None)
        # The connection's loop: to ask asyncio for the running one costs a system call.
        future: asyncio.Future[Any] = connection.loop.create_future()
        connection.enqueue(packed, future)
        return future

    async def write(self, least: int, *command: Any) -> Any:
        """Send one command; returns its reply once replicas have what the server wrote.

        The replicas are asked once for all commands of one write to the socket.

        Args:
            least: how many replicas must have it.
            command: as of `call`.

        Raises:
            TooFewReplicas: fewer have it after ACKNOWLEDGE_MS; the command was executed.
        """
        acknowledged: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        request = Acknowledgement(least, acknowledged)
        connection = self._connection
        if connection is None or connection.retired:
            future = self._call_after_dial(_packed(command), request)
        else:
            future = connection.loop.create_future()
            connection.enqueue(_packed(command), future, request)
        try:
            reply = await future
        except BaseException:
            acknowledged.cancel()
            raise
        if await acknowledged < least:
            raise TooFewReplicas
        return reply

    def _call_after_dial(
        self, packed: bytes, request: Acknowledgement | None
    ) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._is_closed:
            _fail([future], EOFError("closed"))
            return future
        self._waiting_for_dial.append((packed, future, request))
        if self._dialling is None:
            self._dialling = loop.create_task(self._dial())
        return future

    async def _dial(self) -> None:
        """Replace the connection, then send the calls that wait for it, or fail them all."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._release_replaced()
                connection = await self._dialled()
        except BaseException as error:
            _fail((future for _, future, _ in self._waiting_for_dial), error)
            if not isinstance(error, Exception):
                raise
        else:
            self._connection = connection
            self._on_dial()
            for waiting in self._waiting_for_dial:
                connection.enqueue(*waiting)
        finally:
            self._waiting_for_dial = []
            self._dialling = None

    async def _dialled(self) -> _SharedConnection:
        connection = _SharedConnection(self._timeout, self._on_retired, self._on_change)
        await connection.dial(self._client)
        if self._on_change:
            try:
                await connection.track()
            except BaseException:
                await connection.release()
                raise
        return connection

    async def aclose(self) -> None:
        """Close the connection, or end its dial. Calls that are unanswered fail, and later ones."""
        self._is_closed = True
        if dialling := self._dialling:
            dialling.cancel()
            await asyncio.wait([dialling])
        if self._connection:
            self._connection.close()
        await self._release_replaced()

    async def _release_replaced(self) -> None:
        """Hand back the connections that are closed; others still await replies."""
        if self._connection:
            self._replaced.append(self._connection)
            self._connection = None
        for connection in [each for each in self._replaced if each.lost]:
            self._replaced.remove(connection)
            await connection.release()


class _SharedConnection(asyncio.Protocol):
    """One connection from its greeting to its loss. The n-th reply belongs to the n-th call."""

    def __init__(
        self, timeout: float, on_retired: Callable[[], None], on_change: OnChange | None
    ) -> None:
        self.unsent: list[bytes] = []
        self.unanswered: deque[asyncio.Future[Any]] = deque()
        self._requests: list[Acknowledgement] = []
        """Those of the commands in `unsent`."""
        self.retired = False
        """Whether it takes no further calls; those that it has are answered."""
        self.lost = False
        self.loop = asyncio.get_running_loop()
        self._timeout = timeout
        self._on_retired = on_retired
        self._on_change = on_change
        self._silent_looks = 0
        """Looks since bytes last arrived, or since the first of the unanswered calls was made."""
        self._next_look: asyncio.TimerHandle | None = None
        self._reader = Reader(replyError=_reply_error, encoding="utf-8", errors="surrogateescape")

    async def dial(self, client: Redis) -> None:
        """Connect; must succeed before `enqueue`."""
        self._dialled: DialledConnection = await dial(client, self)
        self._transport = self._dialled.transport
        self._dialled_at = self.loop.time()

    async def track(self) -> None:
        """Have Redis tell of changed keys. Raises what Redis answers if it refuses that."""
        for command in _TRACK:
            future: asyncio.Future[Any] = self.loop.create_future()
            self.enqueue(_packed(command), future)
            await future

    def close(self) -> None:
        """Close the connection; its calls fail."""
        self._give_up(EOFError("closed"))

    async def release(self) -> None:
        """Close the connection and hand it back to redis-py."""
        await self._dialled.release()

    def enqueue(
        self,
        packed: bytes,
        future: asyncio.Future[Any],
        request: Acknowledgement | None = None,
    ) -> None:
        """Send a command with the next write, and ask with it for the replicas' acknowledgement.

        A LARGE one is written at once, so that Redis works on it while the next is made: two in one
        write are answered together, and each side then waits for the other. Others are written at
        the end of this turn of the event loop where nothing is unanswered; else when BATCH commands
        wait, or when all outstanding replies have arrived.
        """
        if not self.unanswered:
            self._silent_looks = 0
        if request is not None:
            self._requests.append(request)
        self.unanswered.append(future)
        self.unsent.append(packed)
        if self._next_look is None:
            self._look_later()
        if len(self.unsent) == BATCH or len(packed) >= LARGE:
            self._write()
        elif len(self.unsent) == len(self.unanswered) == 1:
            self.loop.call_soon(self._write)

    def _write(self) -> None:
        if self.unsent and not self.lost:
            if self._requests:
                self._ask_replicas()
            REDIS_ROUND_TRIPS.inc()
            REDIS_COMMANDS.inc(len(self.unsent))
            self._transport.write(b"".join(self.unsent))
            self.unsent.clear()

    def _ask_replicas(self) -> None:
        """Add WAIT to this write: it covers all that the server wrote up to then."""
        requests, self._requests = self._requests, []
        least = max(request.least for request in requests)
        self.unsent.append(_packed(("WAIT", least, ACKNOWLEDGE_MS)))
        count: asyncio.Future[int] = self.loop.create_future()
        count.add_done_callback(lambda count: _acknowledge(requests, count))
        self.unanswered.append(count)

    def data_received(self, data: bytes) -> None:
        """Resolve the futures of the replies in `data`; then write, if no reply is outstanding."""
        self._silent_looks = 0
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if not isinstance(reply, PushNotification):
                    self._resolve_first(reply)
                elif self._on_change and reply[0] == "invalidate":
                    self._on_change(reply[1])
        except (HiredisError, IndexError) as error:  # not RESP, or a reply to no call
            self._give_up(error)
        if self.retired and not self.unanswered:
            self._give_up(ConnectionResetError("another server serves now"))
        if self.unsent and len(self.unsent) == len(self.unanswered):
            self.loop.call_soon(self._write)

    def _resolve_first(self, reply: Any) -> None:
        """Resolve the future of the oldest unanswered call, unless its caller cancelled it."""
        future = self.unanswered.popleft()
        if isinstance(reply, Exception) and served_elsewhere(reply):
            self._retire()
        if future.done():
            return
        if isinstance(reply, Exception):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def _retire(self) -> None:
        """Take no further calls, unless the connection is so young that a dial would not help."""
        if not self.retired and self.loop.time() - self._dialled_at >= REDIAL_SECONDS:
            self.retired = True
            self._on_retired()

    def _look_later(self) -> None:
        self._next_look = self.loop.call_later(self._timeout / LOOKS, self._look)

    def _look(self) -> None:
        """Give the connection up if calls are unanswered and LOOKS in a row saw nothing arrive."""
        self._next_look = None
        if self.lost or not self.unanswered:
            return
        self._silent_looks += 1
        if self._silent_looks > LOOKS:
            self._give_up(TimeoutError("no reply in time"))
        else:
            self._look_later()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the unanswered calls; redis-py's own protocol learns of the loss too."""
        self._dialled.lost(error)
        self._give_up(error or EOFError("closed"))

    def _give_up(self, error: Exception) -> None:
        if not self.lost:
            self.lost = self.retired = True
            self._transport.abort()
            _fail(self.unanswered, error)
            if self._on_change:
                self._on_change(None)


def _acknowledge(requests: Iterable[Acknowledgement], count: asyncio.Future[int]) -> None:
    """Tell all who asked how many replicas acknowledged."""
    error = count.exception()
    for request in requests:
        if request.replicas.done():  # its command was refused
            continue
        if error:
            request.replicas.set_exception(error)
        else:
            request.replicas.set_result(count.result())


def _fail(futures: Iterable[asyncio.Future[Any]], error: BaseException) -> None:
    lost = exceptions.ConnectionError("the connection to Redis was lost")
    lost.__cause__ = error
    for future in futures:
        if not future.done():
            future.set_exception(lost)


def _reply_error(text: str) -> exceptions.ResponseError:
    """Make the exception for an error reply of Redis; only NOSCRIPT has a class of its own."""
    if text.startswith("NOSCRIPT"):
        return exceptions.NoScriptError(text)
    return exceptions.ResponseError(text)


def _packed(command: tuple[Any, ...]) -> bytes:
    """Encode a command; bytes read as broken UTF-8 are sent as the same bytes."""
    try:
        packed: bytes = pack_command(command)
    except UnicodeEncodeError:
        parts: list[Any] = [
            part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
            for part in command
        ]
        packed = pack_command(tuple(parts))
    return packed
