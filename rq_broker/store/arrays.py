"""What clients do with arrays as a whole; each of their jobs is a job like any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace

from rq_broker.domain import errors
from rq_broker.domain.arrays import STEP, Array, ArraySubmission, whole
from rq_broker.domain.jobs import Job, Shape, Status
from rq_broker.domain.names import owner_in
from rq_broker.store import array_records, records
from rq_broker.store.awaited import Awaited, names_of_array
from rq_broker.store.continuity import Continuity
from rq_broker.store.jobs import Jobs
from rq_broker.store.keys import ARRAYS_SINCE, OFFERS_SINCE, callback_digest, digest
from rq_broker.store.names import Names, name_beside, owners_argument
from rq_broker.store.notifiers import refuse_older
from rq_broker.store.registry import Registry
from rq_broker.store.reorders import Reorders
from rq_broker.store.runner import Runner
from rq_broker.store.submits import key_digest

PAGE = 100
"""Jobs that one script lists, moves or withdraws. Redis serves nobody else for a few ms then."""
MOST_OWN = 1000
"""Jobs of an array that one call moves among their owner's, as many as an action does. Each is a
move of its own that reads the jobs between its places: more would keep Redis busy for seconds."""
ROUNDS = 3
"""How often a withdrawal goes through an array: jobs may still be stored in the first rounds."""


class Arrays:
    """Verbs of arrays: submit, read, page, names_of, reorder, withdraw; and holding."""

    def __init__(
        self,
        runner: Runner,
        registry: Registry,
        continuity: Continuity,
        jobs: Jobs,
        reorders: Reorders,
    ) -> None:
        self._runner = runner
        self._registry = registry
        self._continuity = continuity
        self._jobs = jobs
        self._reorders = reorders
        self._names = Names(runner)
        self._awaited = Awaited(runner)

    async def submit_array(
        self,
        type_: str,
        new: ArraySubmission,
        idempotency_key: str = "",
        owners: Collection[str] | None = None,
    ) -> Array:
        """Put all jobs of an array in the queue, a step after the other.

        A call that is cut short leaves the first steps; repeated, it goes on with the next one. One
        that is refused leaves nothing.

        Args:
            type_: The type.
            new: The array.
            idempotency_key: As of `submit`.
            owners: As of `submit`.

        Raises:
            DuplicateRequestId: The name of a job, or of the array, is taken in the type; the
                sentence has the first one. If it was submitted just so, `details` has `same`.
            DuplicateCallback: Likewise of a callback.
            Conflict: It was withdrawn meanwhile.
            BrokerError: All that `submit` raises.
        """
        subject, since = ("arrays of jobs", ARRAYS_SINCE)
        if not new.callback.fill(0):
            subject, since = ("jobs without callback", OFFERS_SINCE)
        await refuse_older(self._runner, type_, subject, since)
        await self._registry.register(type_)
        new = await self._awaited.with_jobs(type_, new, owners)
        name = await self._names.stored(type_, new.name, [new.owner_id])
        submit_key = key_digest(new.owner_id, idempotency_key)
        named = array_records.stored_submission(new, name)
        step = partial(self._step, type_, named, submit_key=submit_key, owners=owners)
        any_new, number = await self._store(type_, named, step)
        array = replace(await self._read(type_, name), capacity_number=number)
        if any_new:
            return array
        if submit_key is not None and array.submit_key == submit_key:
            return replace(array, replayed=True)
        refusal = errors.DuplicateRequestId(f"the array {array.request_id} is there already")
        refusal.details = {"same": True}
        raise refusal

    async def _store(
        self, type_: str, new: ArraySubmission, step: Callable[..., Awaitable[Any]]
    ) -> tuple[bool, str]:
        """Store all steps that are not stored; returns whether any, and the capacity number."""
        # 1. Find what is taken before anything is stored. The first step finds it by itself.
        for start in range(STEP, new.count, STEP):
            await step(start, only_check=True)
        # 2. Store.
        any_new, number = False, "0"
        for start in range(0, new.count, STEP):
            try:
                reply = await step(start, only_check=False)
            except errors.Unavailable:
                raise  # a repetition goes on here
            except errors.BrokerError:
                if any_new:  # somebody has taken a name or a callback meanwhile
                    await self.withdraw_array(await self._read(type_, new.name))
                raise
            any_new |= reply.is_new
            number = reply.capacity_number
        return any_new, number

    async def _step(
        self,
        type_: str,
        new: ArraySubmission,
        start: int,
        *,
        submit_key: str | None,
        owners: Collection[str] | None,
        only_check: bool,
    ) -> Any:
        """Run `submit_array` for one step; `new` has the name by which the type knows it."""
        known = self._continuity.known(type_)
        indexes = range(start, min(start + STEP, new.count))
        numbers: dict[Shape, int] = {}
        jobs = list(array_records.job_rows(new, indexes, numbers, only_check=only_check))
        terms = new.terms
        texts = [shape.canonical() for shape in numbers]
        reply = await self._runner.run(
            "submit_array",
            type_,
            array=new.name,
            per_owner=owner_in(new.name) is not None,
            start=start,
            size=new.count,
            only_check=only_check,
            owner_id=new.owner_id,
            submission=array_records.submission_digest(new),
            submit_key=submit_key,
            priority=new.priority,
            expected=records.milliseconds_or_none(new.expected),
            at_once=new.at_once,
            kinds=max(shape.demand.kinds for shape in numbers),
            prefer_for=max(shape.demand.prefer_for for shape in numbers) or None,
            terms=records.terms_pairs(terms) if terms else (),
            after=[name_beside(name, new.name) for name in terms.after] if terms else (),
            owners=owners_argument(owners),
            shapes=[{"shape": digest(text), "demand": text} for text in texts],
            jobs=jobs,
        )
        if reply.is_new:
            await self._continuity.compare(type_, known, reply.incarnation, reply.id)
        return reply

    async def read_array(
        self, type_: str, name: str, owners: Collection[str] | None = None
    ) -> Array:
        """Read an array, and count its jobs by status.

        Args:
            type_: The type.
            name: The array's name, as its client gave it.
            owners: Whose arrays the caller may name; None: anybody's.

        Raises:
            JobNotFound: The type has no such array.
        """
        return await self._read(type_, await self._names.stored(type_, name, owners), owners)

    async def _read(self, type_: str, name: str, owners: Collection[str] | None = None) -> Array:
        """Read the array of a name as the type knows it."""
        counts = dict.fromkeys(Status, 0)
        waiting = beside = None
        start, size = 0, 1
        fields: dict[str, str] = {}
        while start < size:
            reply = await self._runner.run(
                "read_array",
                type_,
                array=name,
                start=start,
                limit=STEP,
                owners=owners_argument(owners),
            )
            fields = records.pairs(reply.fields)
            size = int(fields["count"])
            for status in Status:
                counts[status] += getattr(reply, status)
            waiting, beside = waiting or reply.waiting, beside or reply.beside
            start += STEP
        return array_records.array(type_, name, fields, counts, waiting or beside)

    async def page_array(
        self,
        type_: str,
        name: str,
        start: int = 0,
        *,
        status: str = "",
        owners: Collection[str] | None = None,
        limit: int = PAGE,
    ) -> tuple[tuple[Job, ...], int | None]:
        """List jobs of an array by their numbers.

        Args:
            type_: The type.
            name: The array's name.
            start: The number at which to begin.
            status: List jobs of this status only.
            owners: List jobs of these owners only.
            limit: How many numbers to go through, at most 500.

        Returns:
            The jobs, and the number at which to go on; None at the end.

        Raises:
            JobNotFound: The type has no such array.
        """
        reply = await self._runner.run(
            "page_array",
            type_,
            array=await self._names.stored(type_, name, owners),
            start=start,
            limit=limit,
            status=status or None,
            owners=owners_argument(owners),
        )
        return records.listed_jobs(type_, reply), reply.next

    async def names_of_array(
        self, type_: str, name: str, most: int, owners: Collection[str] | None = None
    ) -> list[str]:
        """List the names of an array's jobs, see awaited.names_of_array."""
        stored = await self._names.stored(type_, name, owners)
        return await names_of_array(self._runner, type_, stored, most, owners)

    async def reorder_array(self, array: Array, mode: str, value: str) -> int:
        """Give the waiting jobs of an array another place, one behind the other by their numbers.

        Returns:
            Their priority.

        Args:
            array: The array.
            mode: As of `reorder`.
            value: As of `reorder`.

        Raises:
            JobNotFound: The type has no such neighbour.
            NotWaiting: No job of it is in the line, or the neighbour is not.
            NoRoom: There is no free priority at that place.
        """
        priority = int(value) if mode == "priority" else 0
        if mode != "priority":
            priority = await self._move_first(array, mode, value)
        for start in range(0, array.count, PAGE):
            await self._runner.run(
                "reorder_array",
                array.type,
                array=array.name,
                owner_id=array.owner_id,
                start=start,
                limit=PAGE,
                priority=priority,
            )
        return priority

    async def reorder_own_array(
        self, array: Array, mode: str, value: str, owners: Collection[str]
    ) -> None:
        """Move the waiting jobs of an array among those of its owner; cut short, repeat it.

        Each exchanges its place, as `reorder` does it with `among_own`.

        Args:
            array: The array.
            mode: As of `reorder`.
            value: As of `reorder`.
            owners: Whose jobs the caller may name, for the neighbour.

        Raises:
            Invalid: It has more than MOST_OWN jobs.
            BrokerError: All that `reorder` raises; NotWaiting only if no job of it waits.
        """
        if array.count > MOST_OWN:
            raise errors.Invalid(
                f"{array.request_id} has {array.count} jobs: a client moves at most {MOST_OWN} in "
                "one call; move them by request_ids of an action"
            )
        if mode in ("before", "after") and array.has(value):
            raise errors.NotWaiting(f"{value} belongs to {array.request_id} itself")
        names = await names_of_array(self._runner, array.type, array.name, MOST_OWN, owners)
        is_backwards = mode == "after" or (mode, value) == ("position", "front")
        refusal = errors.NotWaiting(f"no job of {array.request_id} waits")
        any_waits = False
        for name in reversed(names) if is_backwards else names:
            try:
                await self._reorders.reorder(array.type, name, mode, value, owners, among_own=True)
                any_waits = True
            except errors.NotWaiting as not_waiting:  # others of it may
                refusal = not_waiting
        if not any_waits:
            raise refusal

    async def _move_first(self, array: Array, mode: str, value: str) -> int:
        """Give the first job a priority at the place that no other job has; return it.

        It goes to the other end of the line first: a job that is at its place already keeps its
        priority, which jobs of others may have as well.
        """
        type_, first = array.type, array.waiting
        if first is None:
            raise errors.NotWaiting(f"no job of {array.request_id} waits")
        if mode in ("before", "after"):
            if array.has(value):
                raise errors.NotWaiting(f"{value} belongs to {array.request_id} itself")
            neighbour = await self._jobs.read(type_, name_beside(value, array.name))
            if neighbour.position is None:
                raise errors.NotWaiting(f"{value} is not in the line")
        away = "front" if (mode, value) == ("position", "back") else "back"
        await self._reorders.reorder(type_, first, "position", away)
        return (await self._reorders.reorder(type_, first, mode, value)).priority

    async def withdraw_array(
        self, array: Array, idempotency_key: str = "", owners: Collection[str] | None = None
    ) -> bool:
        """Take all jobs of an array out, the last first: so none is granted for those taken out.

        Cut short, it leaves the first jobs; repeated, it goes on.

        Args:
            array: The array.
            idempotency_key: As of `withdraw`.
            owners: As of `withdraw`.

        Returns:
            Whether an earlier call with this key withdrew it: then nothing was done.
        """
        scope = "\0".join((whole(array.name), *sorted(owners or ())))
        step = partial(
            self._runner.run,
            "withdraw_array",
            array.type,
            array=array.name,
            owner_id=array.owner_id,
            withdraw_key=key_digest(scope, idempotency_key),
        )
        for _ in range(ROUNDS):
            for start in reversed(range(0, array.count, PAGE)):
                reply = await step(is_last=False, jobs=await self._rows_of_page(array, start))
                if reply.replayed:
                    return True
            if not await self._count_left(array):
                break
        return bool((await step(is_last=True, jobs=[])).replayed)

    async def _count_left(self, array: Array) -> int:
        try:
            return sum((await self._read(array.type, array.name)).counts.values())
        except errors.JobNotFound:
            return 0

    async def _rows_of_page(self, array: Array, start: int) -> list[Mapping[str, Any]]:
        """Read the jobs of some numbers as `withdraw_array` takes them."""
        end, rows = start + PAGE, list[Mapping[str, Any]]()
        following: int | None = start
        while following is not None and following < end:
            try:
                jobs, following = await self.page_array(
                    array.type, array.name, following, limit=end - following
                )
            except errors.JobNotFound:  # its last job is gone
                break
            for job in jobs:
                name = name_beside(job.request_id, array.name)
                callback = callback_digest(job.callback, name)
                rows.append({"request_id": name, "id": job.id, "callback": callback})
        return rows

    async def holding(self, type_: str, arrays: Collection[str]) -> dict[str, int]:
        """Count the jobs of arrays with `at_once` that hold capacity: name → jobs."""
        names = sorted(arrays)
        if not names:
            return {}
        reply = await self._runner.run("holding", type_, arrays=names)
        return dict(zip(names, reply.counts, strict=True))
