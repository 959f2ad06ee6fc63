"""In place of an array, `name[*]`, stand the jobs that it has: those that a submit waits for."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from rq_broker.domain import errors
from rq_broker.domain.arrays import WHOLE, ArraySubmission
from rq_broker.domain.jobs import Submission
from rq_broker.domain.names import request_id_in
from rq_broker.domain.terms import MOST_AFTER
from rq_broker.store import records
from rq_broker.store.names import Names, owners_argument
from rq_broker.store.runner import Runner

_PAGE = 500
"""Jobs read at once: the most that `page_array` takes."""
_Submission = TypeVar("_Submission", Submission, ArraySubmission)


class Awaited:
    """Finds the jobs of arrays that a submit names in `after`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._names = Names(runner)

    async def with_jobs(
        self, type_: str, submission: _Submission, owners: Collection[str] | None
    ) -> _Submission:
        """Return the submission; in place of each array that it waits for, the array's jobs of now.

        Raises:
            Invalid: Those are more than a job may wait for.
        """
        terms = submission.terms
        if not terms or not any(name.endswith(WHOLE) for name in terms.after):
            return submission
        names: dict[str, None] = {}
        for name in terms.after:
            jobs: list[str] = []
            if name.endswith(WHOLE):
                array = name.removesuffix(WHOLE)
                stored = await self._names.stored(type_, array, [submission.owner_id])
                listed = await names_of_array(self._runner, type_, stored, MOST_AFTER, owners)
                jobs = [request_id_in(job) for job in listed]
            names |= dict.fromkeys(jobs or [name])  # an array that is gone is an unknown name
            if len(names) > MOST_AFTER:
                raise errors.Invalid(f"after names more than {MOST_AFTER} jobs")
        return replace(submission, terms=replace(terms, after=tuple(names)))


async def names_of_array(
    runner: Runner, type_: str, array: str, most: int, owners: Collection[str] | None
) -> list[str]:
    """List the names of an array's jobs; it stops once they are more than `most`.

    Args:
        runner: Runs scripts.
        type_: The type.
        array: The array's name, as of Names.stored.
        most: How many the caller can use.
        owners: List jobs of these owners only.

    Returns:
        The names, none of an array that is not there.
    """
    names = list[str]()
    following: int | None = 0
    with suppress(errors.JobNotFound):
        while following is not None and len(names) <= most:
            reply = await runner.run(
                "page_array",
                type_,
                array=array,
                start=following,
                limit=_PAGE,
                status=None,
                owners=owners_argument(owners),
            )
            names += [job.request_id for job in records.listed_jobs(type_, reply)]
            following = reply.next
    return names
