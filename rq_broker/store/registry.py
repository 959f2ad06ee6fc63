"""Keeps the set of types that readers list: a type enters it when it is used, and leaves it when
it is empty and nobody has given it a policy, hosts, sources or keys."""

from __future__ import annotations

import time
from contextlib import suppress

from rq_broker.domain import errors
from rq_broker.domain.jobs import BESIDE, Status
from rq_broker.domain.validation import NEW_TYPE_NAME
from rq_broker.store.keys import INSTALLATION, TYPES, Keys
from rq_broker.store.runner import Runner

_INTERVAL = 5.0
"""Seconds between two writes of one type's name. With a longer interval, a set lost with
Redis's data stays incomplete longer. A shorter one costs more calls that change nothing."""
_RETRY = 1.0
"""The same after a write that failed: each costs its caller the time of a call."""
_REMEMBERED = 10_000
"""Types of which a process remembers when it wrote their names: bounds its memory, whatever names
clients make up. With more types in use, names are written more often."""
_USED = (*(f"status:{status}" for status in (*Status, BESIDE)), "hosts", "sources", "keys")
"""Keys of which a type in use has one at least, unless it has a policy only."""


class Registry:
    """Adds type names to the set of types, and takes out those of types that are empty."""

    def __init__(self, runner: Runner, most_types: int | None = None) -> None:
        """Take the most types of the installation that clients may make; None: any number."""
        self._runner = runner
        self._most_types = most_types
        self._next_writes: dict[str, float] = {}
        """Type → monotonic time from which its name is written again."""

    def is_due(self, type_: str) -> bool:
        """Return whether `register` has something to do for a type."""
        return self._next_writes.get(type_, 0.0) < time.monotonic()

    async def register(self, type_: str) -> None:
        """Add a type, at most once in a few seconds per process.

        On a cluster the set is on a node of its own. While that one is away, types of other nodes
        are used all the same: a wake-up has the notifiers list a type too.

        Raises:
            Invalid: It would be new, and its name looks like another one.
            TooManyTypes: It would be new, and there are as many as may be.
        """
        if self.is_due(type_):
            with suppress(errors.Unavailable):
                await self._admit(type_)
            self._write_again(type_, _RETRY)
            with suppress(errors.Unavailable):
                await self.list_type(type_)

    async def exists(self, type_: str) -> bool:
        """Return whether there is a type: in the set or, where that was lost, in use."""
        if time.monotonic() < self._next_writes.get(type_, 0.0):
            return True
        if await self._runner.command("SISMEMBER", TYPES, type_):
            return True
        keys = Keys(type_)
        if await self._runner.command("EXISTS", *(keys.of(name) for name in _USED)):
            return True
        fields = await self._runner.command("HKEYS", keys.base)
        if any(field.startswith("policy:") for field in fields):
            return True
        numbers = ("policy_number", "policy_dropped")  # see lua/lib/has_policy
        given, dropped = await self._runner.command("HMGET", keys.base, *numbers)
        return given is not None and given != dropped

    async def _admit(self, type_: str) -> None:
        """Refuse a new type that may not be made. Clients that race may make a few too many."""
        if await self.exists(type_):
            return
        NEW_TYPE_NAME.check(type_, "type")
        most = self._most_types
        if most is not None and await self._runner.command("SCARD", TYPES) >= most:
            raise errors.TooManyTypes(
                f"there are {most} types, as many as this installation allows (--max-types)"
            )

    async def list_type(self, type_: str) -> None:
        """Add a type to the set."""
        await self._runner.command("SADD", TYPES, type_)
        self._write_again(type_, _INTERVAL)

    def _write_again(self, type_: str, seconds: float) -> None:
        if len(self._next_writes) >= _REMEMBERED:
            self._next_writes.clear()
        self._next_writes[type_] = time.monotonic() + seconds

    async def forget_type(self, type_: str) -> bool:
        """Take a type out of the set, and delete what is left of it, if it is empty.

        The name goes first: a job that comes before the script finds the type is not empty, and
        the name is put back; one that comes after it wakes the notifiers, which list its type.
        """
        await self._runner.command("SREM", TYPES, type_)
        self._next_writes.pop(type_, None)
        reply = await self._runner.run("forget_type", type_)
        if not reply.forgotten:
            await self.list_type(type_)
        forgotten: bool = reply.forgotten
        return forgotten

    async def drop_type(self, type_: str) -> None:
        """Forget an empty type: its policy, its signing keys and its name.

        Raises:
            TypeInUse: It has jobs, hosts or a source that is polled; `details` has how many of each
                as `left`.
        """
        await self._runner.command("SREM", TYPES, type_)
        self._next_writes.pop(type_, None)
        left = (await self._runner.run("drop_type", type_))._asdict()
        deleted = left.pop("deleted")
        if deleted:
            await self._runner.run("record_drop", INSTALLATION, dropped=type_, deleted=deleted)
            await self._runner.command("HDEL", Keys(type_).base, "dropped")
        if any(left.values()):
            await self.list_type(type_)
            present = [
                f"{count} {noun.removesuffix('s') if count == 1 else noun}"
                for noun, count in left.items()
                if count
            ]
            raise errors.TypeInUse(f"type {type_} has {' and '.join(present)}", left=left)
