"""All connections of a process: who may have one more, and which are cut.

One timer a second looks after all of them. A timer for each connection and request would cost each
request a microsecond.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address
from itertools import islice
from typing import Protocol

from rq_broker.api.server.limits import ConnectionLimits
from rq_broker.api.server.sparse_log import SparseLog
from rq_broker.delivery.http.descriptors import are_exhausted
from rq_broker.domain.errors import TooManyConnections

TICK_SECONDS = 0.5
"""Time between two checks of all connections: how much later than its time limit one is cut.
10,000 connections are checked in about 8 ms."""
_IDLE_SEARCHED = 100
"""How many idle connections are searched for one of the same address. It bounds the cost of a
connection at the limit."""

_log = logging.getLogger(__name__)


class Connection(Protocol):
    """What the registry needs to know of a connection."""

    address: str

    def check(self, now: float) -> None:
        """Cut the connection if one of its time limits is over."""

    def cut(self) -> None:
        """Close the connection at once, whatever it was to send."""

    def close_idle(self) -> None:
        """Close the connection, on which no request is under way."""


def address_key(host: str) -> str:
    """Return what counts as one client address: of IPv6 the /64 network, which one client owns."""
    if ":" not in host:
        return host
    try:
        address = IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return address.exploded[:19]


class Connections:
    """The connections of one server process."""

    def __init__(
        self,
        limits: ConnectionLimits,
        *,
        grace: float,
        on_end: Callable[[], object] = lambda: None,
    ) -> None:
        """Create the registry of a process without connections.

        Args:
            limits: Most connections.
            grace: Seconds after the start of a shutdown in which answers may end.
            on_end: Called at the start of a shutdown: whoever waits is to be answered.
        """
        self.limits = limits
        self._log = SparseLog(_log)
        self._grace = grace
        self._on_end = on_end
        self._open: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._refused: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._cut_at: float | None = None

    # Connections come and go

    def admit(self, connection: Connection) -> TooManyConnections | None:
        """Count a new connection; returns why it is refused if there are too many.

        Idle connections are closed to make room for it.
        """
        self._start_timer()
        refusal = self._limit_reached(connection.address)
        if refusal:
            self._refused.add(connection)
            return refusal
        self._open.add(connection)
        self._by_address[connection.address] += 1
        return None

    def may_linger(self) -> bool:
        """Tell whether a refused connection may stay open until its client has read why."""
        return len(self._refused) <= self.limits.reserve // 4

    def remove(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._refused.discard(connection)
        self._idle.pop(connection, None)
        if connection in self._open:
            self._open.remove(connection)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def idle(self, connection: Connection) -> None:
        """Note that a connection waits for its next request."""
        self._idle[connection] = None

    def busy(self, connection: Connection) -> None:
        """Note that a connection has a request."""
        self._idle.pop(connection, None)

    def _limit_reached(self, address: str) -> TooManyConnections | None:
        most = self.limits
        if self._by_address[address] >= most.per_address:
            same = (each for each in islice(self._idle, _IDLE_SEARCHED) if each.address == address)
            if not self._close_idle(next(same, None)):
                return self._refusal(f"{most.per_address} connections from one address", address)
        if len(self._open) >= most.total and not self._close_idle(next(iter(self._idle), None)):
            return self._refusal(f"{most.total} connections", address)
        return None

    def _refusal(self, limit: str, address: str) -> TooManyConnections:
        self.warn("too_many_connections", f"a connection is refused: {limit} are open", address)
        return TooManyConnections(f"{limit} are open, as many as are served; try again soon")

    def _close_idle(self, connection: Connection | None) -> bool:
        if connection is None:
            return False
        connection.close_idle()
        self.remove(connection)
        return True

    def warn(self, kind: str, sentence: str, address: str) -> None:
        """Log what a client of this address caused, unless lines of this kind come too fast."""
        now = asyncio.get_running_loop().time()
        self._log.warning(kind, f"{sentence} (from {address or 'an unknown address'})", now)

    # Time

    def end_soon(self) -> None:
        """Begin a shutdown: whatever is still open when its grace is over is cut."""
        if self._cut_at is None:
            self._cut_at = asyncio.get_running_loop().time() + self._grace
            self._on_end()

    def _start_timer(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(TICK_SECONDS, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._timer = None
        try:
            self._check(now)
        finally:
            if self._open or self._refused:
                self._start_timer()

    def _check(self, now: float) -> None:
        if self._cut_at is not None and now >= self._cut_at:
            self._cut_at = math.inf
            self._cut_all()
        for connection in [*self._open, *self._refused]:
            connection.check(now)
        if are_exhausted():  # libuv closes new connections at once then, and tells nobody
            self._log.warning(
                "out of file descriptors",
                f"no file descriptor is left (ulimit -n) with {len(self._open)} connections open; "
                "new connections are closed without an answer",
                now,
            )
            for connection in list(islice(self._idle, self.limits.reserve // 4)):
                self._close_idle(connection)
        self._log.flush(now)

    def _cut_all(self) -> None:
        if self._open:
            _log.warning(
                "%d connections are cut: %g s after the signal to stop their answers are not read",
                len(self._open),
                self._grace,
            )
        for connection in [*self._open, *self._refused]:
            connection.cut()
