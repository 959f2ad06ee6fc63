"""Gives waiting jobs another place in the queue, and tells beforehand what that would do."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple

from rq_broker.store.jobs import Jobs
from rq_broker.store.names import Names, name_beside, owners_argument
from rq_broker.store.runner import Runner


class Exchange(NamedTuple):
    """A place in the queue that changes hands."""

    member: str
    """The job that has it, as sorted sets have it."""
    by: str
    """The job that would have it."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move has done, or in a dry run would do."""

    priority: int
    """The job's priority now."""
    position: int | None
    """Its place in the queue after the move; None for a job that is not queued."""
    was: int | None
    """Its place before; None where only a priority was set."""
    line: str
    """The version of the line now; of a dry run that of the place to which the job would go."""
    undo: str | None = None
    """The version of the place that it had, to move it back there."""
    exchanges: tuple[Exchange, ...] = ()
    """Of a dry run among own jobs: the places that change hands."""


class Reorders:
    """Reorder."""

    def __init__(self, runner: Runner, jobs: Jobs) -> None:
        self._runner = runner
        self._jobs = jobs
        self._names = Names(runner)

    async def reorder(
        self,
        type_: str,
        request_id: str,
        mode: str,
        value: str,
        owners: Collection[str] | None = None,
        *,
        among_own: bool = False,
        versions: Collection[str] | None = None,
        line: str | None = None,
        dry_run: bool = False,
    ) -> Moved:
        """Give a job another place, or tell what that would do.

        Args:
            type_: The type.
            request_id: The job.
            mode: `priority`, `before`, `after`, `position` or `place`.
            value: The priority, the neighbour's request_id, `front` or `back`, or the place from 1.
            owners: As of `read`, for both jobs.
            among_own: Jobs of the job's owner exchange their places, and no other job moves.
            versions: Only if the job has one of these (Job.version); None: in any.
            line: Only if the move passes no job that has come in between since this version of the
                line (Moved.line, Page.line); None: in any case. Not with `priority`.
            dry_run: Write nothing.

        Raises:
            JobNotFound: The type has no such job, or no such neighbour.
            ChangedMeanwhile: The job has another version, or the line has changed.
            NotWaiting: The job, or its neighbour, does not wait in the line.
            NoRoom: There is no priority for that place.
            Forbidden: The policy lets no client change the order of its jobs.
        """
        name = await self._names.stored(type_, request_id, owners)
        if mode in ("before", "after"):
            value = name_beside(value, name)
        reply = await self._runner.run(
            "reorder",
            type_,
            request_id=name,
            mode=mode,
            value=value,
            among_own=among_own,
            line=line,
            dry_run=dry_run,
            owners=owners_argument(owners),
            known=await self._jobs.known(type_, name, versions, owners),
        )
        return _moved(reply)


def _moved(reply: Any) -> Moved:
    exchanges = tuple(Exchange(row.member, row.by) for row in reply.exchanges)
    return Moved(reply.priority, reply.position, reply.was, reply.line, reply.undo, exchanges)
