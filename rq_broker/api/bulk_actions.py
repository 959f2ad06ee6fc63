"""Carries out one action on many jobs, each by the verb of a single job, in bounded steps.

A filter is followed through the queue's own order, a page at a time. One call changes at most
MOST_JOBS jobs and looks at MOST_EXAMINED; where there are more, its answer has a cursor.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from starlette.requests import Request

from rq_broker.api.bulk_bodies import MOST_JOBS, Action, Filter, Verb
from rq_broker.api.bulk_cursor import ActionCursor
from rq_broker.api.bulk_views import ActedView, RefusedJobView
from rq_broker.api.own import job_view, limits_of, owners_of
from rq_broker.api.sizes import asks_for
from rq_broker.delivery.outcome import coarse_cause, coarse_error
from rq_broker.domain import errors
from rq_broker.domain.arrays import WHOLE
from rq_broker.domain.jobs import Job, Status
from rq_broker.domain.names import request_id_in
from rq_broker.domain.validation import MAX_WHOLE
from rq_broker.egress.callback import destination
from rq_broker.store.broker import Broker, Cursor

MOST_EXAMINED = 10_000
"""Jobs that one call looks at; reading them takes a second. A smaller number makes a client repeat
its call more often where few jobs match."""
CONCURRENT = 32
"""Jobs of one call that are changed at once. Redis takes some 3 ms for them, and serves others
between them; with fewer, more of the time goes to waiting for replies."""
_PAGE = 100
"""Jobs read at once, as for lists."""
SHOWN = 20
"""Jobs, or refusals, that an answer shows."""
_TO = {Verb.REQUEUE: Status.QUEUED, Verb.DONE: Status.DONE}

Change = Callable[[str], Awaitable[object]]
"""Makes the change of one job, by its name."""


class _Matches(NamedTuple):
    jobs: list[Job]
    next: Cursor | None


@dataclass
class _Tally:
    """What became of the jobs."""

    shown: int = SHOWN
    """How many refusals are told one by one."""
    changed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[RefusedJobView] = field(default_factory=list)

    def count(self, name: str, refusal: errors.BrokerError | None) -> None:
        if refusal is None:
            self.changed += 1
            return
        self.refused[refusal.code] += 1
        if len(self.refusals) < self.shown:
            self.refusals.append(RefusedJobView(request_id_in(name), refusal.code, str(refusal)))

    def view(self, matched: int) -> ActedView:
        return ActedView(matched, self.changed, dict(self.refused), refusals=tuple(self.refusals))


class Actions:
    """Carries out actions."""

    def __init__(self, broker: Broker, callback_base: str | None) -> None:
        self._broker = broker
        self._callback_base = callback_base

    async def act(
        self, request: Request, type_: str, action: Action
    ) -> tuple[ActedView, str | None]:
        """Carry out an action; returns what became of it, and the cursor to go on from, if any.

        Raises:
            Unavailable: Redis does not serve some job; the others of the step may be changed.
        """
        if action.filter is None:
            return await self._act_on_names(request, type_, action), None
        if action.action is Verb.MOVE:
            return await self._move_matches(request, type_, action, action.filter)
        start = ActionCursor.parse(action.cursor)
        matches = await self._matches(request, type_, action.filter, start.after)
        following = ActionCursor(matches.next).text() if matches.next else None
        if action.dry_run:
            return _dry(request, matches.jobs), following
        owners = owners_of(request, action.filter.owner_id)
        change = self._change(request, type_, action, owners, action.filter.status)
        tally = await _all_at_once([job.request_id for job in matches.jobs], change)
        return tally.view(len(matches.jobs)), following

    # Jobs that are named

    async def _act_on_names(self, request: Request, type_: str, action: Action) -> ActedView:
        owners = owners_of(request)
        names = await self._named(type_, action.request_ids or (), owners)
        if action.dry_run:
            return await self._dry_names(request, type_, names, owners)
        if action.action is Verb.MOVE:
            tally = await self._move_in_turn(request, type_, names, action, owners)
        else:
            change = self._change(request, type_, action, owners, None)
            tally = await _all_at_once(names, change, MOST_JOBS)
        return tally.view(len(names))

    async def _named(
        self, type_: str, request_ids: Sequence[str], owners: Collection[str] | None
    ) -> list[str]:
        """Return the names of jobs, each once; those of the jobs of an array for `name[*]`.

        Raises:
            Invalid: They are more than one call takes.
        """
        names: dict[str, None] = {}
        for request_id in request_ids:
            found = [request_id]
            if request_id.endswith(WHOLE):
                array = request_id.removesuffix(WHOLE)  # without one the name is refused
                names_of = self._broker.names_of_array
                found = await names_of(type_, array, MOST_JOBS, owners) or found
            names |= dict.fromkeys(found)
            if len(found) > 1 and len(names) > MOST_JOBS:
                raise errors.Invalid(f"request_ids name more than {MOST_JOBS} jobs")
        return list(names)

    async def _dry_names(
        self, request: Request, type_: str, names: Sequence[str], owners: Collection[str] | None
    ) -> ActedView:
        found: dict[str, Job] = {}

        async def read(name: str) -> None:
            found[name] = await self._broker.read(type_, name, owners)

        tally = await _all_at_once(names, read, MOST_JOBS)
        view = _dry(request, [found[name] for name in names if name in found])
        return view.with_fields(refused=dict(tally.refused), refusals=tuple(tally.refusals))

    def _change(
        self,
        request: Request,
        type_: str,
        action: Action,
        owners: Collection[str] | None,
        status: Status | None,
    ) -> Change:
        """Return what is done to each job; one that left the status meanwhile is refused."""
        to = _TO.get(action.action)
        if to is None:
            return lambda name: self._broker.withdraw(type_, name, "", owners, only_in=status)
        is_limited = limits_of(request) is not None
        return lambda name: self._broker.transition(
            type_, name, to, owners, is_limited=is_limited, only_in=status
        )

    # Moves

    async def _move_in_turn(
        self,
        request: Request,
        type_: str,
        names: Sequence[str],
        action: Action,
        owners: Collection[str] | None,
    ) -> _Tally:
        """Move jobs to one end, one after the other, so that they stand in the order of `names`."""
        end, tally = str(action.position), _Tally(MOST_JOBS)
        among_own = limits_of(request) is not None
        for name in reversed(names) if end == "front" else names:
            refusal = await _refusal(
                self._broker.reorder(type_, name, "position", end, owners, among_own=among_own)
            )
            tally.count(name, refusal)
        return tally

    async def _move_matches(
        self, request: Request, type_: str, action: Action, wanted: Filter
    ) -> tuple[ActedView, str | None]:
        """Move the waiting jobs that match, in the order that they have.

        Each gets a priority beyond the end that the queue had at the first call: so a later call
        goes on behind what an earlier one moved, and meets none of those again.
        """
        if wanted.status not in (None, Status.QUEUED):
            raise errors.Invalid(f"move is of queued jobs, not of those in status {wanted.status}")
        wanted.status = Status.QUEUED
        start = ActionCursor.parse(action.cursor)
        if start.until is None:
            line = await self._broker.line_ends(type_)
            if line is None:
                return ActedView(0, 0, {}), None
            is_front = action.position == "front"
            start = ActionCursor(
                None, line.first - line.waiting if is_front else line.last + 1, line.last
            )
        matches = await self._matches(request, type_, wanted, start.after, start.until)
        target = start.target or 0
        following = None
        if matches.next:
            following = ActionCursor(matches.next, target + len(matches.jobs), start.until).text()
        if action.dry_run:
            return _dry(request, matches.jobs), following
        if max(abs(target), abs(target + len(matches.jobs))) > MAX_WHOLE:
            raise errors.NoRoom("no priority is left at that end of the queue")
        owners, names = owners_of(request, wanted.owner_id), _names(matches.jobs)
        if limits_of(request) is not None:
            if following:
                raise errors.Invalid(f"more than {MOST_JOBS} jobs match: name request_ids instead")
            tally = await self._move_in_turn(request, type_, names, action, owners)
            return tally.view(len(names)), None
        targets = {name: str(target + number) for number, name in enumerate(names)}
        tally = await _all_at_once(
            names,
            lambda name: self._broker.reorder(type_, name, "priority", targets[name], owners),
        )
        return tally.view(len(names)), following

    # The filter

    async def _matches(
        self,
        request: Request,
        type_: str,
        wanted: Filter,
        after: Cursor | None,
        until: int | None = None,
    ) -> _Matches:
        """Collect jobs that match, up to the bounds; `until` is the last priority that counts."""
        jobs: list[Job] = []
        latest = None
        if wanted.older_than is not None:
            latest = round((await self._broker.now(type_) - wanted.older_than) * 1_000_000)
        owners = owners_of(request, wanted.owner_id)
        for _ in range(MOST_EXAMINED // _PAGE):
            page = await self._broker.page(
                type_,
                owners=owners,
                status=wanted.status or "",
                after=after,
                limit=min(_PAGE, MOST_JOBS - len(jobs)),
                contains=wanted.contains or "",
            )
            for job in page.jobs:
                if until is not None and job.priority > until:
                    return _Matches(jobs, None)
                if (latest is None or job.created <= latest) and self._has(request, job, wanted):
                    jobs.append(job)
            after = page.next
            if after is None or len(jobs) >= MOST_JOBS:
                break
        return _Matches(jobs, after)

    def _has(self, request: Request, job: Job, wanted: Filter) -> bool:
        """Return whether a job has the size, the destination and the error that are asked for."""
        if not asks_for(job, wanted.needs or {}):
            return False
        code = wanted.error_code
        if code is not None:
            cause, error = job.cause, job.error or ""
            if limits_of(request) is not None:  # as the job is shown to the caller
                cause, error = cause and coarse_cause(cause), coarse_error(error)
            if job.status is not Status.ERROR or code not in (cause, error):
                return False
        if wanted.callback_destination is None:
            return True
        try:
            return destination(job.callback, self._callback_base) == wanted.callback_destination
        except errors.Invalid:  # it was submitted under another callback base
            return False


def _names(jobs: Sequence[Job]) -> list[str]:
    return [job.request_id for job in jobs]


def _dry(request: Request, jobs: Sequence[Job]) -> ActedView:
    shown = tuple(job_view(request, job) for job in jobs[:SHOWN])
    return ActedView(len(jobs), 0, {}, jobs=shown)


async def _all_at_once(names: Sequence[str], change: Change, shown: int = SHOWN) -> _Tally:
    """Make the change of each job, CONCURRENT at a time; `shown` is as of _Tally."""
    tally = _Tally(shown)
    for start in range(0, len(names), CONCURRENT):
        some = names[start : start + CONCURRENT]
        refusals = await asyncio.gather(*(_refusal(change(name)) for name in some))
        for name, refusal in zip(some, refusals, strict=True):
            tally.count(name, refusal)
    return tally


async def _refusal(call: Awaitable[object]) -> errors.BrokerError | None:
    """Return why a call was refused, None if it was not. Raises Unavailable."""
    try:
        await call
    except errors.Unavailable:
        raise
    except errors.BrokerError as refusal:
        return refusal
    return None
