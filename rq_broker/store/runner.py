"""Runs scripts and plain commands, and raises the errors of domain/errors/.

Calls share a few connections, see node; on a cluster a few to each node, see cluster. fakeredis has
no connection to share.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

from prometheus_client import Histogram
from redis import exceptions
from redis.asyncio import Redis, RedisCluster

from rq_broker.domain import errors
from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.domain.names import whose_is_it
from rq_broker.measures import REDIS_COMMANDS, REDIS_ROUND_TRIPS, SCRIPT_SECONDS
from rq_broker.store.cluster import Cluster
from rq_broker.store.connection import ask_another_sentinel
from rq_broker.store.keys import TYPES, Keys
from rq_broker.store.node import Node
from rq_broker.store.redis_errors import translate
from rq_broker.store.scripts import SCRIPTS, Script
from rq_broker.store.trouble import Trouble
from rq_broker.store.type_clock import ClockInDoubt, TypeClocks, is_doubt

MOST_ACTOR_CHARACTERS = 255
"""Characters of a name, an address and the ID of a request that a line of the audit log keeps."""


class Runner:
    """Runs verbs on one Redis client.

    Args:
        client: Its connections are dialled and configured by it.
        timeout: Seconds for one call.
        min_replicas_acked: How many replicas must have what a script wrote before its call returns.
    """

    def __init__(
        self, client: Redis | RedisCluster, timeout: float = 1.5, min_replicas_acked: int = 0
    ) -> None:
        self.client = client
        self.trouble = Trouble(self._why_refused)
        """Why calls fail now, and how many did."""
        self._call: Callable[..., Awaitable[Any]]
        self._timeout = timeout
        self.clocks = TypeClocks(self)
        self._servers: Node | Cluster | None = None
        self.on_change: Callable[[Sequence[str] | None], object] = lambda _: None
        """Takes the keys that `tracked` calls read and that changed since; None for all of them."""
        self.dials = 0
        """Connections made so far: what answers over a new one may have lost what was written."""
        self.on_dial: Callable[[], object] = lambda: None
        if isinstance(client, RedisCluster):
            self._servers = Cluster(client, timeout, self._changed, self._dialled)
        elif type(client) is Redis:
            self._servers = Node(
                client,
                timeout,
                lambda: ask_another_sentinel(client),
                self._changed,
                self._dialled,
            )
        self._call = self._servers.call if self._servers else self._direct
        self._write = self._call
        """Sends a script that writes."""
        if self._servers and min_replicas_acked:
            self._write = partial(self._servers.write, min_replicas_acked)

    async def _direct(self, *command: Any) -> Any:
        REDIS_ROUND_TRIPS.inc()
        REDIS_COMMANDS.inc()
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
        values = script.encode(arguments)
        actor = audit_arguments(ACTOR.get()) if script.contract.audit else ()
        try:
            if script.keeps_time:
                return script.decode(await self.clocks.run(script, type_, values, actor))
            return script.decode(await self.evaluate(script, type_, [*values, *actor]))
        except errors.JobNotFound as refusal:
            name = arguments.get("request_id") or arguments.get("array")
            if type(refusal) is errors.JobNotFound and not arguments.get("owners"):
                await self._ask_whose(refusal, type_, str(name))
            raise

    async def _ask_whose(self, refusal: errors.JobNotFound, type_: str, name: str) -> None:
        """Raise a refusal that says, where names are per owner, how the owner is given.

        It is for callers that may name any owner's job: others are asked whose it is beforehand.
        """
        if "/" not in name and await self.has_names_per_owner(type_):
            raise errors.JobNotFound(f"{refusal}; {whose_is_it(type_)}") from refusal

    async def has_names_per_owner(self, type_: str) -> bool:
        """Return whether the policy of a type has names of jobs that are unique for their owner."""
        names = await self.command("HGET", Keys(type_).base, "policy:names")
        return bool(names == "per_owner")

    async def evaluate(self, script: Script, type_: str, values: Sequence[Any]) -> Any:
        """Run a script with encoded arguments; return its encoded reply."""
        base = Keys(type_).base
        send = self._write if script.writes else self._call
        began = time.perf_counter()
        try:
            try:
                return await send("EVALSHA", script.sha, 1, base, *values)
            except exceptions.NoScriptError:
                return await send("EVAL", script.source, 1, base, *values)
        except Exception as error:
            raise self.refusal(error, base) from error
        finally:
            _histogram(script.name).observe(time.perf_counter() - began)

    async def command(self, *command: Any) -> Any:
        """Send a plain command; its first argument is its key, if it has one."""
        try:
            return await self._call(*command)
        except Exception as error:
            key = str(command[1]) if len(command) > 1 else TYPES
            raise self.refusal(error, key) from error

    # Keys whose changes are told

    @property
    def tracks(self) -> bool:
        """Whether Redis tells of changes; fakeredis does not."""
        return self._servers is not None

    async def tracked(self, *command: Any) -> Any:
        """Send a command that reads a key; once that changes, `on_change` is called with it.

        It is told once: read the key again to be told again.
        """
        try:
            return await (self._servers.tracked if self._servers else self._call)(*command)
        except Exception as error:
            raise self.refusal(error, str(command[1])) from error

    @property
    def keeps_order(self) -> bool:
        """Whether Redis carries out calls on one type in the order in which they are sent."""
        return self._servers is not None

    def server_of(self, key: str) -> Hashable:
        """Return what names the server of a key: equal for keys of one server."""
        return self._servers.server_of(key) if isinstance(self._servers, Cluster) else None

    async def stop_tracking(self) -> None:
        """Close the connections of `tracked`; the next call makes new ones."""
        if self._servers:
            await self._servers.stop_tracking()

    def _changed(self, keys: Sequence[str] | None) -> None:
        self.on_change(keys)

    def _dialled(self) -> None:
        self.dials += 1
        self.on_dial()

    def refusal(self, error: Exception, key: str) -> errors.BrokerError | ClockInDoubt:
        """Return the error of a call on a key, and note what keeps Redis from serving it.

        No class of error may pass: redis-py raises AttributeError and others of its own.
        """
        if is_doubt(error):
            return ClockInDoubt(str(error))
        refusal = translate(error)
        if isinstance(refusal, errors.Unavailable):
            self.trouble.note(refusal, error, key)
        return refusal

    async def _why_refused(self, key: str) -> type[errors.Unavailable] | None:
        """Return why Redis takes no write at the slot of a key; None if it does, or may not tell.

        A user without the right to write is told so, which says nothing of other calls.
        """
        try:
            await self._write(*write_check(key))
        except Exception as error:
            refusal = type(translate(error))
            if issubclass(refusal, errors.Unavailable) and refusal is not errors.RedisRefuses:
                return refusal
        return None

    async def ping(self) -> None:
        """Raise Unavailable unless Redis answers and takes writes.

        Raises:
            NotReplicated: Fewer replicas are there than have to acknowledge a write. An idle
                process knows it as well as one whose writes have met it.
        """
        try:
            await self._write(*write_check(TYPES))
        except Exception as error:
            raise self.refusal(error, TYPES) from error

    async def each_primary(self, *command: Any) -> list[Any]:
        """Send a command to every server that takes writes; returns the replies of those alive.

        Raises:
            Unavailable: none replies.
        """
        try:
            if isinstance(self._servers, Cluster):
                return await self._servers.each_primary(*command)
            return [await self._call(*command)]
        except Exception as error:
            raise translate(error) from error

    async def now(self) -> float:
        """Read Redis's wall clock, seconds since 1970."""
        seconds, microseconds = await self.command("TIME")
        return int(seconds) + int(microseconds) / 1e6

    def subscriber(self) -> Redis:
        """Return a client to subscribe with; on a cluster each call picks another node.

        Close it afterwards, unless it is `client` itself. A message that is published on any node
        of a cluster reaches the subscribers of all.
        """
        if isinstance(self._servers, Cluster):
            return self._servers.subscriber()
        assert isinstance(self.client, Redis)
        return self.client

    async def aclose(self) -> None:
        """Close the connections."""
        self.trouble.close()
        if self._servers:
            await self._servers.aclose()
        with suppress(exceptions.RedisError):
            await self.client.aclose()


@cache
def _histogram(script: str) -> Histogram:
    """Return the histogram of a script; to look it up by its label costs as much as to observe."""
    return SCRIPT_SECONDS.labels(script)


def audit_arguments(actor: Actor | None) -> Sequence[str]:
    """Return who acts, as a script with `Audit` takes it; nothing where the broker itself does."""
    if actor is None:
        return ()
    most = MOST_ACTOR_CHARACTERS
    return actor.name[:most], actor.address[:most], actor.request_id[:most]


def write_check(key: str) -> tuple[Any, ...]:
    """Return a command that fails where writes to the slot of a key fail, and changes nothing.

    It writes no bytes to a key that never exists.
    """
    base = f"{key.partition('}')[0]}}}" if "{" in key else key
    return "SETRANGE", f"{base}:fit", 0, ""
