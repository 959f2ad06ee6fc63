"""Sends each call to the node of a Redis Cluster that serves its slot.

redis-py's cluster client sends a call again whose reply was lost; the call may have run, and a
submit is then refused to its own client as a duplicate. Here a call is sent to another node only if
the first one said that it did not run it: by MOVED. ASK and TRYAGAIN are not followed: while a slot
is open its keys are on two nodes, and a script needs them all on one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, NamedTuple

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.crc import key_slot

from rq_broker.store.node import Node
from rq_broker.store.redis_errors import moves_in_cluster
from rq_broker.store.redis_private import cluster_node

SLOTS = 16384
MOVES = 5
"""How often a call follows MOVED. While a slot settles its old and its new node may name each other
for some milliseconds; with fewer moves, calls fail then."""
SETTLE_SECONDS = 0.02
"""Pause before a call follows MOVED for the second time and later."""
REFRESH_SECONDS = 0.2
"""Least time between two readings of the slot map. A shorter one costs calls while a node is down;
a longer one keeps calls failing after a failover."""
ASKED_AT_ONCE = 3
"""Nodes asked for the slot map at the same time: one that hangs does not hold the others up."""


class Address(NamedTuple):
    """Where a node serves clients."""

    host: str
    port: int


class ClusterClient(RedisCluster):
    """redis-py's cluster client, for the audit; closing it closes the routers made with it too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.routers: list[Cluster] = []

    async def aclose(self) -> None:
        """Close all connections."""
        for router in self.routers:
            await router.aclose()
        await super().aclose()


class Cluster:
    """The nodes of one cluster, and which of them serves which slot.

    The slot map is read anew whenever a node is lost or says that something moved. Any known node
    will do: they are asked a few at a time, and the first answer counts.
    """

    def __init__(
        self,
        client: RedisCluster,
        timeout: float,
        on_change: Callable[[Sequence[str] | None], None] = lambda _: None,
        on_dial: Callable[[], None] = lambda: None,
    ) -> None:
        """Dial nothing yet.

        Args:
            client: names the nodes to start from, and has the options of connections.
            timeout: seconds that a dial may take, and for which a node may send nothing.
            on_change: see Multiplexer.
            on_dial: likewise.
        """
        self._client = client
        self._on_change = on_change
        self._on_dial = on_dial
        self._timeout = timeout
        self._nodes: dict[Address, Node] = {}
        self._leaving: list[Node] = []
        """Those that get no calls any more, and are not closed yet."""
        self._start = [Address(node.host, int(node.port)) for node in client.startup_nodes]
        self._known: list[Address] = list(self._start)
        """Every node of the newest slot map, replicas too; those to ask last come last."""
        self._primaries: list[Address | None] = [None] * SLOTS
        """Slot → the node that serves it."""
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = -REFRESH_SECONDS
        self._failure: exceptions.RedisError | None = None
        """Why the slot map could not be read the last time."""
        self._next_subscriber = 0
        self._is_closed = False
        if isinstance(client, ClusterClient):
            client.routers.append(self)

    def call(self, *command: Any) -> Awaitable[Any]:
        """Send a command to the node of its key's slot; see Multiplexer.call."""
        return self._route(command, lambda node: node.call(*command))

    def write(self, least: int, *command: Any) -> Awaitable[Any]:
        """Send a command that so many replicas must acknowledge, see Multiplexer.write."""
        return self._route(command, lambda node: node.write(least, *command))

    def tracked(self, *command: Any) -> Awaitable[Any]:
        """Send a command that reads a key, and be told once it changes; see Node.tracked."""
        return self._route(command, lambda node: node.tracked(*command))

    def server_of(self, key: str) -> Hashable:
        """Return the address of the node that serves a key, None where that is not known yet."""
        return self._primaries[key_slot(key.encode(errors="surrogateescape"))]

    async def stop_tracking(self) -> None:
        """Close the connections of `tracked`."""
        for node in list(self._nodes.values()):
            await node.stop_tracking()

    async def _route(self, command: Sequence[Any], send: Callable[[Node], Awaitable[Any]]) -> Any:
        slot = slot_of(command)
        address = self._primaries[slot] or await self._find(slot)
        for moves in range(MOVES):
            try:
                return await send(self._node(address))
            except exceptions.ConnectionError:
                self._distrust(address)
                raise
            except exceptions.ResponseError as error:
                target = _moved_to(error, address)
                if target is None:
                    if moves_in_cluster(error):
                        self._distrust(address)
                    raise
            self._refresh_soon()
            if moves:
                await asyncio.sleep(SETTLE_SECONDS)
            address = self._primaries[slot] = target
        raise exceptions.TryAgainError("the nodes of the slot name each other")

    async def each_primary(self, *command: Any) -> list[Any]:
        """Send a command to every node that serves slots; returns the replies of those alive.

        Raises:
            redis.RedisError: none replies.
        """
        await self._refresh()
        primaries = dict.fromkeys(address for address in self._primaries if address)
        calls = [self._node(address).call(*command) for address in primaries]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        replies = [answer for answer in answers if not isinstance(answer, BaseException)]
        failures = [answer for answer in answers if isinstance(answer, BaseException)]
        if not replies:
            raise failures[0] if failures else exceptions.ClusterDownError("no slot is served")
        return replies

    def addresses(self) -> list[Address]:
        """List every node known now, the replicas included."""
        return list(self._known)

    def subscriber(self) -> Redis:
        """Make a client of one node; the next call takes another node."""
        self._next_subscriber += 1
        address = self._known[self._next_subscriber % len(self._known)]
        return cluster_node(self._client, *address)

    async def aclose(self) -> None:
        """Close all connections, and make no other: calls that fail by it would look for nodes."""
        self._is_closed = True
        if refreshing := self._refreshing:
            refreshing.cancel()
            await asyncio.wait([refreshing])
        self._leaving += self._nodes.values()
        self._nodes.clear()
        await self._close_leaving()

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            if self._is_closed:
                raise exceptions.ConnectionError("the connections to the cluster are closed")
            client = cluster_node(self._client, *address)
            node = self._nodes[address] = Node(
                client, self._timeout, self._refresh_soon, self._on_change, self._on_dial
            )
        return node

    async def _find(self, slot: int) -> Address:
        """Read the slot map unless that was done just now, and return the node of a slot."""
        if self._refreshing or self._is_due():
            await self._refresh()
        address = self._primaries[slot]
        if address is None:
            raise self._failure or exceptions.SlotNotCoveredError(f"no node serves slot {slot}")
        return address

    # The slot map

    def _distrust(self, address: Address) -> None:
        """Read the slot map soon, and ask this node for it last."""
        if address in self._known:
            self._known.remove(address)
            self._known.append(address)
        self._refresh_soon()

    def _is_due(self) -> bool:
        return asyncio.get_running_loop().time() - self._refreshed >= REFRESH_SECONDS

    def _refresh_soon(self) -> None:
        """Begin to read the slot map, unless that was done just now."""
        if self._refreshing is None and self._is_due() and not self._is_closed:
            self._begin_refresh()

    async def _refresh(self) -> None:
        """Read the slot map, or wait for the reading that is under way.

        Raises:
            redis.ConnectionError: no node answers.
        """
        await asyncio.shield(self._refreshing or self._begin_refresh())
        if self._failure:
            raise self._failure

    def _begin_refresh(self) -> asyncio.Task[None]:
        self._refreshing = asyncio.get_running_loop().create_task(self._read_slot_map())
        return self._refreshing

    async def _read_slot_map(self) -> None:
        """Ask known nodes until one answers; those of the URL are asked last."""
        candidates = list(dict.fromkeys([*self._known, *self._start]))
        try:
            for first in range(0, len(candidates), ASKED_AT_ONCE):
                self._failure = await self._ask(candidates[first : first + ASKED_AT_ONCE])
                if self._failure is None:
                    return
        finally:
            self._refreshed = asyncio.get_running_loop().time()
            self._refreshing = None

    async def _ask(self, addresses: Sequence[Address]) -> exceptions.RedisError | None:
        """Take the slot map of the node that answers first; returns an error if none does."""
        asked: dict[asyncio.Future[Any], Address] = {
            asyncio.ensure_future(self._node(each).call("CLUSTER", "SLOTS")): each
            for each in addresses
        }
        waiting: set[asyncio.Future[Any]] = set(asked)
        failure = exceptions.ConnectionError("no node of the cluster answers")
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            # asyncio logs an error that nobody asks for, so each answer is asked, not the first.
            failures = {answer: answer.exception() for answer in done}
            for answer, error in failures.items():
                if error is None:
                    for late in waiting:
                        late.cancel()
                    await self._apply(answer.result(), asked[answer])
                    return None
                failure.__cause__ = error
        return failure

    async def _apply(self, ranges: Sequence[Sequence[Any]], source: Address) -> None:
        """Keep a slot map; close the connections to nodes that serve no slot any more."""
        primaries: list[Address | None] = [None] * SLOTS
        known: dict[Address, None] = {}
        for first, last, *nodes in ranges:
            addresses = [Address(node[0] or source.host, int(node[1])) for node in nodes]
            known |= dict.fromkeys(addresses)
            primaries[first : last + 1] = addresses[:1] * (last + 1 - first)
        self._primaries = primaries
        self._known = list(known) or self._start
        serving = set(primaries)
        for address, node in list(self._nodes.items()):
            if address not in serving and not node.is_busy:
                self._leaving.append(self._nodes.pop(address))
        await self._close_leaving()

    async def _close_leaving(self) -> None:
        """Close the nodes that get no calls any more; what is cut short, the next call ends."""
        while self._leaving:
            await self._leaving[-1].aclose()
            self._leaving.pop()


def slot_of(command: Sequence[Any]) -> int:
    """Return the slot of a command's key; that of its name where it has no key."""
    key = command[3] if command[0] in ("EVALSHA", "EVAL") else command[min(1, len(command) - 1)]
    return key_slot(str(key).encode(errors="surrogateescape"))


def _moved_to(error: exceptions.ResponseError, source: Address) -> Address | None:
    """Return the node that a MOVED error names; None for another error.

    A node that knows no name or address of the other leaves it out: it is at the same host.
    """
    word, _, rest = str(error).partition(" ")
    if word != "MOVED":
        return None
    host, _, port = rest.partition(" ")[2].rpartition(":")
    return Address(host or source.host, int(port))
