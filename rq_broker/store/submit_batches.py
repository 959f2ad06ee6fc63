"""Stores the submits of a type that wait at the same moment by one script.

A script of its own for each job costs Redis twice as much, and this process too. Nobody waits for a
batch to fill: a submit that comes while no other is under way is sent at the end of this turn of
the event loop. While scripts are under way, submits gather until one has returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

from rq_broker.domain.identity import ACTOR, Actor
from rq_broker.store.continuity import Continuity, Witness
from rq_broker.store.redis_errors import refusal_of
from rq_broker.store.runner import Runner, audit_arguments

MOST_JOBS = 50
"""Jobs of one script. Redis serves nobody else for some 1 ms then; with more, a job costs hardly
less: 245,000 instructions of Redis each among 50, 302,000 among 8."""
MOST_CHARACTERS = 1 << 18
"""Characters of all the jobs of one script, unless it has one only: 50 bodies of 1 MiB would keep
Redis busy for long."""
UNDER_WAY = 2
"""Scripts of a type that are under way at once: Redis executes one while this process prepares and
reads the other. With more, fewer jobs gather for each. The first one of a type goes alone: with it
a connection is open, the script loaded and the clock read, so that no later one overtakes it."""
LEAST_JOBS = 8
"""Jobs that make a second script worth sending before the first one has returned."""
REMEMBERED_TYPES = 1000
"""Types whose first script need not go alone again, some 500 bytes each."""


class _Waiting(NamedTuple):
    """A submit that is to be sent."""

    job: Mapping[str, Any]
    """The arguments of the script `submit`."""
    characters: int
    result: asyncio.Future[Any]
    actor: Actor | None
    """Who submits."""


class SubmitBatches:
    """The submits of all types that one process makes."""

    def __init__(self, runner: Runner, continuity: Continuity) -> None:
        self._runner = runner
        self._continuity = continuity
        self._types: dict[str, _Type] = {}

    def submit(self, type_: str, job: Mapping[str, Any], characters: int) -> asyncio.Future[Any]:
        """Send a submit soon, behind those that were handed over before.

        Args:
            type_: The type.
            job: The arguments of the script `submit`.
            characters: Of all its texts, about.

        Returns:
            A future of the reply, as of the script, or of the exception that refuses the job. It
            raises nothing: a caller that goes away need not ask it.
        """
        submits = self._types.get(type_)
        if submits is None:
            if len(self._types) >= REMEMBERED_TYPES:
                self._types = {name: each for name, each in self._types.items() if each.is_busy}
            submits = self._types[type_] = _Type(self, type_)
        return submits.add(job, characters)

    @property
    def most_under_way(self) -> int:
        """The number of scripts of one type that may be under way at once."""
        return UNDER_WAY if self._runner.keeps_order else 1

    async def store(self, type_: str, waiting: Sequence[_Waiting]) -> bool:
        """Carry out submits by one script, and resolve their futures.

        Returns:
            Whether the script stored a job.
        """
        known, stored = self._continuity.known(type_), list[tuple[Mapping[str, Any], Any]]()
        try:
            replies = await self._run(type_, waiting)
            stored = [
                (each.job, reply)
                for each, reply in zip(waiting, replies, strict=True)
                if not isinstance(reply, Exception)
            ]
            if stored:
                job, last = stored[-1]
                witness = Witness(job["request_id"], job["owner_id"], last.id, 0, last.created)
                await self._continuity.compare(
                    type_, known, last.incarnation, last.id, witness=witness
                )
        except asyncio.CancelledError:  # the broker is closed
            for each in waiting:
                each.result.cancel()
            raise
        except Exception as error:
            replies = [copy(error) for _ in waiting]
        for each, reply in zip(waiting, replies, strict=True):
            if not each.result.done():
                each.result.set_result(reply)
        return bool(stored)

    async def _run(self, type_: str, waiting: Sequence[_Waiting]) -> list[Any]:
        """Return the reply to each job, or the exception that refuses it."""
        if len(waiting) == 1:
            ACTOR.set(waiting[0].actor)
            return [await self._runner.run("submit", type_, **waiting[0].job)]
        jobs = [{**each.job, **_audited(each.actor)} for each in waiting]
        reply = await self._runner.run("submit_many", type_, jobs=jobs)
        return [
            refusal_of(result.refusal) if result.refusal else result for result in reply.results
        ]


def _audited(actor: Actor | None) -> dict[str, str | None]:
    """Return who acts, as `submit_many` takes it."""
    if actor is None:
        return _NOBODY
    who, address, http_request_id = audit_arguments(actor)
    return {"who": who, "address": address, "http_request_id": http_request_id}


_NOBODY: dict[str, str | None] = {"who": None, "address": "", "http_request_id": ""}


class _Type:
    """The submits of one type."""

    def __init__(self, batches: SubmitBatches, type_: str) -> None:
        self._batches = batches
        self._type = type_
        self._waiting: list[_Waiting] = []
        self._under_way = set[asyncio.Task[bool]]()
        self._most_under_way = 1
        self._loop = asyncio.get_running_loop()

    @property
    def is_busy(self) -> bool:
        """Whether a submit is under way."""
        return bool(self._waiting or self._under_way)

    def add(self, job: Mapping[str, Any], characters: int) -> asyncio.Future[Any]:
        """See SubmitBatches.submit."""
        result: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(_Waiting(job, characters, result, ACTOR.get()))
        least = LEAST_JOBS if self._under_way else 1
        if len(self._waiting) == least and len(self._under_way) < self._most_under_way:
            self._loop.call_soon(self._send)
        return result

    def _send(self) -> None:
        """Send what waits, in as many scripts as may be under way beside the present ones."""
        free = self._most_under_way - len(self._under_way)
        each = max(LEAST_JOBS, -(-len(self._waiting) // max(free, 1)))
        for _ in range(free):
            if batch := self._take(min(each, MOST_JOBS)):
                task = self._loop.create_task(self._batches.store(self._type, batch))
                self._under_way.add(task)
                task.add_done_callback(self._returned)

    def _take(self, most: int) -> list[_Waiting]:
        """Take the first of those that wait, but those whose callers went away."""
        taken, characters, gone = list[_Waiting](), 0, 0
        for each in self._waiting:
            characters += each.characters
            if taken and (len(taken) == most or characters > MOST_CHARACTERS):
                break
            if each.result.done():
                gone += 1
            else:
                taken.append(each)
        del self._waiting[: len(taken) + gone]
        return taken

    def _returned(self, task: asyncio.Task[bool]) -> None:
        self._under_way.remove(task)
        if not task.cancelled():
            self._most_under_way = self._batches.most_under_way if task.result() else 1
            if self._waiting:
                self._send()
