"""What clients do with jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rq_broker.domain import errors
from rq_broker.domain.jobs import Job, Status, Submission, origins
from rq_broker.store import records
from rq_broker.store.keys import Keys, digest, fold, unfold
from rq_broker.store.registry import Registry
from rq_broker.store.runner import Runner

_shape_name = lru_cache(4096)(digest)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The place in a listing after which to go on."""

    priority: str
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs in priority order, perhaps none; only `next` being None says it is the end."""

    jobs: tuple[Job, ...]
    next: Cursor | None


class Jobs:
    """Submit, read, page, reorder, transition, withdraw."""

    def __init__(self, runner: Runner, registry: Registry) -> None:
        self._runner = runner
        self._registry = registry

    async def submit(self, type_: str, new: Submission) -> Job:
        """Put a job in line."""
        await self._registry.register(type_)
        shape = new.shape.canonical()
        name = _shape_name(shape)
        reply = await self._runner.run(
            "submit",
            type_,
            request_id=new.request_id,
            owner_id=new.owner_id,
            callback=digest(new.callback),
            priority=new.priority,
            shape=name,
            demand=shape,
            fields=fold("callback", new.callback) + fold("data", new.data),
        )
        return Job(
            id=reply.id,
            type=type_,
            request_id=new.request_id,
            owner_id=new.owner_id,
            data=new.data,
            callback=new.callback,
            priority=reply.priority,
            status=Status.QUEUED,
            created=reply.created,
            updated=reply.created,
            shape=name,
            position=reply.position,
            capacity_number=reply.capacity_number,
        )

    async def read(self, type_: str, request_id: str) -> Job:
        """Read one job."""
        priority, position, *fields = await self._runner.run("read", type_, request_id)
        return records.job(type_, request_id, priority, position, fields)

    async def page(
        self,
        type_: str,
        *,
        owner_id: str = "",
        status: str = "",
        after: Cursor | None = None,
        limit: int = 500,
    ) -> Page:
        """List jobs in priority order, looking at no more than `limit` (≤ 500) of them."""
        start = (after.priority, after.id) if after else ("", "")
        priority, id_, *found = await self._runner.run(
            "page", type_, owner_id, status, *start, limit
        )

        def job(entry: Sequence[Any]) -> Job:
            score, request_id, position, *fields = entry
            return records.job(type_, request_id, score, position, fields)

        jobs = tuple(records.readable(job, found))
        return Page(jobs, Cursor(priority, id_) if id_ else None)

    async def reorder(self, type_: str, request_id: str, mode: str, value: str) -> int:
        """Give a job another place; `mode` is priority, before, after or position."""
        return int(await self._runner.run("reorder", type_, request_id, mode, value))

    async def transition(
        self,
        type_: str,
        request_id: str,
        to: Status,
        *,
        fence: int | None = None,
        error: str = "",
        servers: Sequence[str] = (),
    ) -> Status:
        """Move a job as its client asks; returns the status it had.

        `servers` go with running: the names, without spaces, a source knows the job's servers by.
        """
        fenced = "" if fence is None else fence
        known = " ".join(servers)
        return Status(
            await self._runner.run(
                "transition", type_, request_id, to, fenced, error, known, *origins(to)
            )
        )

    async def withdraw(self, type_: str, request_id: str) -> None:
        """Take a job out altogether."""
        if not await self.remove(type_, request_id, only_if_over=False):
            raise errors.JobNotFound(f"no job {request_id} in type {type_}")

    async def remove(self, type_: str, request_id: str, *, only_if_over: bool) -> bool:
        """Take a job out, even one that cannot be read; returns whether it is gone now."""
        flat = await self._runner.command("HGETALL", Keys(type_).of("job", request_id))
        fields = records.pairs(flat)
        if not fields:
            return False
        callback = digest(unfold(fields, "callback"))
        over = "1" if only_if_over else ""
        return bool(
            await self._runner.run(
                "withdraw", type_, request_id, fields.get("id", ""), callback, over
            )
        )
