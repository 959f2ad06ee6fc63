"""Follows the events of every type that there is, also of those that come later.

The set of types is read when Redis says that it changed, once for all who follow it in a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from rq_broker.domain.errors import Invalid
from rq_broker.store.event_feed import Follower, read_when
from rq_broker.store.event_turns import EventTurns
from rq_broker.store.keys import TYPES
from rq_broker.store.runner import Runner

MOST_TYPES = 200
"""Types of one stream of events. The ID of each event names the place in each type, 26 characters
of a type; with more, IDs would be larger than the headers that servers and proxies take."""
Uses = Callable[[str], bool]
"""Returns whether a type is to be followed."""


class AllFollower(Follower):
    """Takes the events of all types of which it is told."""

    def __init__(
        self,
        turns: EventTurns,
        names: TypeNames,
        add: Callable[[Follower, str], Awaitable[None]],
        uses: Uses,
    ) -> None:
        super().__init__(turns)
        self._names = names
        self._add = add
        self._uses = uses
        self._untold: set[str] = set()
        """Types that came and were not returned yet, as some call on Redis failed."""

    async def add_new(self) -> list[str]:
        """Follow the types that came since, leave those that are gone; returns those that came.

        Raises:
            Unavailable: Redis does not answer.
            Invalid: There are too many by now.
        """
        names = {name for name in self._names.names if self._uses(name)}
        for type_ in self.starts.keys() - names:
            self.leave_type(type_)
        new = sorted(names - self.starts.keys())
        if len(names) > MOST_TYPES:
            raise Invalid(
                f"{len(names)} types are more than the {MOST_TYPES} whose events one stream has: "
                "name some by `type`"
            )
        self._untold.update(new)
        await add_each(self._add, self, new)
        told = sorted(self._untold & self.starts.keys())
        self._untold.clear()
        return told

    @property
    def has_new(self) -> bool:
        """Whether types have come or gone since."""
        return {name for name in self._names.names if self._uses(name)} != self.starts.keys()


async def add_each(
    add: Callable[[Follower, str], Awaitable[None]], follower: Follower, types: Iterable[str]
) -> None:
    """Let a follower follow types. What one of the calls raises is raised when all have ended."""
    outcomes = await asyncio.gather(
        *(add(follower, type_) for type_ in types), return_exceptions=True
    )
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


class TypeNames:
    """The set of types, as it was read last."""

    def __init__(self, runner: Runner, turns: EventTurns) -> None:
        self.key = TYPES
        self.names: frozenset[str] = frozenset()
        self._runner = runner
        self._turns = turns
        self._stale = asyncio.Event()
        """Set while the set may have changed since it was read."""
        self._followers: set[Follower] = set()
        self._reading: asyncio.Task[None] | None = None
        self._first: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nobody follows it."""
        return not self._followers

    async def follow(self, follower: Follower) -> None:
        """Wake a follower whenever the set changes. Raises Unavailable if Redis is away."""
        self._followers.add(follower)
        if self._reading is None:
            if self._first is None or self._first.done():
                self._first = asyncio.create_task(self._read())
            await asyncio.shield(self._first)
            self._reading = self._reading or asyncio.create_task(read_when(self._stale, self._read))

    def leave(self, follower: Follower) -> None:
        """Wake a follower no more."""
        self._followers.discard(follower)

    def changed(self) -> None:
        """Read the set soon: it may have changed."""
        self._stale.set()

    def end(self) -> None:
        """End all followers, and read no more."""
        for task in (self._reading, self._first):
            if task:
                task.cancel()
        for follower in self._followers:
            follower.end()

    async def _read(self) -> None:
        names = frozenset(await self._runner.tracked("SMEMBERS", self.key))
        if names != self.names:
            self.names = names
            for follower in self._followers:
                self._turns.add(follower.wake)
