"""What clients do with jobs that are there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec.structs import replace

from rq_broker.domain import errors
from rq_broker.domain.jobs import BESIDE, Job, Shape, Status, expected_class, origins
from rq_broker.domain.names import request_id_in
from rq_broker.store import records
from rq_broker.store.keys import Keys, callback_digest, digest, unfold
from rq_broker.store.names import Names, owners_argument
from rq_broker.store.runner import Runner
from rq_broker.store.submits import key_digest
from rq_broker.store.versions import NO_JOB, known_fields, version_of


@dataclass(frozen=True, slots=True)
class Cursor:
    """The job after which the next page of a listing begins."""

    priority: str
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs in priority order, perhaps none. It is the last page only if `next` is None."""

    jobs: tuple[Job, ...]
    next: Cursor | None
    count: int | None = None
    """How many places there are, of a page that begins at one."""
    line: str = ""
    """The version of the line, see lua/lib/line_version; '' of other lists than of queued jobs."""


class LineEnds(NamedTuple):
    """The priorities of the first and the last job in the queue, and how many wait."""

    first: int
    last: int
    waiting: int


class Jobs:
    """Read, page, transition, set_expected, withdraw."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._names = Names(runner)

    async def read(self, type_: str, request_id: str, owners: Collection[str] | None = None) -> Job:
        """Read one job.

        Args:
            type_: The type.
            request_id: The job, by its request_id or by its name (domain/names).
            owners: Whose job the caller may name; None: anybody's. A job of another owner does not
                exist for it. One owner, where the names of the type are per owner.

        Raises:
            JobNotFound: The type has no such job.
        """
        name = await self._names.stored(type_, request_id, owners)
        return records.read_job(type_, name, await self._read(type_, name, owners))

    async def _read(self, type_: str, name: str, owners: Collection[str] | None) -> Any:
        """Return the reply of the script `read`. Raises JobNotFound."""
        return await self._runner.run(
            "read",
            type_,
            request_id=name,
            with_submitted=False,
            owners=owners_argument(owners),
        )

    async def known(
        self,
        type_: str,
        name: str,
        versions: Collection[str] | None,
        owners: Collection[str] | None,
    ) -> Sequence[str]:
        """Read a job that is to be changed in certain versions only; None: in any.

        Returns:
            The argument `known` of the script that changes it: it compares that with the job before
            its first write.

        Raises:
            ChangedMeanwhile: The job has another version.
        """
        if versions is None:
            return ()
        try:
            reply = await self._read(type_, name, owners)
        except errors.JobNotFound:
            return NO_JOB  # the script knows whether it was withdrawn, and by whom
        if version_of(reply.priority, reply.fields) not in versions:
            raise errors.ChangedMeanwhile(f"{request_id_in(name)} has changed since it was read")
        return known_fields(reply.priority, reply.fields)

    async def page(
        self,
        type_: str,
        *,
        owners: Collection[str] | None = None,
        status: str = "",
        after: Cursor | None = None,
        position: int | None = None,
        limit: int = 500,
        contains: str = "",
    ) -> Page:
        """List jobs in priority order.

        Args:
            type_: The type.
            owners: List jobs of these owners only; None: of every owner.
            status: List jobs of this status only.
            after: Where an earlier page ended.
            position: With a status and no owners: begin at this place, and list the line only.
            limit: How many jobs to read, at most 500; with both filters fewer may be listed.
            contains: List only jobs whose request_id has this text. One call compares 5,000 names.
        """
        reply = await self._runner.run(
            "page",
            type_,
            status=status or None,
            after_priority=after.priority if after else None,
            after_id=after.id if after else None,
            first_position=position,
            limit=limit,
            contains=contains or None,
            owners=owners_argument(owners),
        )
        is_last = reply.next_id is None
        cursor = None if is_last else Cursor(reply.next_priority, reply.next_id)
        page = records.listed_jobs(type_, reply), cursor, reply.count, reply.line or ""
        return Page(*page)

    async def called_at(
        self, type_: str, callback: str, owners: Collection[str] | None = None
    ) -> Sequence[Job]:
        """List the jobs with a callback, whatever their status: at most one for each owner.

        Args:
            type_: The type.
            callback: The URL.
            owners: As of `read`. Where names are per owner, None finds none.
        """
        names = [callback]
        keys, found = Keys(type_), list[Job]()
        if await self._runner.has_names_per_owner(type_):
            names = [f"{owner}\0{callback}" for owner in owners or ()]
        for name in names:
            index = digest(name)
            stored = await self._runner.command("HGET", keys.of("callbacks", index[:2]), index[2:])
            if stored is not None:
                with suppress(errors.JobNotFound):  # it left meanwhile, or is another owner's
                    found.append(await self.read(type_, stored, owners))
        return found

    async def line_ends(self, type_: str) -> LineEnds | None:
        """Read where the waiting jobs of a type begin and end, those beside the line too."""
        ends, count = list[int](), 0
        for status in (Status.QUEUED, BESIDE):
            key = Keys(type_).of("status", status)
            count += await self._runner.command("ZCARD", key)
            for at in (0, -1):
                for name in await self._runner.command("ZRANGE", key, at, at):
                    score = await self._runner.command("ZSCORE", key, name)
                    if score is not None:  # the job may have left meanwhile
                        ends.append(int(float(score)))
        return LineEnds(min(ends), max(ends), count) if ends else None

    async def transition(
        self,
        type_: str,
        request_id: str,
        to: Status,
        owners: Collection[str] | None = None,
        *,
        fence: int | None = None,
        error: str = "",
        servers: Sequence[str] = (),
        is_limited: bool = False,
        only_in: Status | None = None,
        versions: Collection[str] | None = None,
    ) -> Status:
        """Move a job to another status; returns the status it had.

        Args:
            type_: The type.
            request_id: The job.
            to: The status.
            owners: As of `read`.
            fence: The grant that the caller means; StaleFence if it is not the newest.
            error: A text to keep on the job.
            servers: With `running`: the names, without spaces, of the job's servers at the source.
            is_limited: Whether the policy limits how many wait again; granted jobs always may.
            only_in: Move it only if it has this status.
            versions: Only if the job has one of these (Job.version); None: in any.

        Raises:
            JobNotFound, ChangedMeanwhile: There is no such job; it has another version.
            StaleFence, ImpossibleMove: The fence is an older grant's; no move leads to this status.
            InvalidServer: A server is not named as the type's sources name servers.
            DuplicateServer: A running job has named one, or `servers` has it twice.
            QueueFull: `is_limited`, and as many jobs wait as the policy allows.
        """
        name = await self._names.stored(type_, request_id, owners)
        reply = await self._runner.run(
            "transition",
            type_,
            request_id=name,
            target=to,
            fence=fence,
            error_text=error or None,
            servers=" ".join(servers) or None,
            is_limited=is_limited,
            origins=[status for status in origins(to) if only_in in (None, status)],
            owners=owners_argument(owners),
            known=await self.known(type_, name, versions, owners),
        )
        return Status(reply.status)

    async def set_expected(
        self,
        type_: str,
        request_id: str,
        expected: float | None,
        owners: Collection[str] | None = None,
        *,
        versions: Collection[str] | None = None,
    ) -> None:
        """Change how long a queued, granted or running job says it will hold.

        Args:
            type_: The type.
            request_id: The job.
            expected: Seconds from its grant on; None if it does not say any more.
            owners: As of `read`.
            versions: As of `transition`.

        Raises:
            JobNotFound: The type has no such job.
            ChangedMeanwhile: The job has another version.
            ExpectedTooLong: It is longer than the policy's `expected_most`.
            Conflict: The job is done or in error.
        """
        known_shape, demand = None, None
        name = await self._names.stored(type_, request_id, owners)
        known = await self.known(type_, name, versions, owners)
        while True:
            reply = await self._runner.run(
                "set_expected",
                type_,
                request_id=name,
                expected=records.milliseconds_or_none(expected),
                known_shape=known_shape,
                shape=demand and digest(demand),
                demand=demand,
                owners=owners_argument(owners),
                known=known,
            )
            if reply.current_shape is None:
                return
            # The job has another shape than the caller knew: nothing was written.
            known_shape = reply.current_shape
            shape = Shape.parse(reply.current_demand)
            demand = replace(shape, expected=expected_class(expected)).canonical()

    async def withdraw(
        self,
        type_: str,
        request_id: str,
        idempotency_key: str = "",
        owners: Collection[str] | None = None,
        *,
        only_in: Status | None = None,
        versions: Collection[str] | None = None,
    ) -> bool:
        """Take a job out altogether.

        Args:
            type_: The type.
            request_id: The job.
            idempotency_key: Names this call among those by which callers with these owners withdraw
                a job of this name. Empty: no key.
            owners: As of `read`.
            only_in: Withdraw it only if it has this status.
            versions: As of `transition`.

        Returns:
            Whether this call was carried out before: it is repeated with its key within a day, and
            withdrew nothing now.

        Raises:
            AlreadyWithdrawn: The job was withdrawn within the last day.
            JobNotFound: The type has no such job.
            Conflict: It has another status.
            ChangedMeanwhile: The job has another version.
        """
        name = await self._names.stored(type_, request_id, owners)
        scope = "\0".join((name, *sorted(owners or ())))
        withdraw_key = key_digest(scope, idempotency_key)
        known = await self.known(type_, name, versions, owners)
        reply = await self._remove(type_, name, withdraw_key, owners, only_in, known=known)
        replayed: bool = reply.replayed
        return replayed

    async def remove_ended(self, type_: str, request_id: str) -> bool:
        """Take a job out if its retention has ended; returns whether it is gone."""
        reply = await self._remove(type_, request_id, only_if_ended=True)
        withdrawn: bool = reply.withdrawn
        return withdrawn

    async def _remove(
        self,
        type_: str,
        request_id: str,
        withdraw_key: str | None = None,
        owners: Collection[str] | None = None,
        only_in: Status | None = None,
        *,
        only_if_ended: bool = False,
        known: Sequence[str] = (),
    ) -> Any:
        """Run `withdraw`.

        Of the job only its ID and its callback are read, so a damaged one can be removed too, even
        one that is no hash.
        """
        fields: dict[str, str] = {}
        with suppress(errors.Internal):
            flat = await self._runner.command("HGETALL", Keys(type_).of("job", request_id))
            fields = records.pairs(flat)
        return await self._runner.run(
            "withdraw",
            type_,
            request_id=request_id,
            id=id_ if (id_ := fields.get("id", "")).isdecimal() else None,
            callback=callback_digest(unfold(fields, "callback"), request_id),
            withdraw_key=withdraw_key,
            only_if_ended=only_if_ended,
            only_in=only_in,
            owners=owners_argument(owners),
            known=known,
        )
