"""The beginning of an admission pass: the lock, and what it reads first, in one call to Redis."""

from __future__ import annotations

from typing import NamedTuple

from rq_broker.store.continuity import Continuity
from rq_broker.store.grants import Grants, Heads, TypeState
from rq_broker.store.locks import Locks
from rq_broker.store.runner import Runner


class Window(NamedTuple):
    """Which waiting jobs to read, as of `Grants.heads`."""

    shapes: int
    jobs: int
    earliest: int


class Front(NamedTuple):
    """What a pass begins with, at one instant."""

    state: TypeState
    heads: Heads
    now: float
    """The type's time, seconds since 1970."""


class Begun(NamedTuple):
    """What came of beginning a pass."""

    front: Front | None = None
    """None where there is nothing to plan, or not by this process."""
    is_refused: bool = False
    """Whether another process holds the lock."""


class Passes:
    """Begin_pass."""

    def __init__(
        self, runner: Runner, grants: Grants, continuity: Continuity, locks: Locks
    ) -> None:
        self._runner = runner
        self._grants = grants
        self._continuity = continuity
        self._locks = locks

    async def begin_pass(
        self,
        type_: str,
        holder: str,
        seconds: float,
        known: TypeState | None,
        window: Window,
        *,
        usage: bool,
        own: bool,
    ) -> Begun:
        """Take the lock on planning a type, and read what a pass begins with, in one call.

        Where no job waits, the lock is given back at once.

        Args:
            type_: The type.
            holder: The process that asks.
            seconds: As of Locks.turn.
            known: An earlier state: only hosts that changed since are read.
            window: Which waiting jobs to read.
            usage: Whether to read what owners hold.
            own: Whether to read which jobs have a priority of their own.
        """
        remembered = self._continuity.known(type_)
        reply = await self._runner.run(
            "begin_pass",
            type_,
            holder=holder,
            dead=self._locks.dead(type_, "plan", seconds),
            epoch=known.epoch if known else None,
            number=known.number if known else 0,
            with_usage=usage,
            limit=window.shapes,
            jobs=window.jobs,
            earliest=window.earliest,
            with_own=own,
        )
        self._locks.note(type_, "plan", reply.seen)
        if reply.seen is not None:
            return Begun(is_refused=True)
        await self._continuity.compare_settings(type_, remembered, reply.settings)
        if not reply.begun:
            return Begun()
        state = await self._grants.state_of(type_, known, reply, usage=usage)
        return Begun(Front(state, await self._grants.heads_of(type_, reply), reply.now / 1000))
