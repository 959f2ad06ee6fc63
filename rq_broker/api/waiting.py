"""Waiting over HTTP: reads that answer once a job changes, and how many may wait at once."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from rq_broker.api.access import identity_of
from rq_broker.api.own import owners_of
from rq_broker.domain.arrays import array_of
from rq_broker.domain.errors import Invalid, TooManyWaits, Unavailable
from rq_broker.domain.events import MOST_WAIT_SECONDS
from rq_broker.domain.identity import Role
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.validation import one_of, rejected
from rq_broker.store.broker import Broker
from rq_broker.store.event_feed import RETRY_SECONDS, Follower

_SECONDS = re.compile(r"[0-9]{1,2}")
_LEFT_QUEUE = frozenset(Status) - {Status.QUEUED}


@dataclass(frozen=True, slots=True)
class Wait:
    """What a read waits for."""

    seconds: int
    until: frozenset[Status] = _LEFT_QUEUE
    """The statuses in which the job is answered at once."""

    @classmethod
    def of(cls, request: Request) -> Wait | None:
        """Read the query of a request; None if it does not wait. Raises Invalid."""
        query = request.query_params
        text, until = query.get("wait"), query.get("until")
        if text is None:
            if until is not None:
                raise Invalid("until goes with wait, which says for how many seconds")
            return None
        if not _SECONDS.fullmatch(text) or int(text) > MOST_WAIT_SECONDS:
            span = f"a whole number of seconds from 0 to {MOST_WAIT_SECONDS}"
            raise Invalid(f"wait must be {span}{rejected(text)}")
        if until is None:
            return cls(int(text))
        words = until.split(",")
        return cls(int(text), frozenset(Status(one_of(each, "until", [*Status])) for each in words))


class Waits:
    """The reads and streams of one process that wait for events."""

    def __init__(self, broker: Broker, most: int) -> None:
        """Take the broker, and how many may wait for one identity; 0: any number."""
        self._broker = broker
        self._most = most
        self._open: Counter[str] = Counter()

    @contextmanager
    def counted(self, request: Request) -> Iterator[None]:
        """Count one that waits. Raises TooManyWaits if the identity has too many; admins may."""
        identity = identity_of(request)
        if not self._most or identity.role is Role.ADMIN:
            yield
            return
        name = identity.name
        if self._open[name] >= self._most:
            raise TooManyWaits(
                f"{self._most} reads and streams of {name} wait here already, as many as may"
            )
        self._open[name] += 1
        try:
            yield
        finally:
            self._open[name] -= 1
            if not self._open[name]:
                del self._open[name]

    async def read(self, request: Request, type_: str, request_id: str) -> Job:
        """Read a job; where the request says so, once it has one of some statuses."""
        wait, owners = Wait.of(request), owners_of(request)
        job = await self._broker.read(type_, request_id, owners)
        if wait is None or job.status in wait.until:
            return job
        deadline = asyncio.get_running_loop().time() + wait.seconds
        with self.counted(request):
            async with self._broker.events.follow(type_) as follower, _hang_up(request, follower):
                while job.status not in wait.until:
                    is_over = follower.is_ended or asyncio.get_running_loop().time() >= deadline
                    follower.events()  # the read tells what came up to here, and events all later
                    try:
                        job = await self._broker.read(type_, request_id, owners)
                    except Unavailable:
                        if is_over:
                            raise
                        await asyncio.sleep(RETRY_SECONDS)
                        continue
                    if is_over:
                        break
                    follower.narrow(job.id)
                    if job.status not in wait.until:
                        await follower.wait(deadline)
        return job


@asynccontextmanager
async def _hang_up(request: Request, follower: Follower) -> AsyncIterator[None]:
    """End a follower when the client of its request is gone. Raises ClientDisconnect then."""
    is_gone = False

    async def watch() -> None:
        nonlocal is_gone
        while (await request.receive())["type"] != "http.disconnect":
            pass
        is_gone = True
        follower.end()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
    if is_gone:
        raise ClientDisconnect


def refuse_wait(request: Request) -> None:
    """Raise Invalid if a read of a whole array is to wait: only its jobs change their status."""
    if Wait.of(request) is not None:
        raise Invalid("wait is for one job, not for a whole array")


def refuse_array(request_id: str, instead: str = "follow the events of its type instead") -> None:
    """Raise Invalid for the name of a whole array, where each of its jobs has what is asked for."""
    if array_of(request_id) is not None:
        raise Invalid(f"request_id must name one job, not all of {request_id}: {instead}")
