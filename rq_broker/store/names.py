"""Finds the job that a caller means: whose job it may be, and by which name the type knows it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rq_broker.domain.errors import Invalid
from rq_broker.domain.names import owned_name, owner_in, whose_is_it
from rq_broker.store.runner import Runner

_NOBODY = "\0"
"""An owner that no job can have: the owners of a caller that may name no job at all."""


def owners_argument(owners: Collection[str] | None) -> Sequence[str]:
    """Return owners as scripts take them: none stands for every owner."""
    return () if owners is None else sorted(owners) or (_NOBODY,)


def name_beside(request_id: str, name: str) -> str:
    """Return the name of the job that a request_id means beside one that is named already."""
    owner = owner_in(name)
    return request_id if owner is None or "/" in request_id else owned_name(owner, request_id)


class Names:
    """Finds the names of jobs."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def stored(self, type_: str, request_id: str, owners: Collection[str] | None) -> str:
        """Return the name by which a type knows a job.

        The policy is read beforehand, since it changes only while the type has no job: in between
        a job may not be found, but never another one.

        Args:
            type_: The type.
            request_id: The job's request_id, or its name.
            owners: Whose job it may be; None: anybody's.

        Raises:
            Invalid: Names are per owner, and the job may be one of several owners'.
        """
        if owners is None or "/" in request_id:
            return request_id
        if not await self._runner.has_names_per_owner(type_) or not owners:
            return request_id
        if len(owners) > 1:
            raise Invalid(whose_is_it(type_))
        (owner,) = owners
        return owned_name(owner, request_id)
